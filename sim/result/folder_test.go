package result

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"orrery/sim/journal"
)

func ptr(r *rand.Rand) *float64 {
	if r.IntN(3) == 0 {
		return nil
	}
	v := r.Float64() * 1e6
	return &v
}

func randomJob(r *rand.Rand, i int) JobRow {
	return JobRow{Job: fmt.Sprintf("job-%06d", i), Tenant: fmt.Sprint("team-", r.IntN(5)), Class: "train",
		State: "succeeded", Pods: int32(r.IntN(9)), GPUs: float64(r.IntN(64)) / 4,
		CPUMilli: r.Int64N(1e6), MemoryMiB: r.Int64N(1e6),
		Priority: int32(r.IntN(100) - 50), SubmitSeconds: r.Float64() * 1e6, PlacedSeconds: ptr(r),
		StartSeconds: ptr(r),
		EndSeconds:   ptr(r), WaitSeconds: r.Float64(), RunSeconds: r.Float64(), Restarts: int32(r.IntN(3)),
		LostGPUSeconds: r.Float64(), GPUSeconds: r.Float64(), Reason: strings.Repeat("no room ", r.IntN(2)),
		Gang: int32(r.IntN(2)), Speed: ptr(r), Layer: "leaf", Spans: "spine=1,leaf=1"}
}

func randomPod(r *rand.Rand, i int) PodRow {
	return PodRow{Pod: fmt.Sprintf("default/job-%06d-0", i), Job: fmt.Sprintf("job-%06d", i),
		Node: fmt.Sprint("n", r.IntN(99)), GPUs: 2, Slots: "0,1", Phase: "Succeeded", Attempts: int32(r.IntN(9)),
		CreatedSeconds: r.Float64(),
		BoundSeconds:   ptr(r), StartSeconds: ptr(r), EndSeconds: ptr(r), LastMessage: "0/3 nodes are available"}
}

// example returns an account with every slice in use.
func example() *Data {
	low := 1.5
	return &Data{
		Config: "apiVersion: orrery/v1\n",
		Summary: Summary{Schema: 1, Scenario: "tiny", Seed: 7, Epoch: "2026-01-01T00:00:00Z", SimulatedSeconds: 3600,
			EndReason: "drained", Repeatable: true, Jobs: Jobs{Submitted: 2, Completed: 2},
			QueueWait: Distribution{Count: 2, Mean: 1, P50: 1, P90: 1, P95: 1, P99: 1, Max: 1},
			GPU: GPU{Devices: 8, CapacityHours: 8, UsedHours: 2, IdleHours: 6, IdleNoDemandHours: 6,
				AllocatedFraction: 0.25},
			Scheduler: Scheduler{Attempts: 3,
				ByPlugin: map[string]int64{"NodeResourcesFit": 1, "TaintToleration": 2}},
			Cost:          Cost{Basis: "on-demand", TotalUSD: 12.345678, PUE: 1.2},
			Versions:      map[string]string{"orrery": "1", "k8s.io/kubernetes": "v1.37.2"},
			Warnings:      []Warning{{"trace.rows", "rows <skipped> & counted", 3}},
			Expectations:  []Expectation{{Path: "queue_wait_seconds.p95", Min: &low, Value: 1}},
			MIG:           &MIG{Profiles: []MIGProfile{{Profile: "1g.10gb", Slices: 1}}},
			Fragmentation: &Fragmentation{IdleHours: 1, CPUHours: 1, MainCause: "cpu", Samples: 1, BinSeconds: 60},
			Gangs:         &Gangs{Jobs: 1, Placed: 1}, PartlyPlaced: &PartlyPlaced{}, Speed: &Speed{Jobs: 1},
			Locality: &Locality{Layers: map[string]LayerLocality{"leaf": {WithinJobs: 1}}, LayerNames: []string{"leaf"}},
			Models:   []Model{{Name: "m", Sources: []string{"s"}, LeavesOut: []string{"l"}}},
		},
		Nodes: []Node{{Name: "n0", Pool: "p", GPUs: 8, UsedHours: 2, CapHours: 8}},
		Series: Series{T: []float64{0, 60}, Bin: 60, Used: []float64{1, 2}, IdleNoDemand: []float64{7, 6},
			IdleFragmented: []float64{0, 0}, IdleWaiting: []float64{0, 0}, Down: []float64{0, 0},
			PendingPods: []float64{1, 0}, RunningPods: []float64{1, 2}, PendingGPUs: []float64{4, 0}},
	}
}

