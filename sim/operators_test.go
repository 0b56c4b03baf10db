package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"orrery/scenarios"
	"orrery/sim"
	"orrery/sim/journal"
)

// operated is a cluster of four nodes on which an object of each operator's kind runs, one hour after another so that
// each one has the cluster to itself.
const operated = `apiVersion: orrery/v1
kind: Scenario
name: operators
horizon: 8h
cluster:
  pools:
  - {name: a, gpu: H100, nodes: 4, gpusPerNode: 8, cpu: 96, memory: 1000Gi, labels: {example.com/row: "1"}}
trace:
  generate:
    name: none
    jobs: 1
    arrival: {process: poisson, load: {gpus: 32, factor: 0.1}}
    sizes: [{gpus: 1, weight: 1}]
    classes: [{name: all, up_to_gpus: 1, duration: [{kind: lognormal, median: 1m, mean: 75s, max: 5m}], outcomes: {succeeded: 100}}]
workload:
  gangs: {policy: pod-groups, topology: {required: example.com/row}}
manifests:
- name: own.yaml
  text: |
    apiVersion: jobset.x-k8s.io/v1alpha2
    kind: JobSet
    metadata: {name: set, annotations: {orrery.dev/run: 10m}}
    spec:
      replicatedJobs:
      - name: driver
        template: {spec: {template: {spec: {containers: [{name: c, image: x, resources: {requests: {cpu: 2}}}]}}}}
      - name: workers
        replicas: 2
        template:
          spec:
            parallelism: 2
            completions: 2
            template: {spec: {containers: [{name: c, image: x, resources: {limits: {nvidia.com/gpu: 8}}}]}}
    ---
    apiVersion: trainer.kubeflow.org/v1alpha1
    kind: TrainJob
    metadata: {name: train, namespace: team, annotations: {orrery.dev/run: 10m, orrery.dev/submit: 1h}}
    spec:
      runtimeRef: {name: torch-distributed}
      trainer: {numNodes: 3, resourcesPerNode: {limits: {nvidia.com/gpu: 8}}}
    ---
    apiVersion: kubeflow.org/v1
    kind: PyTorchJob
    metadata: {name: torch, namespace: team, annotations: {orrery.dev/run: 10m, orrery.dev/submit: 2h}}
    spec:
      runPolicy: {}
      pytorchReplicaSpecs:
        Master: {template: {spec: {containers: [{name: pytorch, image: x, resources: {limits: {nvidia.com/gpu: 4}}}]}}}
        Worker:
          replicas: 6
          template: {spec: {containers: [{name: pytorch, image: x, resources: {limits: {nvidia.com/gpu: 4}}}]}}
    ---
    apiVersion: ray.io/v1
    kind: RayJob
    metadata: {name: tune, namespace: team, annotations: {orrery.dev/run: 10m, orrery.dev/submit: 3h}}
    spec:
      shutdownAfterJobFinishes: true
      submissionMode: HTTPMode
      rayClusterSpec:
        headGroupSpec: {template: {spec: {containers: [{name: h, image: x, resources: {requests: {cpu: 4}}}]}}}
        workerGroupSpecs:
        - groupName: w
          replicas: 4
          template: {spec: {containers: [{name: w, image: x, resources: {limits: {nvidia.com/gpu: 8}}}]}}
    ---
    apiVersion: ray.io/v1
    kind: RayCluster
    metadata: {name: cluster, namespace: team, annotations: {orrery.dev/run: 10m, orrery.dev/submit: 4h}}
    spec:
      headGroupSpec: {template: {spec: {containers: [{name: h, image: x, resources: {requests: {cpu: 4}}}]}}}
      workerGroupSpecs:
      - groupName: w
        replicas: 2
        template: {spec: {containers: [{name: w, image: x, resources: {limits: {nvidia.com/gpu: 8}}}]}}
    ---
    apiVersion: leaderworkerset.x-k8s.io/v1
    kind: LeaderWorkerSet
    metadata: {name: serve, namespace: team, annotations: {orrery.dev/run: 10m, orrery.dev/submit: 5h}}
    spec:
      replicas: 3
      leaderWorkerTemplate:
        size: 2
        workerTemplate: {spec: {containers: [{name: w, image: x, resources: {limits: {nvidia.com/gpu: 8}}}]}}
`

