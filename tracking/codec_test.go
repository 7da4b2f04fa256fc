package tracking

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var at = time.Date(2026, 11, 22, 12, 2, 41, 123456789, time.UTC)

// fill sets every field that v reaches to something that is not zero, but for
// Extra; a field that is added and not carried by the codec is found out.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(at))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.String:
		if v.Type() != reflect.TypeFor[Extra]() {
			v.SetString("text <&> \u2028 é")
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 << 40)
	case reflect.Uint64:
		v.SetUint(1<<64 - 1)
	default:
		panic("what is a " + v.Kind().String())
	}
}

func TestRoundTrip(t *testing.T) {
	var run Run
	fill(reflect.ValueOf(&run).Elem())
	run.Format = Format
	data, err := run.Encode()
	if err != nil {
		t.Fatal(err)
	}
	gotRun, err := DecodeRun(data)
	if diff := cmp.Diff(run, gotRun); diff != "" || err != nil {
		t.Errorf("Run: %v\n%s", err, diff)
	}

	var plan Plan
	fill(reflect.ValueOf(&plan).Elem())
	plan.Format = Format
	if data, err = plan.Encode(); err != nil {
		t.Fatal(err)
	}
	gotPlan, err := DecodePlan(data)
	if diff := cmp.Diff(plan, gotPlan); diff != "" || err != nil {
		t.Errorf("Plan: %v\n%s", err, diff)
	}

	var report Report
	fill(reflect.ValueOf(&report).Elem())
	report.Format = Format
	if data, err = report.Encode(); err != nil {
		t.Fatal(err)
	}
	gotReport, err := DecodeReport(data)
	if diff := cmp.Diff(report, gotReport); diff != "" || err != nil {
		t.Errorf("Report: %v\n%s", err, diff)
	}
}

