package formats_test

import (
	"os"
	"path/filepath"
	"testing"

	"orrery/traces"
	"orrery/traces/formats"
	"orrery/traces/formats/openb"
)

// real returns the path of a public data set's file, or skips: the data sets are not part of the repository.
func real(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("ORRERY_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	path := filepath.Join(root, "traces", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("reference data %s is not there (set ORRERY_SHARED to its folder)", name)
	}
	return path
}

func readReal(t *testing.T, name string) (traces.Header, []traces.Job) {
	t.Helper()
	src, err := formats.Open(real(t, name), traces.Options{})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := traces.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	h := src.Header()
	if len(h.Skipped) > 0 {
		t.Errorf("rows were skipped: %+v", h.Skipped)
	}
	return h, jobs
}

// TestOpenBPods compares every pod list with the counts published for it.
func TestOpenBPods(t *testing.T) {
	for _, tc := range []struct {
		list                          string
		pods, gpuPods, fractional     int
		milli                         int64 // published rounded to a tenth of a GPU
		spec                          int
		timed                         bool
		running, failed, pend, succed int
	}{
		{"default", 8152, 7064, 3078, 6086800, 0, true, 5193, 1870, 897, 192},
		{"cpu050", 7439, 7064, 3078, 6086800, 0, true, -1, 0, 0, 0},
		{"cpu200", 8832, 7064, 3078, 6086800, 0, true, -1, 0, 0, 0},
		{"gpushare40", 8152, 7064, 4001, 5641250, 0, true, -1, 0, 0, 0},
		{"gpushare100", 8152, 7064, 7064, 3952670, 0, true, -1, 0, 0, 0},
		{"gpuspec05", 8152, 7064, 3078, 6086800, 369, true, 5193, 1870, 897, 192},
		{"gpuspec10", 8152, 7064, 3078, 6086800, 732, true, 5193, 1870, 897, 192},
		{"gpuspec33", 8152, 7064, 3078, 6086800, 2388, true, 5193, 1870, 897, 192},
		{"multigpu20", 8324, 7236, 3078, 7086800, 0, false, -1, 0, 0, 0},
		{"multigpu50", 9061, 7973, 3078, 11358800, 0, false, -1, 0, 0, 0},
	} {
		t.Run(tc.list, func(t *testing.T) {
			_, jobs := readReal(t, "openb/openb_pod_list_"+tc.list+".csv.gz")
			var gpuPods, fractional, models, failed, succeeded, unknown, forever, waits int
			var milli int64
			var last traces.Job
			for i, j := range jobs {
				if i > 0 && j.Submit < last.Submit {
					t.Fatalf("%s before %s", j.ID, last.ID)
				}
				last = j
				milli += j.GPUAsked()
				gpuPods += b2i(j.GPUs > 0)
				fractional += b2i(j.GPUs == 1 && j.GPUMilli < 1000)
				models += b2i(len(j.GPUModels) > 0)
				failed += b2i(j.Outcome == traces.Failed)
				succeeded += b2i(j.Outcome == traces.Succeeded)
				unknown += b2i(j.Outcome == traces.Unknown)
				forever += b2i(j.Forever())
				waits += b2i(j.ObservedWait != traces.WaitUnknown)
			}
			if len(jobs) != tc.pods || gpuPods != tc.gpuPods || fractional != tc.fractional || milli != tc.milli ||
				models != tc.spec {
				t.Errorf("%d pods, %d with GPU, %d fractional, %d milli-GPU, %d with models", len(jobs), gpuPods, fractional,
					milli, models)
			}
			if tc.timed == (forever > 0) || !tc.timed && forever != tc.pods {
				t.Errorf("%d pods stay forever", forever)
			}
			if tc.running >= 0 && (failed != tc.failed || succeeded != tc.succed || unknown != tc.running+tc.pend ||
				waits != tc.pods-tc.pend) {
				t.Errorf("failed %d succeeded %d unknown %d waits %d", failed, succeeded, unknown, waits)
			}
		})
	}
}