// wantOperated are the jobs of operated, with the number of their pods, the physical GPUs and when they are submitted.
var wantOperated = map[string]journal.JobSubmit{
	"set.jobset.default":           {Pods: 5, GPUs: 32000, Gang: 5},
	"train.trainjob.team":          {Pods: 3, GPUs: 24000, Gang: 3},
	"torch.pytorchjob.team":        {Pods: 7, GPUs: 28000, Gang: 7},
	"tune.rayjob.team":             {Pods: 5, GPUs: 32000, Gang: 5},
	"cluster.raycluster.team":      {Pods: 3, GPUs: 16000, Gang: 3},
	"serve-0.leaderworkerset.team": {Pods: 2, GPUs: 16000, Gang: 2},
	"serve-1.leaderworkerset.team": {Pods: 2, GPUs: 16000, Gang: 2},
	"serve-2.leaderworkerset.team": {Pods: 2, GPUs: 16000, Gang: 2},
}

// TestOperators: the pods of each kind's object are placed as a whole by the real scheduler, work for as long as the
// annotation says and end; a group that does not fit waits as a whole; and it repeats at any GOMAXPROCS.
func TestOperators(t *testing.T) {
	first := repeats(t, []int{1, 8}, func() played { return play(t, operated) })
	got := lives(first)
	for name, want := range wantOperated {
		l := got[name]
		if l == nil {
			t.Errorf("%s was not submitted; there are %v", name, slices.Sorted(keysOf(got)))
			continue
		}
		if l.submit.Pods != want.Pods || l.submit.GPUs != want.GPUs || l.submit.Gang != want.Gang ||
			len(l.pods) != want.Pods {
			t.Errorf("%s: %+v with pods %v, want %+v", name, l.submit, l.pods, want)
		}
		if l.outcome != journal.Succeeded || l.ended-l.started != 10*time.Minute {
			t.Errorf("%s is %q %s after its start, want succeeded after 10m", name, l.outcome, l.ended-l.started)
		}
		if l.bound != want.Pods || l.lastBound-l.firstBound > time.Minute {
			t.Errorf("%s: %d pods bound between %s and %s", name, l.bound, l.firstBound, l.lastBound)
		}
	}
	// Two groups of two nodes fill the cluster; the third waits until one of them is done.
	if a, c := got["serve-0.leaderworkerset.team"], got["serve-2.leaderworkerset.team"]; c.firstBound < a.ended {
		t.Errorf("the third group was placed at %s, the first one ended at %s", c.firstBound, a.ended)
	}
	if at := got["torch.pytorchjob.team"].submitted; at != 2*time.Hour {
		t.Errorf("annotation orrery.dev/submit: 2h submitted at %s", at)
	}
	for _, pod := range []string{"team/torch-master-0", "team/torch-worker-5"} {
		if !slices.Contains(got["torch.pytorchjob.team"].pods, pod) {
			t.Errorf("no pod %s: %v", pod, got["torch.pytorchjob.team"].pods)
		}
	}
}

// life is what a journal tells of one job.
type life struct {
	submit                    journal.JobSubmit
	submitted, started, ended time.Duration
	firstBound, lastBound     time.Duration
	bound                     int
	pods                      []string
	outcome                   string
	restarts                  []journal.JobRestart
}

