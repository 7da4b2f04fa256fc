package upgradecmd

import (
	"io"
	"sync"
	"time"

	"github.com/leaderlast/leaderlast/tracking"
	"github.com/leaderlast/leaderlast/upgrade"
)

// redrawEvery bounds how often a region changes; nothing flickers faster.
const redrawEvery = 100 * time.Millisecond

// barAfter is how long an upload takes before its bar appears.
const barAfter = 500 * time.Millisecond

// A ttyReporter writes lines that stay to out and redraws a region on err.
type ttyReporter struct {
	print func(lines ...string) // to stdout
	err   io.Writer
	view  func(server time.Duration) view // of the region, with the server's clock this much ahead
	outv  func(server time.Duration) view // of the lines that stay

	mu     sync.Mutex
	region region
	live   func(view) []string
	ahead  time.Duration // of the server's clock
	latest upgrade.Status
	meter  meter
	upload upload
	held   map[string]tracking.Line // routine lines that a failure makes worth reading
	said   bool                     // that the clocks differ

	stop    chan struct{}
	stopped sync.WaitGroup
}

func newTTYReporter(s *session) *ttyReporter {
	r := &ttyReporter{
		print: s.print,
		err:   s.err,
		view:  s.errView,
		outv:  s.outView,
		held:  map[string]tracking.Line{},
		stop:  make(chan struct{}),
	}
	resized, quiet := s.resized()
	r.stopped.Go(func() {
		defer quiet()
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
			case <-resized:
			}
			r.mu.Lock()
			r.redraw()
			r.mu.Unlock()
		}
	})
	return r
}

func (r *ttyReporter) close() {
	close(r.stop)
	r.stopped.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = nil
	r.redraw()
}

// redraw brings the region up to date. A terminal that cannot be written to is
// no reason to stop what the command is for.
func (r *ttyReporter) redraw() {
	v := r.view(r.ahead)
	var lines []string
	if r.live != nil {
		lines = r.live(v)
	}
	height := 0
	if v.height > 2 {
		height = v.height - 2
	}
	if out := r.region.draw(lines, v.width, height); out != "" {
		_, _ = io.WriteString(r.err, out)
	}
}

// stay takes the region away, writes lines that stay, and draws it again.
func (r *ttyReporter) stay(lines ...string) {
	if out := r.region.clear(r.view(0).width); out != "" {
		_, _ = io.WriteString(r.err, out)
	}
	r.print(lines...)
	r.redraw()
}

func (r *ttyReporter) show(live func(view) []string) {
	r.live = live
	r.redraw()
}

func (r *ttyReporter) doing(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text == "" {
		r.show(nil)
		return
	}
	r.show(func(v view) []string { return []string{"  " + text} })
}

func (r *ttyReporter) done(s step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = nil
	v := r.outv(r.ahead)
	r.stay(wrap(v.step(s.word, ""), "            ", s.text, v.width)...)
}

func (r *ttyReporter) sending(sent, total int64, to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.meter.add(time.Now(), sent)
	first := r.upload.to == ""
	r.upload = upload{sent, total, to}
	if first { // afterwards the next tick draws it
		r.show(func(v view) []string { return uploadLines(v, &r.meter, time.Now(), r.upload) })
	}
}

// An upload is how far one is.
type upload struct {
	sent, total int64
	to          string
}

// uploadLines draws an upload. Once all is sent the server has its say.
func uploadLines(v view, m *meter, now time.Time, up upload) []string {
	switch {
	case now.Sub(m.began) < barAfter:
		return []string{"  upload    to " + up.to}
	case up.sent >= up.total:
		return []string{"  staging   " + up.to + " checks and unpacks it, " + spanText(now.Sub(m.now.at))}
	}
	line := "  upload    " + bar(up.sent, up.total) + "  " + sizeOf(up.sent, up.total)
	if rate := m.rate(now); rate > 0 {
		left := time.Duration(float64(up.total-up.sent) / rate * float64(time.Second))
		line += "  " + sizeText(int64(rate)) + "/s  " + spanText(max(left, time.Second)) + " left"
	}
	return []string{line}
}

func (r *ttyReporter) status(s upgrade.Status, heard time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ahead = skew(s.ObservedAt, heard)
	r.latest = s
	if r.ahead != 0 && !r.said {
		r.said = true
		r.stay(note(r.outv(r.ahead), "clock", skewText(s.ObservedBy, r.ahead))...)
	}
	if ended(s) {
		r.show(nil)
		return
	}
	r.show(func(v view) []string { return watchLines(v, s) })
}

// watchLines is the region while a run is watched, bounded by the terminal.
func watchLines(v view, s upgrade.Status) []string {
	lines := append([]string{""}, cut(headline(v, s), v.width))
	tail := append(append(waitingLines(v, s), pausedLines(v, s)...), "Ctrl-C leaves the "+called(s.Run)+" running.   "+stopText(v, s))
	room := 0
	if v.height > 0 {
		room = max(v.height-2-len(lines)-len(tail)-1, 3)
	}
	lines = append(lines, memberLines(v, s, room)...)
	return append(lines, tail...)
}

// stopText names the mildest verb that stops a run.
func stopText(v view, s upgrade.Status) string {
	if !alone(s) && s.Paused == nil && deref(s.Phase) != "cancelling" {
		return "Pause: " + v.hint("pause")
	}
	return "Cancel: " + v.hint("unstage")
}

// line lets a line stay, unless the region shows better what it says. The line
// about the restart of a member is kept back, for when it goes wrong.
func (r *ttyReporter) line(l tracking.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if routine(l.Type) {
		if l.Type == "member.restarting" {
			r.held[l.Member] = l
		}
		return
	}
	v := r.outv(r.ahead)
	var lines []string
	if before, ok := r.held[l.Member]; ok && bad(l) {
		delete(r.held, l.Member)
		lines = append(lines, v.line(before)...)
	}
	r.stay(append(lines, v.line(l)...)...)
}

// line writes a line of the transcript; what is bad is red.
func (v view) line(l tracking.Line) []string {
	lines := lineText(v, "", l)
	if bad(l) {
		for i, line := range lines {
			lines[i] = v.red(line)
		}
	}
	return lines
}

// bad reports whether a line tells of something that went wrong.
func bad(l tracking.Line) bool {
	switch l.Type {
	case "member.failed", "member.exited", "member.put-back":
		return true
	}
	return false
}

func (r *ttyReporter) lost(o outage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.outv(r.ahead)
	if o.planned {
		if o.single && o.tries == 0 {
			r.stay(note(v, "watching", o.product+" restarts as planned; trying again")...)
		}
		status := r.latest
		r.show(func(v view) []string {
			lines := watchLines(v, status)
			last := len(lines) - 1
			return append(lines[:last], "No answer for "+spanText(time.Since(o.since))+", as planned.", lines[last])
		})
		return
	}
	r.show(func(v view) []string { return outageLines(v, o) })
}

func (r *ttyReporter) found(o outage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := foundText(o); text != "" {
		r.stay(note(r.outv(r.ahead), "watching", text)...)
	}
}

// note is a line of our own among those of the transcript.
func note(v view, word, text string) []string {
	return lineText(v, "", tracking.Line{At: v.now, Type: word, Text: text})
}
