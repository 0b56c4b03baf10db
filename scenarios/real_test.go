package scenarios

import (
	"os"
	"path/filepath"
	"testing"

	"orrery/sim/units"
)

// reference returns a file of the reference data, which is no part of the project, or skips the test.
func reference(t *testing.T, path string) string {
	t.Helper()
	root := os.Getenv("ORRERY_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	full, err := filepath.Abs(filepath.Join(root, "traces", path))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{full, full + ".gz"} {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	t.Skipf("reference data %s is not there; set ORRERY_SHARED to a folder that has traces/%s", full, path)
	return ""
}

// TestOpenb fills the real openb cluster as the published experiment does: 1,213 nodes, 6,212 GPUs, and a demand of
// 1.3 times the GPUs, short of it by less than one GPU.
func TestOpenb(t *testing.T) {
	s, err := Open("openb-fill", []string{
		"cluster.nodeList.file=" + reference(t, "openb/openb_node_list_gpu_node.csv"),
		"trace.file=" + reference(t, "openb/openb_pod_list_default.csv"),
	})
	if err != nil {
		t.Fatal(err)
	}
	p, src, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	made := drain(t, src)
	checkPlan(t, p, made)
	gpus := 0
	for _, n := range p.Nodes {
		gpus += p.Pools[n.Pool].GPUsPerNode
	}
	if len(p.Nodes) != 1213 || gpus != 6212 {
		t.Errorf("%d nodes with %d GPUs, want 1213 and 6212", len(p.Nodes), gpus)
	}
	demanded := int64(0)
	source := src.(*jobs)
	for i := range source.list {
		demanded += demand(&source.list[i])
	}
	if limit := int64(gpus) * 1300; demanded <= limit-8*int64(units.GPU) || demanded > limit+8*int64(units.GPU) {
		t.Errorf("%d milli-GPU demanded, want about %d", demanded, limit)
	}
	if len(made) < 8152 {
		t.Errorf("%d jobs, want the trace's 8152 and more", len(made))
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}

// TestPhilly replays the published jobs of Philly as far as the stream goes.
func TestPhilly(t *testing.T) {
	s, err := Open("philly-replay", []string{"trace.file=" + reference(t, "philly/philly_jobs_12vc.csv")})
	if err != nil {
		t.Fatal(err)
	}
	p, src, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	jobs := drain(t, src)
	checkPlan(t, p, jobs)
	if len(jobs) != 73265 {
		t.Errorf("%d jobs, want 73265", len(jobs))
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}