func lives(p played) map[string]*life {
	out, owner := map[string]*life{}, map[string]*life{}
	for _, r := range p.records {
		at := time.Duration(r.At)
		switch b := r.Body.(type) {
		case journal.JobSubmit:
			out[b.Job] = &life{submit: b, submitted: at}
		case journal.JobStart:
			out[b.Job].started = at
		case journal.JobEnd:
			out[b.Job].ended, out[b.Job].outcome = at, b.Outcome
		case journal.JobRestart:
			out[b.Job].restarts = append(out[b.Job].restarts, b)
		case journal.PodCreate:
			if l := out[b.Job]; l != nil {
				l.pods = append(l.pods, b.Pod)
				owner[b.Pod] = l
			}
		case journal.PodBind:
			if l := owner[b.Pod]; l != nil {
				if l.bound++; l.bound == 1 {
					l.firstBound = at
				}
				l.lastBound = at
			}
		}
	}
	return out
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestOperatorsWithoutGangs: pods are placed one by one; a pod that preemption takes comes back under a name that
// follows its own, and a gang whose operator makes the whole group anew does that.
func TestOperatorsWithoutGangs(t *testing.T) {
	const text = `apiVersion: orrery/v1
kind: Scenario
name: loss
horizon: 4h
cluster:
  pools: [{name: a, gpu: H100, nodes: 2, gpusPerNode: 8, cpu: 96, memory: 1000Gi}]
trace:
  generate:
    name: none
    jobs: 1
    arrival: {process: poisson, load: {gpus: 32, factor: 0.1}}
    sizes: [{gpus: 1, weight: 1}]
    classes: [{name: all, up_to_gpus: 1, duration: [{kind: lognormal, median: 1m, mean: 75s, max: 5m}], outcomes: {succeeded: 100}}]
workload:
  gangs: {policy: %s}
manifests:
- name: own.yaml
  text: |
    {apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 1000}
    ---
    apiVersion: leaderworkerset.x-k8s.io/v1
    kind: LeaderWorkerSet
    metadata: {name: serve, annotations: {orrery.dev/run: 30m, orrery.dev/submit: 30m}}
    spec:
      leaderWorkerTemplate:
        size: 2
        workerTemplate: {spec: {containers: [{name: w, image: x, resources: {limits: {nvidia.com/gpu: 8}}}]}}
    ---
    apiVersion: kubeflow.org/v1
    kind: PyTorchJob
    metadata: {name: urgent, annotations: {orrery.dev/run: 10m, orrery.dev/submit: 40m}}
    spec:
      runPolicy: {}
      pytorchReplicaSpecs:
        Master:
          template:
            spec:
              priorityClassName: high
              containers: [{name: pytorch, image: x, resources: {limits: {nvidia.com/gpu: 8}}}]
`
	for policy, pods := range map[string]int{"none": 3, "pod-groups": 4} {
		l := lives(play(t, fmt.Sprintf(text, policy)))["serve-0.leaderworkerset.default"]
		if l == nil || l.outcome != journal.Succeeded || len(l.restarts) != 1 || len(l.pods) != pods {
			t.Fatalf("gangs %s: %+v", policy, l)
		}
		if again := l.restarts[0].Pod + "-r1"; !slices.Contains(l.pods, again) {
			t.Errorf("gangs %s: no pod %s among %v", policy, again, l.pods)
		}
	}
}

// TestOperatorErrors: mistakes are found before the run, with their lines.
func TestOperatorErrors(t *testing.T) {
	for _, x := range []struct{ from, to, want string }{
		{"run: 10m}", "run: soon}", `own.yaml:3: annotation orrery.dev/run: "soon" is not a duration`},
		{"submit: 1h}", "submit: -1h}", `own.yaml:18: annotation orrery.dev/submit: "-1h" is not a duration`},
		{"{name: torch-distributed}", "{name: mine}",
			"own.yaml:20: TrainJob train: spec.runtimeRef: the only runtime is"},
		{"numNodes: 3", "numNode: 3", `own.yaml:21: unknown field "spec.trainer.numNode"`},
		{"Master: {template: {spec: {", "Master: {template: {spec: {priorityClassName: nobody, ",
			"own.yaml:25: the API refuses it: "},
		{"{name: tune, namespace: team", "{name: tune_, namespace: team", `own.yaml:36: the API refuses it: `},
	} {
		scenario := strings.Replace(operated, x.from, x.to, 1)
		if _, err := try(scenario); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: a run says %v, want %s", x.to, err, x.want)
		}
		s, err := scenarios.Parse("test.yaml", []byte(scenario))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Outline()
		if err != nil {
			t.Fatal(err)
		}
		if err := sim.Check(p); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: the check says %v, want %s", x.to, err, x.want)
		}
	}
}
