// Package workload runs jobs as state machines: a job is submitted, its pods are created, bound, started; they end as
// the trace says, or are lost (preempted, evicted, node gone) and made again; what was lost is counted.
//
// It knows no Kubernetes: pods reach the cluster through the Cluster interface, and the cluster tells what became of
// them through the Pod… methods. Everything runs on the driver goroutine.
package workload

import (
	"fmt"
	"time"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// Pod is one incarnation of one pod of a job.
type Pod struct {
	Name  string // unique in the namespace; the first incarnation's is <job>-<index> or Spec.Name, later ones add -r<n>
	Index int
	Spec  plan.Pod
	Job   *plan.Job
	Group *Group // of the gang; nil = none

	job     *job
	started bool
	working bool
	gone    bool // ended or being deleted by us: nothing that happens to it matters to the job any more

	team  *Team          // it works in; nil while it does not
	since units.Time     // start of the current stretch of one speed
	done  units.Duration // work of the stretches before, since it began
}

// Key returns namespace/name.
func (p *Pod) Key() string { return p.Job.Namespace + "/" + p.Name }

// Work is what the pod's containers will do from now on: how long, and how that ends. It is physics: no controller may
// see it.
type Work struct {
	// Ends is false when the containers run until they are stopped.
	Ends    bool
	Left    units.Duration
	Outcome string // journal.Succeeded or journal.Failed
}

// Cluster is where pods live. Its methods are called on the driver goroutine.
type Cluster interface {
	// CreatePod makes the pod object. An error means the API refused it; its text is for people.
	CreatePod(*Pod) error
	// DeletePod begins the deletion of a pod that exists; reason appears in the journal.
	DeletePod(p *Pod, reason string)
	// SetWork says what a running pod's containers do from now on; it may change while the pod runs.
	SetWork(*Pod, Work)
}

// Params configures a Tracker.
type Params struct {
	Engine  *engine.Engine
	Cluster Cluster
	Record  func(journal.Body)
	Pods    plan.Pods
	// Physics says how fast work goes. nil: as fast as the trace says.
	Physics Physics
	// Describe adds to a job's record what the cluster knows of it: where it may run. nil adds nothing.
	Describe func(*plan.Job, *journal.JobSubmit)
	// Groups takes the groups of gangs. It is asked for jobs with a gang only.
	Groups Groups
	// Controllers takes jobs that are objects of the API. It is asked for those only.
	Controllers Controllers
}

// Tracker holds all live jobs. Finished ones leave no trace in memory.
type Tracker struct {
	p    Params
	pods map[string]*Pod // live incarnations by key
	jobs int

	managed map[string]*job // live jobs whose pods a controller makes, by the key of their object
}

// job is a live job.
type job struct {
	plan.Job
	pods      []*Pod // current incarnation by index; nil once succeeded
	left      int    // pods that have not succeeded
	unplaced  int    // pods of which no incarnation was bound so far
	unstarted int    // pods of which no incarnation ran so far
	placed    []bool // by index: some incarnation was bound
	ran       []bool // by index: some incarnation ran
	saved     []units.Duration
	restarts  []int
	kill      *engine.Event
	ended     bool
	refusals  int    // by kubelets, since a pod last ran
	group     *Group // of the pods that are made now; nil without gang
	groups    int    // made so far
	failed    bool   // a pod has failed by its work's own doing; of a job whose pods a controller makes
}

// New returns an empty tracker.
func New(p Params) *Tracker {
	return &Tracker{p: p, pods: map[string]*Pod{}, managed: map[string]*job{}}
}

// Live returns the number of jobs that have not ended.
func (t *Tracker) Live() int { return t.jobs }

// Lookup returns the live pod with the key namespace/name, or nil.
func (t *Tracker) Lookup(key string) *Pod { return t.pods[key] }

// Submit announces a job and creates its pods.
func (t *Tracker) Submit(pj plan.Job) {
	n := len(pj.Pods)
	j := &job{Job: pj, pods: make([]*Pod, n), left: n, unplaced: n, unstarted: n,
		placed: make([]bool, n), ran: make([]bool, n),
		saved: make([]units.Duration, n), restarts: make([]int, n)}
	rec := journal.JobSubmit{Job: pj.Name, Tenant: pj.Tenant, Class: pj.Class, Pods: n, GPUs: pj.GPUs(),
		Run: pj.Run, Outcome: pj.Outcome}
	for _, p := range pj.Pods {
		rec.CPUMilli += p.CPUMilli
		rec.MemoryMiB += p.MemoryMiB
	}
	if pj.Gang != nil {
		rec.Gang = pj.Gang.Min
	}
	if t.p.Describe != nil {
		t.p.Describe(&j.Job, &rec)
	}
	t.p.Record(rec)
	t.jobs++
	if pj.Batch != nil {
		t.submitManaged(j)
		return
	}
	if pj.Gang != nil {
		if err := t.openGroup(j, pj.Gang.Min); err != nil {
			t.end(j, journal.Rejected, err.Error())
			return
		}
	}
	for i := range pj.Pods {
		if err := t.create(j, i); err != nil {
			t.end(j, journal.Rejected, err.Error())
			return
		}
	}
}

func (t *Tracker) create(j *job, i int) error {
	p := &Pod{Name: j.podName(i), Index: i, Spec: j.Job.Pods[i], Job: &j.Job, Group: j.group, job: j}
	j.pods[i] = p
	t.pods[p.Key()] = p
	if err := t.p.Cluster.CreatePod(p); err != nil {
		delete(t.pods, p.Key())
		j.pods[i] = nil
		return err
	}
	if p.Group != nil {
		p.Group.pods++
	}
	return nil
}

// podName is the name of a pod's next incarnation.
func (j *job) podName(i int) string {
	name := j.Job.Pods[i].Name
	if name == "" {
		name = fmt.Sprintf("%s-%d", j.Name, i)
	}
	if r := j.restarts[i]; r > 0 {
		name += fmt.Sprintf("-r%d", r)
	}
	return name
}

// PodBound says that the pod has a node.
func (t *Tracker) PodBound(p *Pod) {
	j := p.job
	if p.gone || j.placed[p.Index] {
		return
	}
	j.placed[p.Index] = true
	if j.unplaced--; j.unplaced == 0 {
		t.p.Record(journal.JobPlaced{Job: j.Name})
	}
}

// PodStarted says that the pod's containers run.
func (t *Tracker) PodStarted(p *Pod) {
	if p.gone || p.started {
		return
	}
	p.started = true
	j := p.job
	j.refusals = 0
	if !j.ran[p.Index] {
		j.ran[p.Index] = true
		if j.unstarted--; j.unstarted == 0 {
			t.p.Record(journal.JobStart{Job: j.Name})
		}
	}
	if !t.together(j) {
		t.begin(j, p)
		return
	}
	var team []*Pod
	for _, q := range j.pods {
		switch {
		case q == nil: // done already
		case !q.started || q.gone:
			return // the barrier: someone is missing
		default:
			team = append(team, q)
		}
	}
	t.begin(j, team...)
}

// PodEnded says that the pod's containers have stopped by themselves: phase is Succeeded or Failed.
func (t *Tracker) PodEnded(p *Pod, phase, reason string) {
	if p.gone {
		return
	}
	switch {
	case phase == "Succeeded":
		j := p.job
		p.gone = true
		t.finish(p)
		j.pods[p.Index] = nil
		if j.left--; j.left == 0 && !p.Managed() { // else the controller says so
			t.end(j, journal.Succeeded, "")
		}
	case reason == "":
		p.gone = true
		t.leave(p)
		if p.Managed() { // the controller makes it again, or fails the job
			p.job.failed = true
			return
		}
		p.job.pods[p.Index] = nil
		t.end(p.job, journal.Failed, "")
	default: // the kubelet refused it, the node failed: not the work's own end
		if !p.started {
			p.job.refusals++
		}
		t.lost(p, reason)
	}
}

// PodGone says that the pod object has disappeared. When nobody asked for that on the job's behalf, the pod is lost.
func (t *Tracker) PodGone(p *Pod, reason string) {
	delete(t.pods, p.Key())
	if !p.gone {
		t.lost(p, reason)
	}
	t.leaveGroup(p)
}

// PodStopped says that the containers stop because the pod is being deleted by someone else; the work ends here.
func (t *Tracker) PodStopped(p *Pod, reason string) {
	if !p.gone {
		t.lost(p, reason)
	}
}

// lost throws away what was not saved and makes the pod again, or ends the job.
func (t *Tracker) lost(p *Pod, reason string) {
	j := p.job
	p.gone = true
	members := []*Pod{p}
	gpus := p.Spec.GPUs
	if t.together(j) {
		// The others cannot go on without it: all return to the last saved state and wait.
		for _, q := range j.pods {
			if q != nil && q != p && q.working {
				members = append(members, q)
				gpus += q.Spec.GPUs
			}
		}
	}
	speed := int64(FullSpeed)
	if p.team != nil {
		speed = p.team.speed
	}
	t.leave(p)
	var lost units.Duration
	for _, q := range members {
		lost = max(lost, scaleUp(t.rewind(q), FullSpeed, speed))
		if q != p {
			t.p.Cluster.SetWork(q, Work{})
		}
	}
	rec := journal.JobRestart{Job: j.Name, Pod: p.Key(), Reason: reason, Lost: lost, GPUs: gpus}
	if p.Managed() { // the controller makes it again, or fails the job
		t.p.Record(rec)
		t.kill(j)
		return
	}
	if t.p.Pods.Restart == plan.RestartNever {
		t.p.Record(rec)
		j.pods[p.Index] = nil
		t.end(j, journal.Killed, reason)
		return
	}
	j.restarts[p.Index]++
	rec.New = j.Namespace + "/" + j.podName(p.Index)
	t.p.Record(rec)
	if j.Gang != nil && j.Gang.OnLoss == plan.LossRestart {
		t.restartGang(j, p)
		return
	}
	t.shrink(j)
	t.kill(j)
	// The replacement is a new write to the API: an event of its own, after whatever reported the loss.
	t.p.Engine.After(j.backoff(), engine.PhaseArrive, "restart "+j.Name, func() {
		if j.ended {
			return
		}
		if err := t.create(j, p.Index); err != nil {
			t.end(j, journal.Killed, "replacement refused: "+err.Error())
		}
	})
}

// backoff is how long the replacement of a pod that a kubelet refused waits, so that nobody tries for ever at one
// instant: as the Job controller has it (kubernetes v1.37.2, pkg/controller/job, DefaultJobPodFailureBackOff and
// MaxJobPodFailureBackOff). Pods that were lost otherwise are replaced at once.
func (j *job) backoff() units.Duration {
	const first, most = 10 * time.Second, 10 * time.Minute
	if j.refusals == 0 {
		return 0
	}
	return min(first<<min(j.refusals-1, 16), most)
}

// end closes the job and deletes the pods that are still there.
func (t *Tracker) end(j *job, outcome, reason string) {
	if j.ended {
		return
	}
	j.ended = true
	t.jobs--
	t.p.Engine.Cancel(j.kill)
	t.p.Record(journal.JobEnd{Job: j.Name, Outcome: outcome, Reason: reason})
	why := "job " + outcome
	if j.Batch != nil {
		t.endManaged(j, why)
		return
	}
	for i, p := range j.pods {
		if p == nil || p.gone {
			continue
		}
		p.gone = true
		t.leave(p)
		j.pods[i] = nil
		t.p.Cluster.DeletePod(p, why)
	}
	t.closeGroup(j)
}

// Drop ends the job of a pod that the scheduler could not place, when the plan says so.
func (t *Tracker) Drop(p *Pod, message string) {
	if !p.gone {
		t.end(p.job, journal.Killed, message)
	}
}
