package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// gangs is a small cluster with two gangs among single jobs: one that must wait for two whole nodes, and one that needs
// more nodes than there are.
func gangs() string {
	text := `apiVersion: orrery/v1
kind: Scenario
name: gangs
cluster:
  pools:
  - {name: a, gpu: H100, nodes: 3, gpusPerNode: 8, cpu: 96, memory: 1000Gi}
trace:
  generate:
    name: gangs
    jobs: 20
    arrival: {process: gamma, cv: 6, load: {gpus: 24, factor: 0.8}}
    sizes: [{gpus: 1, weight: 1}, {gpus: 8, weight: 2}]
    classes:
    - name: all
      up_to_gpus: 8
      duration: [{kind: lognormal, median: 20m, mean: 30m, max: 2h}]
      outcomes: {succeeded: 100}
scheduler:
  featureGates: {GenericWorkload: true}
manifests:
- name: gangs.yaml
  text: |
`
	for i, name := range []string{"fits", "big"} {
		members := 2 + 2*i
		text += fmt.Sprintf(`    ---
    apiVersion: scheduling.k8s.io/v1beta1
    kind: PodGroup
    metadata: {name: %s}
    spec: {schedulingPolicy: {gang: {minCount: %d}}}
`, name, members)
		for i := range members {
			text += fmt.Sprintf(`    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: %s-%d}
    spec:
      schedulingGroup: {podGroupName: %[1]s}
      restartPolicy: Never
      containers:
      - name: work
        image: work
        resources: {limits: {nvidia.com/gpu: 8}}
`, name, i)
		}
	}
	return text
}

// TestGangs: what a journal says of gangs is what happened to them, it repeats, and the run ends.
func TestGangs(t *testing.T) {
	scenario := gangs()
	first := repeats(t, []int{1, 2, 8}, func() played { return play(t, scenario) })
	scheduled, bound, tried := map[string]bool{}, 0, map[string]int{}
	for _, r := range first.records {
		switch b := r.Body.(type) {
		case journal.Attempt:
			tried[b.Pod]++
			if b.Result == journal.Scheduled {
				scheduled[b.Pod] = true
			}
			if b.N != tried[b.Pod] {
				t.Errorf("attempt %d of %s is recorded as %d", tried[b.Pod], b.Pod, b.N)
			}
			if b.Result == journal.Error {
				t.Errorf("%s failed: %s", b.Pod, b.Message)
			}
		case journal.PodBind:
			if !scheduled[b.Pod] {
				t.Errorf("%s is bound and was not scheduled", b.Pod)
			}
			if strings.HasPrefix(b.Pod, "default/fits-") {
				bound++
			}
		case journal.Warn:
			t.Errorf("%s: %s", b.Code, b.Message)
		}
	}
	if bound != 2 {
		t.Errorf("%d pods of the gang that fits were bound", bound)
	}
	for i := range 4 {
		pod := fmt.Sprintf("default/big-%d", i)
		if scheduled[pod] || tried[pod] < 10 {
			t.Errorf("%s of a gang that cannot fit: scheduled %v, tried %d times", pod, scheduled[pod], tried[pod])
		}
	}
}

// TestGangsLibrary plays the two shipped scenarios about gangs: the same jobs without and with them. Without, jobs that
// hold a part of what they need block each other for good. With them no job ever holds a part, and all end.
func TestGangsLibrary(t *testing.T) {
	off, on := play(t, "gangs-off"), play(t, "gangs-on")
	for _, p := range []played{off, on} {
		for _, e := range p.data.Summary.Expectations {
			if !e.Met {
				t.Errorf("%s: %s is %v", p.data.Summary.Scenario, e.Path, e.Value)
			}
		}
	}
	var submits [2][]journal.Body
	for i, p := range []played{off, on} {
		for _, r := range p.records {
			if s, ok := r.Body.(journal.JobSubmit); ok {
				s.Gang = 0
				submits[i] = append(submits[i], s)
			}
		}
	}
	if fmt.Sprint(submits[0]) != fmt.Sprint(submits[1]) {
		t.Error("the two scenarios do not have the same jobs")
	}
	if n := len(partly(t, off.records, false)); n < 2 {
		t.Errorf("%d jobs hold a part of what they need at the end without gangs: that is no deadlock", n)
	}
	for _, job := range partly(t, on.records, true) {
		t.Errorf("%s holds a part of what it needs at the end", job)
	}
}

// partly returns the jobs of which some pods are bound at the end and some never were. With whole it checks that the
// pods of a gang that nobody took a pod from are scheduled in one instant and bound within a second.
func partly(t *testing.T, records []journal.Record, whole bool) (jobs []string) {
	t.Helper()
	type state struct {
		pods, bound  int
		first, start units.Time
		ended        bool
	}
	all, of, order := map[string]*state{}, map[string]*state{}, []string(nil)
	for _, r := range records {
		switch b := r.Body.(type) {
		case journal.JobSubmit:
			all[b.Job] = &state{pods: b.Pods, first: -1, start: -1}
			order = append(order, b.Job)
		case journal.PodCreate:
			of[b.Pod] = all[b.Job]
		case journal.Attempt:
			if s := of[b.Pod]; b.Result == journal.Scheduled && whole {
				if s.first >= 0 && s.first != r.At {
					t.Errorf("%s is scheduled at %s, another member at %s", b.Pod, r.At, s.first)
				}
				s.first = r.At
			}
		case journal.PodBind:
			s := of[b.Pod]
			if s.bound++; s.start < 0 {
				s.start = r.At
			}
			if whole && r.At.Sub(s.start) > time.Second {
				t.Errorf("%s is bound %s after the first of its gang", b.Pod, r.At.Sub(s.start))
			}
		case journal.JobEnd:
			all[b.Job].ended = true
		}
	}
	for _, job := range order {
		if s := all[job]; !s.ended && s.bound > 0 && s.bound < s.pods {
			jobs = append(jobs, job)
		}
	}
	return jobs
}