// TestOpenBTimes checks published quantiles of the default list, and that it can be read without its times.
func TestOpenBTimes(t *testing.T) {
	path := real(t, "openb/openb_pod_list_default.csv.gz")
	src, err := formats.Open(path, traces.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := traces.Describe(src)
	if err != nil {
		t.Fatal(err)
	}
	if d.FirstSubmit != 0 || d.LastSubmitSeconds > 12902960 || d.LastSubmitSeconds < 148*86400 {
		t.Errorf("last submission %v", d.LastSubmitSeconds)
	}
	if d.Wait.P50 != 2 || d.Wait.P95 != 241 || d.Wait.Max != 14330 || d.Run.Max != 12537496 {
		t.Errorf("wait %+v run %+v", d.Wait, d.Run)
	}
	src, err = formats.Open(path, traces.Options{Format: "openb", Set: map[string]string{"times": "ignore"}})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := traces.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	for i, j := range jobs {
		if j.Submit != 0 || !j.Forever() || i > 0 && j.ID <= jobs[i-1].ID {
			t.Fatalf("%+v", j)
		}
	}
}

func TestOpenBNodes(t *testing.T) {
	for _, tc := range []struct {
		list                   string
		nodes, gpus, withoutGU int
		cpuOfGPUNodes          int64
	}{
		{"gpu", 1213, 6212, 0, 107018000},
		{"all", 1523, 6212, 310, 107018000},
	} {
		nodes, err := openb.ReadNodes(real(t, "openb/openb_node_list_"+tc.list+"_node.csv"))
		if err != nil {
			t.Fatal(err)
		}
		var gpus, none int
		var cpu int64
		models := map[string]int{}
		for _, n := range nodes {
			gpus += n.GPUs
			none += b2i(n.GPUs == 0)
			models[n.Model] += n.GPUs
			if n.GPUs > 0 {
				cpu += n.CPUMilli
			}
		}
		if len(nodes) != tc.nodes || gpus != tc.gpus || none != tc.withoutGU || cpu != tc.cpuOfGPUNodes ||
			models["G2"] != 4392 || models["T4"] != 842 || models["A10"] != 2 {
			t.Errorf("%s: %d nodes, %d GPUs, %d without, %d mCPU, %v", tc.list, len(nodes), gpus, none, cpu, models)
		}
	}
}

func TestPhillyReal(t *testing.T) {
	h, jobs := readReal(t, "philly/philly_jobs_12vc.csv.gz")
	one := 0
	for _, j := range jobs {
		one += b2i(j.GPUs == 1)
	}
	if len(jobs) != 73265 || one != 68189 || h.TimeZero != "2017-09-04T10:30:41Z" {
		t.Errorf("%d jobs, %d with one GPU, from %s", len(jobs), one, h.TimeZero)
	}
	d, err := traces.Describe(traces.FromJobs(h, jobs))
	if err != nil {
		t.Fatal(err)
	}
	if d.Run.P50 != 964 || d.Run.P90 != 11200 || d.Run.P99 != 257204 || len(d.Tenants) != 12 {
		t.Errorf("run %+v, %d tenants", d.Run, len(d.Tenants))
	}
}

func TestAcmeReal(t *testing.T) {
	h, jobs := readReal(t, "acme/kalos_gpu_jobs_first500.csv")
	sizes := map[int]int{}
	succeeded := 0
	for _, j := range jobs {
		sizes[j.GPUs]++
		succeeded += b2i(j.Outcome == traces.Succeeded)
	}
	if len(jobs) != 500 || sizes[64] != 72 || succeeded != 81 || h.TimeZero != "2023-05-17T11:00:58Z" {
		t.Errorf("%d jobs, sizes %v, %d succeeded, from %s", len(jobs), sizes, succeeded, h.TimeZero)
	}
	// The first row of the published file: duration 18 s with a queue of 10 s, of which 8 s ran.
	if jobs[0].Run.Seconds() != 8 || jobs[0].ObservedWait.Seconds() != 10 {
		t.Errorf("first job %+v", jobs[0])
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
