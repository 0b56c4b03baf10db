package formats_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"orrery/traces"
	"orrery/traces/formats"
	"orrery/traces/formats/openb"
)

// samples are small invented files, at least one for every format.
var samples = []struct{ file, format string }{
	{"acme.csv", "acme"}, {"acme_kalos.csv", "acme"}, {"helios.csv", "helios"}, {"openb.csv", "openb"},
	{"openb_multigpu.csv", "openb"}, {"philly.csv", "philly"}, {"phillyjson.json", "phillyjson"},
}

func sample(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(data []byte, name string, opts traces.Options) (traces.Header, []traces.Job, error) {
	opts.Formats = formats.All()
	src, err := traces.OpenReader(bytes.NewReader(data), name, opts)
	if err != nil {
		return traces.Header{}, nil, err
	}
	jobs, err := traces.ReadAll(src)
	h := src.Header()
	return h, jobs, errors.Join(err, src.Close())
}

// importSample reads a sample and fails the test on an error.
func importSample(t *testing.T, file string, opts traces.Options) (traces.Header, []traces.Job) {
	t.Helper()
	h, jobs, err := open(sample(t, file), file, opts)
	if err != nil {
		t.Fatal(err)
	}
	return h, jobs
}

const sec = time.Second

func TestOpenB(t *testing.T) {
	_, jobs := importSample(t, "openb.csv", traces.Options{})
	want := []traces.Job{
		{ID: "pod-a", Submit: 10 * sec, Run: 100 * sec, GPUs: 1, GPUMilli: 1000, Pods: 1, CPUMilli: 12000, MemoryMiB: 16384,
			GPUModels: []string{"V100M16", "V100M32"}, Class: "LS", Outcome: "succeeded"},
		{ID: "pod-b", Submit: 50 * sec, Run: 948 * sec, GPUs: 1, GPUMilli: 460, Pods: 1, CPUMilli: 8000, MemoryMiB: 30517,
			Class: "BE", ObservedWait: 2 * sec},
		{ID: "pod-c", Submit: 60 * sec, Run: 4 * sec, Pods: 1, CPUMilli: 4000, MemoryMiB: 8192, Class: "Burstable",
			Outcome: "failed", ObservedWait: sec},
		{ID: "pod-d", Submit: 70 * sec, Run: 1000, GPUs: 8, GPUMilli: 1000, Pods: 1, CPUMilli: 64000, MemoryMiB: 262144,
			Class: "Guaranteed", ObservedWait: traces.WaitUnknown},
	}
	if d := cmp.Diff(want, jobs); d != "" {
		t.Error(d)
	}
	h, jobs := importSample(t, "openb_multigpu.csv", traces.Options{})
	want = []traces.Job{
		{ID: "pod-b", GPUs: 1, GPUMilli: 460, Pods: 1, CPUMilli: 8000, MemoryMiB: 30517, ObservedWait: traces.WaitUnknown},
		{ID: "pod-a", GPUs: 8, GPUMilli: 1000, Pods: 1, CPUMilli: 12000, MemoryMiB: 16384, ObservedWait: traces.WaitUnknown},
	}
	if d := cmp.Diff(want, jobs); d != "" || !strings.Contains(h.Notes[0], "no times") {
		t.Error(d, h.Notes)
	}
	nodes, err := openb.ReadNodes(filepath.Join("testdata", "openb_nodes.csv"))
	wantNodes := []openb.Node{
		{Name: "n0", CPUMilli: 64000, MemoryMiB: 262144, GPUs: 2, Model: "P100"},
		{Name: "n1", CPUMilli: 32000, MemoryMiB: 131072},
	}
	if d := cmp.Diff(wantNodes, nodes); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := openb.ReadNodes(filepath.Join("testdata", "openb.csv")); err == nil {
		t.Error("a pod list was read as nodes")
	}
}

func TestPhilly(t *testing.T) {
	h, jobs := importSample(t, "philly.csv", traces.Options{})
	want := []traces.Job{
		{ID: "philly-00002", Run: 100500 * time.Millisecond, GPUs: 8, GPUMilli: 1000, Tenant: "bbb",
			ObservedWait: traces.WaitUnknown},
		{ID: "philly-00001", Submit: 28915 * sec, Run: 66 * sec, GPUs: 1, GPUMilli: 1000, Tenant: "aaa",
			ObservedWait: traces.WaitUnknown},
		{ID: "philly-00003", Submit: 28915 * sec, Run: 66 * sec, GPUs: 1, GPUMilli: 1000, Tenant: "aaa",
			ObservedWait: traces.WaitUnknown},
	}
	if d := cmp.Diff(want, jobs); d != "" || h.TimeZero != "2017-10-08T23:00:00Z" {
		t.Error(d, h.TimeZero)
	}
}

func TestPhillyJSON(t *testing.T) {
	h, jobs := importSample(t, "phillyjson.json", traces.Options{})
	want := []traces.Job{
		// Attempts from 00:40 and 00:45, the last without end: until the latest instant of the file, 03:00.
		{ID: "app_3", Submit: 0, Run: 140 * time.Minute, GPUs: 1, GPUMilli: 1000, Tenant: "v1", ObservedWait: 600 * sec},
		{ID: "app_1", Submit: 1800 * sec, Run: 180 * sec, GPUs: 4, GPUMilli: 1000, Tenant: "v1", User: "u1",
			Outcome: "succeeded", ObservedWait: 30 * sec},
		{ID: "app_4", Submit: 5400 * sec, Run: 3601 * sec, GPUs: 1, GPUMilli: 1000, Tenant: "v1", User: "u1",
			Outcome: "killed", ObservedWait: traces.WaitUnknown},
	}
	if d := cmp.Diff(want, jobs); d != "" {
		t.Error(d)
	}
	wantSkipped := []traces.Skip{{Reason: "no attempt that lists GPUs: the number of GPUs is unknown", Rows: 1,
		First: "phillyjson.json:8"}}
	if d := cmp.Diff(wantSkipped, h.Skipped); d != "" || h.TimeZero != "2017-10-07T00:30:00Z" || len(h.Notes) != 4 {
		t.Error(d, h.TimeZero, h.Notes)
	}
	_, jobs = importSample(t, "phillyjson.json", traces.Options{Set: map[string]string{"snapshot": "2017-10-07 05:00:00"},
		Format: "phillyjson"})
	if jobs[0].Run != 260*time.Minute {
		t.Errorf("with a later snapshot the open job runs %v", jobs[0].Run)
	}
}

func TestHelios(t *testing.T) {
	h, jobs := importSample(t, "helios.csv", traces.Options{})
	want := []traces.Job{
		{ID: "11", Run: 36848 * sec, GPUs: 1, GPUMilli: 1000, Pods: 1, CPUMilli: 1000, Tenant: "vcY", User: "uB",
			Outcome: "succeeded"},
		{ID: "12", Submit: 26 * sec, Run: 249 * sec, GPUs: 4, GPUMilli: 1000, Pods: 1, CPUMilli: 16000, Tenant: "vcX",
			User: "uA", Outcome: "failed", ObservedWait: 10 * sec},
		{ID: "13", Submit: 59 * sec, Pods: 1, CPUMilli: 2000, Tenant: "vcX", User: "uA", Outcome: "killed",
			ObservedWait: 30 * sec},
		{ID: "14", Submit: 119 * sec, Run: 59 * sec, GPUs: 16, GPUMilli: 1000, Pods: 2, CPUMilli: 64000, Tenant: "vcX",
			User: "uA", Outcome: "failed"},
	}
	if d := cmp.Diff(want, jobs); d != "" {
		t.Error(d)
	}
	if s := strings.Join(h.Notes, "\n"); !strings.Contains(s, "differs from the row's own start and end") ||
		!strings.Contains(s, "(1 rows)") {
		t.Error(s)
	}
}

func TestAcme(t *testing.T) {
	_, jobs := importSample(t, "acme.csv", traces.Options{})
	want := []traces.Job{
		{ID: "s1", Run: 117 * sec, GPUs: 8, GPUMilli: 1000, ObservedWait: 32 * sec},
		{ID: "s2", Submit: 336 * sec, Run: 2693 * sec, GPUs: 8, GPUMilli: 1000, Outcome: "succeeded", ObservedWait: 13 * sec},
	}
	if d := cmp.Diff(want, jobs); d != "" {
		t.Error(d)
	}
	_, jobs = importSample(t, "acme_kalos.csv", traces.Options{})
	want = []traces.Job{
		{ID: "j1", Run: 8 * sec, GPUs: 64, GPUMilli: 1000, Pods: 8, CPUMilli: 960_000, MemoryMiB: 8 * 953_674, User: "uf1",
			Class: "Other", Outcome: "failed", ObservedWait: 10 * sec},
		{ID: "j2", Submit: 1664 * sec, Run: 70 * sec, GPUs: 64, GPUMilli: 1000, Pods: 8, CPUMilli: 960_000,
			MemoryMiB: 8 * 953_674, User: "uf1", Class: "Other", Outcome: "killed", ObservedWait: 12 * sec},
	}
	if d := cmp.Diff(want, jobs); d != "" {
		t.Error(d)
	}
	_, jobs = importSample(t, "acme_kalos.csv", traces.Options{Format: "acme", Set: map[string]string{"kalos": "false"}})
	if jobs[0].Run != 18*sec {
		t.Errorf("with kalos=false the run is %v", jobs[0].Run)
	}
}

// TestConformance holds every format to what is promised of all: it recognises its files and nobody else's, does not
// care for packing, line ends and byte-order marks, and gives jobs that survive the canonical format.
func TestConformance(t *testing.T) {
	covered := map[string]bool{}
	for _, s := range samples {
		covered[s.format] = true
		data := sample(t, s.file)
		for _, f := range formats.All() {
			if got, want := f.Detect(s.file, data), f.Info().Name == s.format; got != want {
				t.Errorf("%s detected as %s: %v", s.file, f.Info().Name, got)
			}
		}
		h, jobs := importSample(t, s.file, traces.Options{})
		if h.Licence == "" || h.Citation == "" || h.Importer == "" || h.Source == "" || h.Jobs != int64(len(jobs)) {
			t.Errorf("%s: header %+v", s.file, h)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(data); err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		for how, variant := range map[string][]byte{"mark": append([]byte("\ufeff"), data...), "gzip": packed.Bytes(),
			"crlf": bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")), "no newline": bytes.TrimRight(data, "\n")} {
			_, again, err := open(variant, s.file, traces.Options{})
			if d := cmp.Diff(jobs, again); d != "" || err != nil {
				t.Errorf("%s, %s: %v %s", s.file, how, err, d)
			}
		}
		checkCanonical(t, h, jobs)
	}
	for _, f := range formats.All() {
		info := f.Info()
		if !covered[info.Name] {
			t.Errorf("format %s has no sample", info.Name)
		}
		for _, empty := range []string{"", "\n", "a,b\n"} {
			var list *traces.Errors
			if _, _, err := open([]byte(empty), "f", traces.Options{Format: info.Name}); !errors.As(err, &list) {
				t.Errorf("format %s reads %q: %v", info.Name, empty, err)
			}
		}
		if _, _, err := open(nil, "f", traces.Options{Format: info.Name, Set: map[string]string{"x": "y"}}); err == nil ||
			!strings.Contains(err.Error(), `no option "x"`) {
			t.Errorf("format %s takes any option: %v", info.Name, err)
		}
	}
}

// checkCanonical writes jobs and reads them back.
func checkCanonical(t testing.TB, h traces.Header, jobs []traces.Job) {
	t.Helper()
	var b bytes.Buffer
	w, err := traces.NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if err := w.Write(j); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	h2, again, err := open(b.Bytes(), "f", traces.Options{})
	if d := cmp.Diff(jobs, again) + cmp.Diff(h, h2); len(jobs) > 0 && (d != "" || err != nil) {
		t.Fatal(err, d)
	}
}

// TestBadRows: every problem of a file is named with its line, all at once; with SkipBad the good rows remain.
func TestBadRows(t *testing.T) {
	for _, tc := range []struct {
		file, old, new string
		want           []string
		skips          bool
	}{
		{"openb.csv", "30517,1,460", "NaN,-1,4600", []string{"openb.csv:2: memory_mib is \"NaN\"", "openb.csv:2: num_gpu",
			"openb.csv:2: gpu_milli"}, true},
		{"openb.csv", ",8,1000,,Guaranteed", ",8,0,,Guaranteed", []string{"openb.csv:5: gpu_milli is 0"}, true},
		{"openb.csv", "60,65,61", "60,65,66", []string{"openb.csv:4: deletion_time 65 is before the start 66"}, true},
		{"openb.csv", "50,1000,52", "50,1000,49",
			[]string{"openb.csv:2: scheduled_time 49 is before creation_time 50"}, true},
		{"openb.csv", "Pending", "Lost", []string{"openb.csv:5: pod_phase is \"Lost\""}, true},
		{"openb.csv", "pod-c", "pod-a", []string{`openb.csv:4: job id "pod-a" was used in line 3`, "duplicate-id"}, true},
		{"openb.csv", "V100M16|V100M32", "V100M16|", []string{"openb.csv:3: gpu_models[1] is empty"}, true},
		{"openb.csv", "scheduled_time", "sched", []string{"columns are missing: scheduled_time"}, false},
		{"openb.csv", "memory_mib", "memory", []string{`column "memory_mib" is missing`}, false},
		{"openb.csv", ",52\n", "\n", []string{"openb.csv:2: the row has 10 values, the header 11"}, true},
		{"openb.csv", "pod-b,8000", "\"pod-b,8000", []string{"openb.csv:2: not CSV", "[syntax]"}, false},
		{"openb.csv", "pod-b,8000", "po\"d-b,8000", []string{"openb.csv:2: not CSV"}, true},
		{"openb.csv", "qos", "name", []string{`column "name" is there twice`}, false},
		{"philly.csv", "100.5,8,804.0", "100.5,4,804.0", []string{"philly.csv:3: gpu_time is 804, expected 402"}, true},
		{"philly.csv", "66.0,1,66.0", "-66.0,1,66.0", []string{"philly.csv:2: duration is \"-66.0\""}, true},
		{"philly.csv", "66.0,1,66.0", "inf,1,66.0", []string{"philly.csv:2: duration is \"inf\""}, true},
		{"philly.csv", "2017-10-08 23:00:00", "08/10/2017", []string{"philly.csv:3: timestamp is \"08/10/2017\""}, true},
		{"philly.csv", "2017-10-08", "1980-10-08", nil, false},
		{"helios.csv", "CANCELLED", "LOST", []string{"helios.csv:4: state is \"LOST\""}, true},
		{"acme_kalos.csv", ",18,10.0", ",8,10.0", []string{"acme_kalos.csv:2: duration 8 is less than queue 10.0"}, true},
		{"phillyjson.json", "Pass", "Passed", []string{"phillyjson.json:2: status is \"Passed\""}, true},
		{"phillyjson.json", "\"vc\": \"v2\"", "\"cv\": \"v2\"", []string{"phillyjson.json:8:", "cv"}, true},
		{"phillyjson.json", "01:04:00", "01:01:00", []string{"phillyjson.json:2: attempt 2 ends at"}, true},
		{"phillyjson.json", "2017-10-07 01:04:00", "yesterday", []string{"phillyjson.json:2:", "yesterday"}, true},
		{"phillyjson.json", "app_4", "app_1", []string{"phillyjson.json:14: jobid \"app_1\" was used in line 2"}, true},
		{"phillyjson.json", "\"gpu7\"]}]}]}\n]", "\"gpu7\"]}]}]}\n", []string{"ends inside its JSON array"}, false},
		{"phillyjson.json", "[]}", "[}", []string{"phillyjson.json:9: not JSON"}, false},
	} {
		data := sample(t, tc.file)
		broken := bytes.Replace(data, []byte(tc.old), []byte(tc.new), 1)
		if bytes.Equal(data, broken) {
			t.Fatalf("%s: %q is not there", tc.file, tc.old)
		}
		name := strings.SplitN(tc.file, "_", 2)[0]
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".csv"), ".json")
		_, _, err := open(broken, tc.file, traces.Options{Format: name})
		if (err == nil) != (tc.want == nil) {
			t.Errorf("%s, %q: %v", tc.file, tc.new, err)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s, %q:\n%v\nlacks %q", tc.file, tc.new, err, w)
			}
		}
		if !tc.skips {
			continue
		}
		_, all := importSample(t, tc.file, traces.Options{Format: name})
		h, jobs, err := open(broken, tc.file, traces.Options{Format: name, SkipBad: true})
		skipped := 0
		for _, s := range h.Skipped {
			skipped += b2i(strings.HasPrefix(s.Reason, "malformed: "))
		}
		if err != nil || skipped != 1 || len(jobs) < len(all)-1 {
			t.Errorf("%s, %q skipped: %v, %+v, %d jobs", tc.file, tc.new, err, h.Skipped, len(jobs))
		}
	}
}

// TestUnknownColumn: a column that nobody knows is said, not dropped in silence.
func TestUnknownColumn(t *testing.T) {
	data := "timestamp,duration,num_gpus,gpu_time,cluster,mood\n2017-10-09 07:01:55,66,1,66,a,good\n"
	h, jobs, err := open([]byte(data), "f", traces.Options{})
	if err != nil || len(jobs) != 1 || !strings.Contains(strings.Join(h.Notes, "\n"), `unknown: "mood"`) {
		t.Error(h.Notes, err)
	}
}

func TestAmbiguous(t *testing.T) {
	_, _, err := open([]byte("x,y\n1,2\n"), "f.csv", traces.Options{})
	if err == nil || !strings.Contains(err.Error(), "canonical, acme, helios, openb, philly, phillyjson") {
		t.Error(err)
	}
	_, _, err = open([]byte("x,y\n1,2\n"), "f.csv", traces.Options{Format: "phily"})
	if err == nil || !strings.Contains(err.Error(), `unknown format "phily"`) {
		t.Error(err)
	}
}