// Absent and empty are the same, on the way in and on the way out, and no list
// that clients want is null.
func TestRoundTripEmpty(t *testing.T) {
	for _, in := range []Run{{}, {Turns: []Turn{}, Log: []Line{}, Overrides: []string{}}} {
		data, err := in.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRun(data)
		if diff := cmp.Diff(Run{Format: Format}, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		if bytes.Contains(data, []byte("null")) {
			t.Errorf("null in %s", data)
		}
	}
	got, err := DecodeRun([]byte(`{"format":1,"turns":[],"log":null,"overrides":[],"waiting":null,"archive":null}`))
	if diff := cmp.Diff(Run{Format: Format}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	plan, err := Plan{}.Encode()
	if err != nil || !bytes.Contains(plan, []byte(`"members":[]`)) {
		t.Errorf("Plan: %s, %v", plan, err)
	}
	report, err := Report{}.Encode()
	if err != nil || !bytes.Contains(report, []byte(`"formats":[]`)) {
		t.Errorf("Report: %s, %v", report, err)
	}
	gotReport, err := DecodeReport(report)
	if diff := cmp.Diff(Report{Format: Format}, gotReport); diff != "" || err != nil {
		t.Errorf("Report: %v\n%s", err, diff)
	}
	if r, err := DecodeRun(nil); err != nil || !reflect.ValueOf(r).IsZero() {
		t.Errorf("an empty value: %+v, %v", r, err)
	}
	if p, err := DecodePlan([]byte{}); err != nil || !reflect.ValueOf(p).IsZero() {
		t.Errorf("an empty value: %+v, %v", p, err)
	}
	if r, err := DecodeReport(nil); err != nil || !reflect.ValueOf(r).IsZero() {
		t.Errorf("an empty value: %+v, %v", r, err)
	}
}

// same compares two JSON documents.
func same(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	for _, d := range []struct {
		data []byte
		v    *any
	}{{got, &g}, {want, &w}} {
		dec := json.NewDecoder(bytes.NewReader(d.data))
		dec.UseNumber()
		if err := dec.Decode(d.v); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Error(diff)
	}
}

// What a newer release of the same format has added survives a rewrite here, at
// every depth, digits of large numbers included.
func TestUnknownFieldsSurvive(t *testing.T) {
	const since = `"since":"2026-11-22T12:02:41Z"`
	run := `{"format":1,"rev":7,"takeover":2,"leader":"m1","boot":"b","id":"r","status":"working","lines":2,
		"new":{"deep":[1,2,{"er":null}]},"number":12345678901234567890123,"Status":"another case",
		"archive":{"digest":"d","sums":"s","size":3,"product":"p","version":"v","counter":4,"new":"in archive"},
		"turns":[
			{"member":"m2","attempt":1,"state":"prepared",` + since + `,"began":"2026-11-22T12:02:41Z","budget":5,"old_boot":"","new_boot":"","digest":"d","from":"","new":"in the first turn"},
			{"member":"m3","attempt":1,"state":"a state of tomorrow",` + since + `,"began":"2026-11-22T12:02:41Z","budget":5,"old_boot":"","new_boot":"","digest":"d","from":"","new":["in the second"]}],
		"waiting":{"reason":"R","message":"m",` + since + `,"new":"in waiting"},
		"log":[{"seq":2,"at":"2026-11-22T12:02:41Z","type":"t","text":"x","new":"in a line"}]}`
	r, err := DecodeRun([]byte(run))
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	same(t, data, []byte(run))

	// They stay with what is changed, and go with what is taken away.
	r.Status = Finished
	r.Turns = r.Turns[1:]
	r.Turn("m3").State = Done
	r.Waiting = nil
	if data, err = r.Encode(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		`"status":"finished"`: true, `"Status":"another case"`: true, `"in archive"`: true, `"in the first turn"`: false,
		`"in the second"`: true, `"in waiting"`: false, `"in a line"`: true, `12345678901234567890123`: true,
	} {
		if strings.Contains(string(data), text) != want {
			t.Errorf("%s in the result: %t, want %t: %s", text, !want, want, data)
		}
	}

	plan := `{"format":1,"run":"r","id":"i","members":["m1"],"new":true,"rules":{"max_unavailable":1,"member_timeout":2,"restart_lease":3,"min_healthy":4,"new":"rule"}}`
	p, err := DecodePlan([]byte(plan))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = p.Encode(); err != nil {
		t.Fatal(err)
	}
	same(t, data, []byte(plan))

	report := `{"format":1,"member":"m1","boot":"b","version":"v","program":"p","platform":"linux/amd64","formats":[1],"at":"2026-11-22T12:02:41Z","new":[],
		"last":{"run":"r","attempt":1,"state":"done","version":"v","program":"p","took":1,"away":2,"new":"last"}}`
	rep, err := DecodeReport([]byte(report))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = rep.Encode(); err != nil {
		t.Fatal(err)
	}
	same(t, data, []byte(report))
}

// A field that is known but empty does not come back from the extra ones.
func TestExtraNeverWins(t *testing.T) {
	r := Run{ID: "mine", Extra: `{"id":"theirs","reason":"theirs","-":"kept"}`}
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if s := string(data); strings.Contains(s, "theirs") || !strings.Contains(s, `"-":"kept"`) {
		t.Error(s)
	}
	r.Extra = "no JSON"
	if _, err := r.Encode(); err == nil {
		t.Error("extra fields that are no JSON were written")
	}
}

func TestNewerFormat(t *testing.T) {
	data := []byte(`{"format":2,"status":{"not":"the type that we know"}}`)
	run, runErr := DecodeRun(data)
	plan, planErr := DecodePlan(data)
	report, reportErr := DecodeReport(data)
	for name, tc := range map[string]struct {
		decode error
		encode func() ([]byte, error)
	}{
		"run":    {runErr, run.Encode},
		"plan":   {planErr, plan.Encode},
		"report": {reportErr, report.Encode},
	} {
		if !errors.Is(tc.decode, ErrFormat) || errors.Is(tc.decode, ErrDamaged) || !strings.Contains(fmt.Sprint(tc.decode), "format 2") {
			t.Errorf("%s: Decode = %v, want ErrFormat with the number", name, tc.decode)
		}
		if data, err := tc.encode(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: Encode of what was refused = %s, %v; want ErrFormat", name, data, err)
		}
	}
}

func TestDamagedValue(t *testing.T) {
	for _, data := range []string{
		"null", "{}", "[]", `"text"`, "7", "\x00", `{"format":1`, `{"format":1}{}`, `{"format":0}`, `{"format":-1}`, `{"format":null}`, `{"format":"1"}`,
		`{"Format":1}`, `{"format":1,"status":7}`, `{"format":1,"at":7,"staged_at":"yesterday","rules":7}`, `{"format":1,"turns":[7],"members":7,"formats":7}`,
	} {
		r, err := DecodeRun([]byte(data))
		if data == `{"format":1,"status":7}` {
			// Known to a Run alone.
		} else if _, err := DecodePlan([]byte(data)); !errors.Is(err, ErrDamaged) {
			t.Errorf("DecodePlan(%s) = %v, want ErrDamaged", data, err)
		} else if _, err := DecodeReport([]byte(data)); !errors.Is(err, ErrDamaged) {
			t.Errorf("DecodeReport(%s) = %v, want ErrDamaged", data, err)
		}
		if !errors.Is(err, ErrDamaged) || !reflect.ValueOf(r).IsZero() {
			t.Errorf("DecodeRun(%s) = %+v, %v; want zero, ErrDamaged", data, r, err)
		}
	}
}

// A Run must fit into every Store, whatever was said during it.
func TestRunFits(t *testing.T) {
	var r Run
	for range 3 * maxLog {
		r.Add(at, strings.Repeat("m", 64), "member.prepared", strings.Repeat("<", 5000))
	}
	data, err := r.Encode()
	if err != nil || len(data) > MaxValue {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func FuzzDecodeRun(f *testing.F) {
	var run Run
	fill(reflect.ValueOf(&run).Elem())
	run.Format, run.Extra = Format, `{"new":[1,"\u003c",null]}`
	seed, err := run.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	for _, s := range []string{"", "null", "{}", `{"format":1}`, `{"format":2}`, `{"format":1,"x":1e999,"":"","é":"\ud800","turns":[null,{"-":1}],"waiting":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRun(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrDamaged) {
				t.Errorf("an error without a name: %v", err)
			}
			return
		}
		r.Profile()
		once, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeRun(once)
		if err != nil {
			t.Fatalf("%v: %s", err, once)
		}
		twice, err := again.Encode()
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%v\n%s\n%s", err, once, twice)
		}
	})
}

func FuzzDecodeDocument(f *testing.F) {
	d := document{Counter: 3, Keys: map[string]entry{"run": {2, []byte("text")}, "plan": {1, []byte{}}, "member/m": {3, []byte("\xff")}}}
	seed, err := d.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, false)
	f.Add([]byte(`{"counter":1,"keys":{"run":{"rev":1,"data":"AA=="}}}`), true)
	f.Fuzz(func(t *testing.T, data []byte, signed bool) {
		if signed { // or hardly anything would pass the checksum
			data = fmt.Appendf(nil, `{"format":1,"sum":%q,"store":%s}`, sum(data), data)
		}
		d, err := decodeDocument(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrDamaged) {
				t.Errorf("an error without a name: %v", err)
			}
			return
		}
		data, err = d.encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decodeDocument(data); err != nil || !again.equal(d) {
			t.Errorf("%v: %+v, %+v", err, d, again)
		}
	})
}