// fillFolder writes a small whole journal and the tables' rows.
func fillFolder(t *testing.T, f *Folder, d *Data, rows int) ([]JobRow, []PodRow) {
	t.Helper()
	w := journal.NewWriter(f.Journal())
	w.Append(0, journal.Run{Format: journal.FormatVersion, Scenario: "tiny"})
	w.Append(1, journal.End{Reason: journal.EndDrained})
	n, head, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	d.Summary.Journal = Journal{n, head}
	r := rand.New(rand.NewPCG(1, 1))
	var jobs []JobRow
	var pods []PodRow
	for i := range rows {
		jobs, pods = append(jobs, randomJob(r, i)), append(pods, randomPod(r, i))
		if err := errors.Join(f.AddJob(jobs[i]), f.AddPod(pods[i])); err != nil {
			t.Fatal(err)
		}
	}
	return jobs, pods
}

func commit(t *testing.T, out string, rows int) ([]JobRow, []PodRow) {
	t.Helper()
	f, err := Create(out)
	if err != nil {
		t.Fatal(err)
	}
	d := example()
	jobs, pods := fillFolder(t, f, d, rows)
	err = f.Commit(d, Parts{Run: RunInfo{WallSeconds: 1.5}, Report: func(w io.Writer, d *Data) error {
		_, err := io.WriteString(w, "<html>"+d.Summary.Scenario)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	return jobs, pods
}

func TestFolderRoundTrip(t *testing.T) {
	out := filepath.Join(t.TempDir(), "deep", "run1")
	jobs, pods := commit(t, out, rowsPerGroup+1000) // two row groups
	o, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Verify(); err != nil {
		t.Error(err)
	}
	var gotJobs []JobRow
	var gotPods []PodRow
	err = errors.Join(o.Jobs(func(r JobRow) error { gotJobs = append(gotJobs, r); return nil }),
		o.Pods(func(r PodRow) error { gotPods = append(gotPods, r); return nil }))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(jobs, gotJobs) || !reflect.DeepEqual(pods, gotPods) {
		t.Error("rows read back differ from the rows written")
	}
	want := example()
	var nodes []NodeRow
	var series []SeriesRow
	err = errors.Join(o.Nodes(func(r NodeRow) error { nodes = append(nodes, r); return nil }),
		o.Series(func(r SeriesRow) error { series = append(series, r); return nil }))
	if err != nil || !cmp.Equal(nodes, nodeRows(want)) || !cmp.Equal(series, seriesRows(want)) {
		t.Errorf("nodes or series differ (%v)", err)
	}
	want.Summary.Journal = o.Summary.Journal
	if diff := cmp.Diff(want.Summary, o.Summary); diff != "" {
		t.Error(diff)
	}
	if s, err := o.Scenario(); string(s) != want.Config || err != nil {
		t.Errorf("scenario %q, %v", s, err)
	}
	if r, err := o.RunInfo(); r.WallSeconds != 1.5 || err != nil {
		t.Errorf("run info %+v, %v", r, err)
	}
	if leftovers, _ := filepath.Glob(filepath.Join(filepath.Dir(out), "*"+partialMark+"*")); leftovers != nil {
		t.Errorf("left over: %v", leftovers)
	}
}

// TestFoldersAreByteStable writes one result twice and compares every file.
func TestFoldersAreByteStable(t *testing.T) {
	dir := t.TempDir()
	var sums [2]map[string][32]byte
	for i := range sums {
		out := filepath.Join(dir, fmt.Sprint("run", i))
		commit(t, out, 3000)
		sums[i] = map[string][32]byte{}
		err := filepath.WalkDir(out, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			rel, _ := filepath.Rel(out, path)
			sums[i][rel] = sha256.Sum256(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(sums[0]) != 9 || !cmp.Equal(sums[0], sums[1]) {
		t.Errorf("%d files, or their bytes differ: %s", len(sums[0]), cmp.Diff(sums[0], sums[1]))
	}
}

func TestCreateRefusesExisting(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir); err == nil || !strings.Contains(err.Error(), "never overwritten") {
		t.Errorf("an existing folder was accepted: %v", err)
	}
	out := filepath.Join(dir, "run")
	f, err := Create(out)
	if err != nil {
		t.Fatal(err)
	}
	d := example()
	fillFolder(t, f, d, 1)
	if err := os.Mkdir(out, 0o755); err != nil { // somebody else was faster
		t.Fatal(err)
	}
	if err := f.Commit(d, Parts{}); err == nil {
		t.Error("the folder that appeared meanwhile was overwritten")
	}
	if err := f.Abort(); err != nil {
		t.Error(err)
	}
}

// TestFailuresLeaveNothing makes every part of Commit fail in turn: no folder of the final name, and none after Abort.
func TestFailuresLeaveNothing(t *testing.T) {
	boom := errors.New("boom")
	for name, spoil := range map[string]func(*Folder, *Data) Parts{
		"report":  func(*Folder, *Data) Parts { return Parts{Report: func(io.Writer, *Data) error { return boom }} },
		"journal": func(_ *Folder, d *Data) Parts { d.Summary.Journal.Records++; return Parts{} },
		"number":  func(_ *Folder, d *Data) Parts { d.Summary.Cost.PUE = nan(); return Parts{} },
		"tables":  func(f *Folder, _ *Data) Parts { f.jobs.file.Close(); return Parts{} },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := Create(filepath.Join(dir, "run"))
			if err != nil {
				t.Fatal(err)
			}
			d := example()
			fillFolder(t, f, d, 10)
			if err := f.Commit(d, spoil(f, d)); err == nil {
				t.Fatal("no error")
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 1 || !IsPartial(left[0].Name()) {
				t.Errorf("after the failure: %v, %v", left, err)
			}
			if _, err := Open(filepath.Join(dir, left[0].Name())); err == nil {
				t.Error("the partial folder was opened")
			}
			if err := f.Abort(); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("after Abort: %v", left)
			}
		})
	}
}

func nan() float64 { z := 0.0; return z / z }

func TestOpenSaysWhatIsMissing(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	commit(t, out, 10)
	cut := func(name string, n int64) {
		if err := os.Truncate(filepath.Join(out, name), n); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(out, JournalFile))
	if err != nil {
		t.Fatal(err)
	}
	cut(JournalFile, info.Size()-1)
	if err := os.Remove(filepath.Join(out, SummaryFile)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(out)
	for _, says := range []string{"has no result.json", "truncated"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error does not say %q: %v", says, err)
		}
	}
	cut(JournalFile, 3)
	if _, err = Open(out); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("a journal of 3 bytes: %v", err)
	}
}

func TestParseSummaryIsStrict(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"newer":   {`{"schema_version":2}`, "schema_version 2"},
		"none":    {`{}`, "schema_version 0"},
		"field":   {`{"schema_version":1,"gpus":1}`, "gpus"},
		"garbage": {`{"schema_version":1} {}`, "after"},
		"no-json": {`<html>`, "no JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseSummary([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want an error saying %q", err, tc.says)
			}
		})
	}
}

func TestSummaryJSONIsStableAndPlain(t *testing.T) {
	var a, b bytes.Buffer
	d := example()
	if err := errors.Join(WriteJSON(&a, &d.Summary), WriteJSON(&b, &d.Summary)); err != nil {
		t.Fatal(err)
	}
	if a.String() != b.String() || !strings.Contains(a.String(), "rows <skipped> & counted") {
		t.Error(a.String())
	}
	s, err := ParseSummary(a.Bytes())
	if err != nil || !cmp.Equal(*s, d.Summary) {
		t.Errorf("read back: %v %s", err, cmp.Diff(*s, d.Summary))
	}
}
