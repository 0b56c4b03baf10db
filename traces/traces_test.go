package traces

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

func sampleJobs() []Job {
	return []Job{
		{ID: "a", Submit: 0, Run: 0, ObservedWait: WaitUnknown},
		{ID: "b \"q\" é 😀 <>&", Submit: 1, Run: 999_999_999, GPUs: 1, GPUMilli: 1, ObservedWait: 0},
		{ID: "c", Submit: time.Second, Run: MaxTime, GPUs: 8, GPUMilli: 1000, Pods: 2, CPUMilli: 64_000, MemoryMiB: 1 << 20,
			GPUModels: []string{"A100", "H100"}, Tenant: "t", User: "u", Class: "BE", Priority: "high", Outcome: Killed,
			ObservedWait: 1500 * time.Millisecond},
		{ID: "d", Submit: time.Second, Run: 3 * time.Hour, GPUs: 4, GPUMilli: 500, Outcome: Succeeded,
			ObservedWait: WaitUnknown},
	}
}

func sampleHeader() Header {
	return Header{Name: "sample", Source: "by hand", Licence: "CC0-1.0", TimeZero: "2020-01-01T00:00:00Z",
		Skipped: []Skip{{"no GPUs", 3, "x.csv:7"}}, Notes: []string{"a note"}, Jobs: 4}
}

