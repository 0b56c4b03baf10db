package transform

import (
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"orrery/traces"
)

// source makes n jobs, one every 10 s, with tenants a, b, c in turn.
func source(n int) traces.Source {
	var jobs []traces.Job
	for i := range n {
		jobs = append(jobs, traces.Job{ID: fmt.Sprintf("j%d", i), Submit: time.Duration(i) * 10 * time.Second,
			Run: time.Minute, GPUs: 1, GPUMilli: 1000, Tenant: string(rune('a' + i%3)), ObservedWait: time.Duration(i)})
	}
	return traces.FromJobs(traces.Header{Name: "s", TimeZero: "2020-01-01T00:00:00Z", Source: "src", Licence: "L"}, jobs)
}

func read(t *testing.T, src traces.Source, err error) (traces.Header, []traces.Job) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := traces.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Next(); err != io.EOF {
		t.Fatalf("after the end: %v", err)
	}
	h := src.Header()
	if h.Jobs != 0 || len(h.Notes) == 0 {
		t.Errorf("header %+v does not say what was done", h)
	}
	for i, j := range jobs {
		if p := j.Check(); len(p) > 0 || i > 0 && j.Submit < jobs[i-1].Submit {
			t.Fatalf("job %+v after %+v: %v", j, jobs[max(i-1, 0)], p)
		}
	}
	return h, jobs
}

func ids(jobs []traces.Job) string {
	var out []string
	for _, j := range jobs {
		out = append(out, fmt.Sprintf("%s@%s", j.ID, traces.FormatSeconds(j.Submit)))
	}
	return strings.Join(out, " ")
}

func TestClip(t *testing.T) {
	src, err := Clip(source(10), 25*time.Second, 60*time.Second)
	h, jobs := read(t, src, err)
	if got := ids(jobs); got != "j3@5 j4@15 j5@25" || h.TimeZero != "2020-01-01T00:00:25Z" {
		t.Errorf("%s %s", got, h.TimeZero)
	}
}

func TestFirst(t *testing.T) {
	src, err := First(source(10), 2)
	if _, jobs := read(t, src, err); ids(jobs) != "j0@0 j1@10" {
		t.Error(ids(jobs))
	}
	src, err = First(source(3), 20)
	if _, jobs := read(t, src, err); len(jobs) != 3 {
		t.Error(ids(jobs))
	}
}

func TestScale(t *testing.T) {
	src, err := ScaleTime(source(3), 0.5)
	_, jobs := read(t, src, err)
	if ids(jobs) != "j0@0 j1@5 j2@10" || jobs[2].Run != 30*time.Second || jobs[2].ObservedWait != 1 {
		t.Errorf("%+v", jobs)
	}
	src, err = CompressGaps(source(3), 4)
	_, jobs = read(t, src, err)
	if ids(jobs) != "j0@0 j1@2.5 j2@5" || jobs[2].Run != time.Minute {
		t.Errorf("%+v", jobs)
	}
	src, err = ScaleTime(source(3), 1e9)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := traces.ReadAll(src); err == nil {
		t.Error("times beyond 100 years were accepted")
	}
	// There and back is the identity, up to a nanosecond.
	there, err := ScaleTime(source(50), 3)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ScaleTime(there, 1.0/3)
	_, jobs = read(t, back, err)
	_, want := read(t, must(First(source(50), 50)), nil)
	if d := cmp.Diff(want, jobs); d != "" {
		t.Error(d)
	}
}

func must(s traces.Source, err error) traces.Source {
	if err != nil {
		panic(err)
	}
	return s
}

// TestThin: the share holds, seeds differ, smaller shares are subsets, and other transformations do not matter.
func TestThin(t *testing.T) {
	const n = 20_000
	kept := func(share float64, seed uint64) []traces.Job {
		_, jobs := read(t, must(Thin(source(n), share, seed)), nil)
		return jobs
	}
	half, quarter, other := kept(0.5, 1), kept(0.25, 1), kept(0.5, 2)
	for _, c := range []struct {
		jobs  []traces.Job
		share float64
	}{{half, 0.5}, {quarter, 0.25}, {other, 0.5}} {
		if d := math.Abs(float64(len(c.jobs))/n - c.share); d > 4*math.Sqrt(c.share*(1-c.share)/n) {
			t.Errorf("%d of %d jobs for a share of %v", len(c.jobs), n, c.share)
		}
	}
	in := map[string]bool{}
	for _, j := range half {
		in[j.ID] = true
	}
	for _, j := range quarter {
		if !in[j.ID] {
			t.Fatalf("%s is in the quarter and not in the half", j.ID)
		}
	}
	both := 0
	for _, j := range other {
		if in[j.ID] {
			both++
		}
	}
	if d := math.Abs(float64(both)/n - 0.25); d > 4*math.Sqrt(0.25*0.75/n) {
		t.Errorf("two seeds share %d of %d jobs", both, n)
	}
	if len(kept(1, 3)) != n {
		t.Error("a share of 1 drops jobs")
	}
}

func TestTenants(t *testing.T) {
	src, err := Tenants(source(6), "c", "a")
	if _, jobs := read(t, src, err); ids(jobs) != "j0@0 j2@20 j3@30 j5@50" {
		t.Error(ids(jobs))
	}
}

func TestMerge(t *testing.T) {
	src, err := Merge("m", Part{"x/", source(3)}, Part{"y/", must(Clip(source(9), 10*time.Second, 40*time.Second))})
	h, jobs := read(t, src, err)
	if got := ids(jobs); got != "x/j0@0 y/j1@0 x/j1@10 y/j2@10 x/j2@20 y/j3@20" {
		t.Error(got)
	}
	if h.Source != "src" || h.Licence != "L" || h.Name != "m" || len(h.Notes) != 3 {
		t.Errorf("%+v", h)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Merge("m", Part{"x/", source(3)}, Part{"x/", source(3)}); err == nil {
		t.Error("equal prefixes were accepted")
	}
}

func TestRefused(t *testing.T) {
	for name, err := range map[string]error{
		"clip":    second(Clip(source(1), 5, 5)),
		"first":   second(First(source(1), 0)),
		"scale":   second(ScaleTime(source(1), math.NaN())),
		"gaps":    second(CompressGaps(source(1), math.Inf(1))),
		"thin":    second(Thin(source(1), 1.5, 0)),
		"tenants": second(Tenants(source(1))),
		"merge":   second(Merge("m")),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func second(_ traces.Source, err error) error { return err }

// TestErrorsPass: an error of the input ends every transformation with that error.
func TestErrorsPass(t *testing.T) {
	broken := func() traces.Source { return &failing{Source: source(3)} }
	for i, src := range []traces.Source{must(Clip(broken(), 0, time.Hour)), must(First(broken(), 9)),
		must(Thin(broken(), 0.5, 1)), must(Merge("m", Part{"a", source(5)}, Part{"b", broken()}))} {
		if _, err := traces.ReadAll(src); err != errBroken {
			t.Errorf("transformation %d: %v", i, err)
		}
	}
}

var errBroken = fmt.Errorf("broken")

// failing is a source that fails after two jobs.
type failing struct {
	traces.Source
	n int
}

func (f *failing) Next() (traces.Job, error) {
	if f.n++; f.n > 2 {
		return traces.Job{}, errBroken
	}
	return f.Source.Next()
}
