package main

import (
	"errors"
	"fmt"
	"time"
)

// summary is what the demo found; --json prints it.
type summary struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`

	Break    string    `json:"break,omitempty"`
	Promised string    `json:"promised,omitempty"` // for Break, by the documentation
	Findings []finding `json:"findings"`

	Members      []memberSummary `json:"members"`
	Order        []string        `json:"order"` // in which they were done
	LeaderBefore string          `json:"leader_before"`
	LeaderAfter  string          `json:"leader_after"`
	Handoffs     []leadership    `json:"handoffs"` // changes of leadership during the run, as far as they were seen
	Killed       string          `json:"killed,omitempty"`
	KilledWhile  string          `json:"killed_while,omitempty"`

	Writes       tally     `json:"writes"`
	Lost         int       `json:"writes_lost"` // acknowledged, and not there in the end
	FirstLost    string    `json:"first_lost,omitempty"`
	Gap          ms        `json:"longest_write_gap_ms"` // between two acknowledged writes, of all clients together
	GapAt        time.Time `json:"longest_write_gap_at"`
	Reads        tally     `json:"reads"`
	ReadsMissing int64     `json:"reads_missing"` // of acknowledged writes, that did not find them

	Total     ms `json:"total_ms"`
	BareSum   ms `json:"bare_restarts_ms"` // restarting each member the plain way, together
	BareGap   ms `json:"bare_longest_write_gap_ms"`
	SteadySum ms `json:"min_healthy_ms"` // of all members together
	StartUp   ms `json:"cluster_start_up_ms"`

	Status       string   `json:"status"`
	FinalState   string   `json:"final_state"`
	FailedMember string   `json:"failed_member,omitempty"`
	FailedReason string   `json:"failed_reason,omitempty"`
	Transcript   []string `json:"transcript"`
	Story        []string `json:"story,omitempty"` // of a version that was put back

	Began time.Time `json:"began,omitzero"`
	Dir   string    `json:"dir"`
	Kept  bool      `json:"kept"`
}

// memberSummary is what became of one member.
type memberSummary struct {
	ID            string `json:"id"`
	URL           string `json:"url"`
	VersionBefore string `json:"version_before"`
	VersionAfter  string `json:"version_after"` // "" if it does not answer
	DigestBefore  string `json:"digest_before"`
	DigestAfter   string `json:"digest_after"` // of the program that is installed
	PIDBefore     int    `json:"pid_before"`
	PIDAfter      int    `json:"pid_after"`
	NewBoot       bool   `json:"new_boot"` // another process, or the same with another program
	Took          ms     `json:"turn_ms"`
	Away          ms     `json:"away_ms"` // in which it took no connection from its queue
	BareRestart   ms     `json:"bare_restart_ms"`
	Restarts      int    `json:"supervisor_restarts"`

	bootBefore string
}

// A finding is one thing that was promised, and whether it was seen.
type finding struct {
	Promise string `json:"promise"`
	Seen    bool   `json:"seen"`
	Detail  string `json:"detail,omitempty"`
}

func (s *summary) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// find notes whether something that was promised is so. The detail is what was
// seen.
func (s *summary) find(ok bool, promise, detail string, args ...any) {
	f := finding{Promise: promise, Seen: ok, Detail: fmt.Sprintf(detail, args...)}
	s.Findings = append(s.Findings, f)
	if !ok {
		s.problem("%s: %s", promise, f.Detail)
	}
}

// member returns the summary of a member, nil if there is none.
func (s *summary) member(id string) *memberSummary {
	for i := range s.Members {
		if s.Members[i].ID == id {
			return &s.Members[i]
		}
	}
	return nil
}

// A ms is a duration that is printed in milliseconds, in JSON too.
type ms time.Duration

func (d ms) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.1f", time.Duration(d).Seconds()*1000), nil
}

func (d *ms) UnmarshalJSON(b []byte) error {
	var f float64
	if _, err := fmt.Sscan(string(b), &f); err != nil {
		return errors.New("no number of milliseconds")
	}
	*d = ms(f * float64(time.Millisecond))
	return nil
}

// String implements fmt.Stringer.
func (d ms) String() string {
	if time.Duration(d) < time.Second {
		return fmt.Sprintf("%.0f ms", time.Duration(d).Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", time.Duration(d).Seconds())
}