func canonicalText(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, sampleHeader())
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range sampleJobs() {
		if err := w.Write(j); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func pack(t testing.TB, how, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = nopCloser{&b}
	switch how {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readText reads a trace to its end.
func readText(text []byte, opts Options) (Header, []Job, error) {
	src, err := OpenReader(bytes.NewReader(text), "f", opts)
	if err != nil {
		return Header{}, nil, err
	}
	jobs, err := ReadAll(src)
	h := src.Header()
	return h, jobs, errors.Join(err, src.Close(), src.Close())
}

func TestGolden(t *testing.T) {
	want := `{"orrery_trace":1,"name":"sample","source":"by hand","licence":"CC0-1.0",` +
		`"time_zero":"2020-01-01T00:00:00Z",` +
		`"units":{"time":"s","cpu":"milli","memory":"MiB","gpu":"milli"},` +
		`"skipped":[{"reason":"no GPUs","rows":3,"first":"x.csv:7"}],"notes":["a note"],"jobs":4}
{"id":"a","submit_s":0,"run_s":0,"gpus":0}
{"id":"b \"q\" é 😀 <>&","submit_s":0.000000001,"run_s":0.999999999,"gpus":1,"gpu_milli":1,"observed_wait_s":0}
{"id":"c","submit_s":1,"run_s":3155760000,"gpus":8,"pods":2,"cpu_milli":64000,"memory_mib":1048576,` +
		`"gpu_models":["A100","H100"],"tenant":"t","user":"u","class":"BE","priority":"high",` +
		`"outcome":"killed","observed_wait_s":1.5}
{"id":"d","submit_s":1,"run_s":10800,"gpus":4,"gpu_milli":500,"outcome":"succeeded"}
`
	if d := cmp.Diff(want, canonicalText(t)); d != "" {
		t.Error(d)
	}
}

func TestRoundTrip(t *testing.T) {
	text := canonicalText(t)
	want := sampleHeader()
	want.Format, want.Units = FormatVersion, StandardUnits()
	for name, data := range map[string][]byte{
		"plain": []byte(text), "gzip": pack(t, "gzip", text), "zstd": pack(t, "zstd", text),
		"mark": []byte("\ufeff" + text), "crlf": []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"no last newline": []byte(strings.TrimSuffix(text, "\n")),
	} {
		h, jobs, err := readText(data, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(sampleJobs(), jobs) + cmp.Diff(want, h); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestCutOff cuts a trace at every byte, in every packing: no cut may go unnoticed. Only the last newline is optional.
func TestCutOff(t *testing.T) {
	text := canonicalText(t)
	for _, how := range []string{"plain", "gzip", "zstd"} {
		data := pack(t, how, text)
		for n := range len(data) {
			if how == "plain" && n == len(data)-1 {
				continue
			}
			_, _, err := readText(data[:n], Options{Format: Canonical})
			var list *Errors
			if !errors.As(err, &list) {
				t.Fatalf("%s cut at byte %d of %d: %v", how, n, len(data), err)
			}
			if _, _, err := readText(data[:n], Options{Format: Canonical, SkipBad: true}); err == nil {
				t.Fatalf("%s cut at byte %d of %d goes unnoticed when bad rows are skipped", how, n, len(data))
			} else if strings.Contains(err.Error(), "\nunexpected EOF") { // said twice
				t.Fatalf("%s cut at byte %d of %d: %v", how, n, len(data), err)
			}
		}
	}
}

// TestDamage flips every byte of a compressed trace: either it is refused, or it reads as before (unused header bits).
func TestDamage(t *testing.T) {
	text := canonicalText(t)
	for _, how := range []string{"gzip", "zstd"} {
		data := pack(t, how, text)
		for n := range data {
			broken := bytes.Clone(data)
			broken[n] ^= 0x10
			_, jobs, err := readText(broken, Options{Format: Canonical})
			if err == nil && cmp.Diff(sampleJobs(), jobs) != "" {
				t.Fatalf("%s damaged at byte %d reads as another trace", how, n)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	const head = `{"orrery_trace":1,"name":"x","source":"","licence":"","time_zero":"",` +
		`"units":{"time":"s","cpu":"milli","memory":"MiB","gpu":"milli"}}` + "\n"
	const ok = `{"id":"ok","submit_s":5,"run_s":1,"gpus":1}` + "\n"
	job := func(id, rest string) string {
		return `{"id":"` + id + `","submit_s":5,"run_s":1,"gpus":1` + rest + "}\n"
	}
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"empty":          {"", []string{"f: the file is empty [empty]"}},
		"no header":      {ok, []string{"f:1: not a trace header", "[header]"}},
		"newer":          {`{"orrery_trace":2,"new":1}` + "\n", []string{"f:1: format version 2"}},
		"unknown header": {strings.Replace(head, `"name"`, `"nome"`, 1), []string{"f:1:", "nome", "[header]"}},
		"units":          {strings.Replace(head, `"s"`, `"ms"`, 1), []string{"f:1: units are"}},
		"time zero":      {strings.Replace(head, `"time_zero":""`, `"time_zero":"monday"`, 1), []string{"monday"}},
		"all at once": {head + job("a", `,"gqus":1`) + ok + job("b", `,"pods":-1`),
			[]string{"f:2: unknown key \"gqus\"", "f:4: pods is -1"}},
		"two in a line": {head + job("a", `,"x":1,"y":2`), []string{"f:2: unknown key \"x\"", "f:2: unknown key \"y\""}},
		"NaN":           {head + job("a", `,"observed_wait_s":NaN`), []string{"f:2:", "[syntax]"}},
		"quoted NaN":    {head + job("a", `,"observed_wait_s":"NaN"`), []string{`f:2: observed_wait_s is "NaN" [value]`}},
		"infinity": {head + `{"id":"a","submit_s":1e999,"run_s":1,"gpus":1}` + "\n",
			[]string{"f:2: submit_s is 1e999"}},
		"negative": {head + `{"id":"a","submit_s":1,"run_s":-5,"gpus":1}` + "\n",
			[]string{"f:2: run_s is -5 [value]"}},
		"too fine": {head + `{"id":"a","submit_s":1.0000000001,"run_s":5,"gpus":1}` + "\n",
			[]string{"at most 9 decimals"}},
		"too long": {head + `{"id":"a","submit_s":3155760001,"run_s":5,"gpus":1}` + "\n",
			[]string{"f:2: submit_s is 3155760001"}},
		"missing": {head + `{"id":"a","gpus":1}` + "\n",
			[]string{"f:2: submit_s is missing", "f:2: run_s is missing"}},
		"null":          {head + `{"id":null,"submit_s":1,"run_s":5,"gpus":1}` + "\n", []string{"f:2: id is null"}},
		"twice a key":   {head + job("a", `,"gpus":2`), []string{"f:2:", "duplicate", "[syntax]"}},
		"case":          {head + job("a", `,"Tenant":"x"`), []string{`unknown key "Tenant"`}},
		"not an object": {head + "[1]\n", []string{"f:2: the line is no JSON object"}},
		"two objects":   {head + strings.TrimSpace(ok) + ok, []string{"f:2: text after the object"}},
		"blank":         {head + "\n" + ok, []string{"f:2: the line is empty"}},
		"duplicate id":  {head + ok + job("b", "") + ok, []string{`f:4: job id "ok" was used before [duplicate-id]`}},
		"backwards": {head + ok + `{"id":"a","submit_s":4.5,"run_s":1,"gpus":1}` + "\n",
			[]string{"f:3: submit_s 4.5 is before 5", "[order]"}},
		"share": {head + job("a", `,"gpu_milli":1001`), []string{"f:2: gpu_milli is 1001"}},
		"share of none": {head + `{"id":"a","submit_s":1,"run_s":5,"gpus":0,"gpu_milli":500}` + "\n",
			[]string{"job without GPUs"}},
		"outcome":        {head + job("a", `,"outcome":"fine"`), []string{`outcome is "fine"`}},
		"models":         {head + job("a", `,"gpu_models":["A",""]`), []string{"gpu_models[1] is empty"}},
		"models no list": {head + job("a", `,"gpu_models":"A"`), []string{"gpu_models is"}},
		"control":        {head + job("a", `,"user":"a\u0007"`), []string{"control characters"}},
		"bad text":       {head + job("a\xff", ``), []string{"f:2:", "[syntax]"}},
		"count": {strings.Replace(head, `"units"`, `"jobs":2,"units"`, 1) + ok,
			[]string{"announces 2 jobs, the file has 1", "[truncated]"}},
		"long line": {head + job("a", `,"user":"`+strings.Repeat("x", bufferSize)+`"`) + job("b", `,"pods":-1`),
			[]string{"f:2: the line is longer", "f:3: pods"}},
		"another dataset": {"a,b,c\n1,2,3\n", []string{`f:1: not a trace header: "a,b,c"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readText([]byte(tc.text), Options{})
			var list *Errors
			if !errors.As(err, &list) || list.Problems[0].Fix == "" {
				t.Fatalf("no list of problems with a remedy: %v", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\nlacks %q", err, w)
				}
			}
		})
	}
}

// TestManyProblems: all are counted, some are kept, few are printed.
func TestManyProblems(t *testing.T) {
	text := strings.Split(canonicalText(t), "\n")[0] + "\n" + strings.Repeat("{}\n", 2000)
	_, _, err := readText([]byte(strings.Replace(text, `,"jobs":4`, "", 1)), Options{})
	var list *Errors
	if !errors.As(err, &list) || list.Count != 8000 || len(list.Problems) != problemsKept {
		t.Fatalf("%v", err)
	}
	s := err.Error()
	if strings.Count(s, "\n") != problemsShown || !strings.HasSuffix(s, "and 7980 more problems (8000 in all)") {
		t.Error(s)
	}
}

func TestSkipBad(t *testing.T) {
	text := strings.Replace(canonicalText(t), `"gpus":8`, `"gpus":-8`, 1)
	h, jobs, err := readText([]byte(text), Options{SkipBad: true})
	if err != nil || len(jobs) != 3 || h.Jobs != 0 {
		t.Fatalf("%d jobs, header %+v, %v", len(jobs), h, err)
	}
	want := []Skip{{"no GPUs", 3, "x.csv:7"}, {"malformed: value", 1, "f:4"}}
	if d := cmp.Diff(want, h.Skipped); d != "" {
		t.Error(d)
	}
}

func TestWriterRefuses(t *testing.T) {
	good := Job{ID: "a", Submit: 5, GPUs: 1, GPUMilli: 1000}
	for name, jobs := range map[string][]Job{
		"negative run": {{ID: "a", Run: -1}},
		"wait":         {{ID: "a", ObservedWait: -2}},
		"twice":        {good, good},
		"backwards":    {good, {ID: "b", Submit: 4}},
		"bad text":     {{ID: "a\xff"}},
	} {
		w, err := NewWriter(io.Discard, Header{})
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			err = w.Write(j)
		}
		if err == nil || w.Close() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	w, err := NewWriter(io.Discard, Header{Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(good), w.Close()); err == nil {
		t.Error("a wrong number of jobs was accepted")
	}
}

func TestConvert(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.ndjson")
	if err := os.WriteFile(in, []byte(strings.Replace(canonicalText(t), `,"jobs":4`, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out.ndjson", "out.ndjson.gz", "out.ndjson.zst"} {
		out := filepath.Join(dir, name)
		done, err := Convert(in, out, ConvertOptions{})
		if err != nil || done.Jobs != 4 || done.Header.Jobs != 4 {
			t.Fatalf("%+v %v", done, err)
		}
		first, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := Validate(out, Options{}); err != nil {
			t.Error(err)
		}
		_, jobs, err := readText(first, Options{})
		if d := cmp.Diff(sampleJobs(), jobs); d != "" || err != nil {
			t.Error(d, err)
		}
		if _, err := Convert(in, out, ConvertOptions{}); err == nil || !strings.Contains(err.Error(), "exists") {
			t.Errorf("overwrote %s: %v", name, err)
		}
		if _, err := Convert(in, out, ConvertOptions{Overwrite: true}); err != nil {
			t.Error(err)
		}
		if again, err := os.ReadFile(out); err != nil || !bytes.Equal(first, again) {
			t.Errorf("%s differs when written again: %v", name, err)
		}
	}
	// A failure half way leaves nothing behind, and an existing file as it was.
	broken := filepath.Join(dir, "broken.ndjson")
	if err := os.WriteFile(broken, []byte(canonicalText(t)[:600]), 0o600); err != nil {
		t.Fatal(err)
	}
	keep := filepath.Join(dir, "out.ndjson")
	before, _ := os.ReadFile(keep)
	for _, out := range []string{filepath.Join(dir, "new.ndjson"), keep} {
		if _, err := Convert(broken, out, ConvertOptions{Overwrite: true}); err == nil {
			t.Error("converted a broken trace")
		}
	}
	if after, _ := os.ReadFile(keep); !bytes.Equal(before, after) {
		t.Error("a failed conversion changed its output")
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	hidden, err2 := filepath.Glob(filepath.Join(dir, ".*"))
	if len(left) != 5 || len(hidden) != 0 || err != nil || err2 != nil {
		t.Errorf("files left: %v %v", left, hidden)
	}
	if err := Validate(filepath.Join(dir, "absent"), Options{}); err == nil {
		t.Error("validated a file that is not there")
	}
}

func TestSeconds(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 999_999_999, time.Second, 1_500_000_000, MaxTime, MaxTime - 1} {
		if got, err := ParseSeconds(FormatSeconds(d)); err != nil || got != d {
			t.Errorf("%d → %s → %d, %v", d, FormatSeconds(d), got, err)
		}
	}
	for _, s := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", "0x1", " 1", "1.0000000000", "3155760000.000000001",
		"99999999999999999999", "NaN", "Inf", "١"} {
		if d, err := ParseSeconds(s); err == nil {
			t.Errorf("%q read as %v", s, d)
		}
	}
}

// TestMemory streams a large trace: the memory held must be that of the hashes of ids, not that of jobs.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 200,000 jobs")
	}
	const n = 200_000
	r, w := io.Pipe()
	go func() {
		out, err := NewWriter(w, Header{Jobs: n})
		for i := range n {
			if err == nil {
				err = out.Write(Job{ID: fmt.Sprintf("job-%d", i), Submit: time.Duration(i), GPUs: 1, GPUMilli: 1000,
					User: fmt.Sprintf("user-%d", i%100), ObservedWait: WaitUnknown})
			}
		}
		if err == nil {
			err = out.Close()
		}
		w.CloseWithError(err)
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	src, err := NewReader(r, "f")
	if err != nil {
		t.Fatal(err)
	}
	_, jobs, err := count(src)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err != nil || jobs != n {
		t.Fatal(jobs, err)
	}
	perJob := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / n
	if perJob > 100 { // two hash sets (writer, reader) of at most 40 bytes a job each, and buffers
		t.Errorf("%.0f bytes a job are held", perJob)
	}
	runtime.KeepAlive(src)
}
