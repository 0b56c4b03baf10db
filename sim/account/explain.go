package account

import (
	"fmt"
	"io"
	"strings"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// Explanation is the story of one pod, of all pods of a job, or of another object, told from a journal.
type Explanation struct {
	Query   string        `json:"query"`
	Run     string        `json:"scenario"`
	Objects []ObjectStory `json:"objects,omitempty"`
	Jobs    []JobStory    `json:"jobs,omitempty"`
	Pods    []PodStory    `json:"pods"`
}

// JobStory is what happened to a job. Instants are nanoseconds since time zero; nil has not happened.
type JobStory struct {
	Job       string         `json:"job"`
	Tenant    string         `json:"tenant,omitempty"`
	Pods      int            `json:"pods"`
	GPUs      units.MilliGPU `json:"gpus_milli"`
	Gang      int            `json:"gang,omitempty"`   // pods that had to be placed together
	Within    string         `json:"within,omitempty"` // the layer or label of which one domain had to hold them
	Submitted units.Time     `json:"submitted_ns"`
	Placed    *units.Time    `json:"placed_ns,omitempty"`
	Started   *units.Time    `json:"started_ns,omitempty"`
	Ended     *units.Time    `json:"ended_ns,omitempty"`
	Outcome   string         `json:"outcome,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Restarts  []RestartStory `json:"restarts,omitempty"`
	Speeds    []SpeedStory   `json:"speeds,omitempty"`
}

// SpeedStory is a speed at which a job, or a pod of it that works alone, went from then on.
type SpeedStory struct {
	At units.Time `json:"t_ns"`
	journal.JobSpeed
	Layers []string `json:"layers,omitempty"` // of Spans
}

// RestartStory is the loss of a pod and what replaced it.
type RestartStory struct {
	At     units.Time     `json:"t_ns"`
	Pod    string         `json:"pod"`
	Reason string         `json:"reason"`
	Lost   units.Duration `json:"lost_ns"`
	New    string         `json:"new,omitempty"`
}

// PodStory is what happened to a pod.
type PodStory struct {
	Pod      string            `json:"pod"`
	Job      string            `json:"job,omitempty"`
	Asks     journal.PodCreate `json:"asks"`
	Created  units.Time        `json:"created_ns"`
	Attempts []AttemptRun      `json:"attempts,omitempty"`
	Preempts []PreemptionStory `json:"preempts,omitempty"`     // victims chosen for it
	Evicted  []PreemptionStory `json:"preempted_by,omitempty"` // when it was a victim
	FreedBy  []FreedStory      `json:"freed_by,omitempty"`
	Node     string            `json:"node,omitempty"`
	Bound    *units.Time       `json:"bound_ns,omitempty"`
	Slots    []journal.Slot    `json:"slots,omitempty"`
	Started  *units.Time       `json:"started_ns,omitempty"`
	Stages   []StageStory      `json:"stages,omitempty"`  // of its start
	Replica  []EventStory      `json:"replica,omitempty"` // states of the replica that it is the first pod of
	Stopping *TerminationStory `json:"terminating,omitempty"`
	Ended    *units.Time       `json:"ended_ns,omitempty"`
	Phase    string            `json:"phase,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Released *units.Time       `json:"released_ns,omitempty"`
	Deleted  *units.Time       `json:"deleted_ns,omitempty"`
	Until    units.Time        `json:"journal_end_ns"`
	asked    int               // releases seen before the last refusal
	refused  bool
}

// AttemptRun is a run of attempts with one and the same answer.
type AttemptRun struct {
	First     units.Time `json:"first_ns"`
	Last      units.Time `json:"last_ns"`
	Count     int        `json:"count"`
	Result    string     `json:"result"`
	Node      string     `json:"node,omitempty"`
	Evaluated int        `json:"evaluated,omitempty"` // nodes looked at in the last of them
	Feasible  int        `json:"feasible,omitempty"`
	Message   string     `json:"msg,omitempty"` // the scheduler's own words
	Plugins   []string   `json:"plugins,omitempty"`
	Nominated string     `json:"nominated,omitempty"`
}

// PreemptionStory is one victim.
type PreemptionStory struct {
	At     units.Time `json:"t_ns"`
	Victim string     `json:"victim"`
	By     string     `json:"by"`
	Node   string     `json:"node"`
}

// FreedStory is something that made room on the chosen node between the pod's last refusal and its binding: a pod
// that released its devices, or (Pod empty) the node itself coming up.
type FreedStory struct {
	At   units.Time     `json:"t_ns"`
	Pod  string         `json:"pod,omitempty"`
	Job  string         `json:"job,omitempty"`
	GPUs units.MilliGPU `json:"gpus_milli"`
	node string
}

// TerminationStory is the start of a deletion.
type TerminationStory struct {
	At     units.Time     `json:"t_ns"`
	Reason string         `json:"reason"`
	Grace  units.Duration `json:"grace_ns"`
}

// Explain reads r to its end and tells the story of pod, given as namespace/name or name alone, with or without pod/
// before it, or of all pods of a job, given as job/NAME. service/NAME, node/NAME, request/SERVICE/NUMBER, hpa/NAME,
// deployment/NAME and other objects with replicas, with or without a namespace before the name, are told by what the
// journal says of them. A query that matches nothing gives a *NotFoundError with similar names.
func Explain(r *journal.Reader, pod string) (*Explanation, error) {
	if t := newObjectTeller(pod); t != nil {
		return explainObject(r, t)
	}
	e := &explainer{
		out: &Explanation{Query: pod, Pods: []PodStory{}}, pods: map[string]int{}, jobs: map[string]int{},
		holders: map[string]journal.PodCreate{}, kept: map[string]journal.JobSubmit{},
	}
	e.job, e.isJob = strings.CutPrefix(pod, jobPrefix)
	e.pod = strings.TrimPrefix(pod, podPrefix)
	e.like.want = e.pod
	if e.isJob {
		e.like.want = e.job
	}
	err := journal.Each(r, func(rec journal.Record) error {
		e.record(rec.At, rec.Body)
		e.end = rec.At
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(e.out.Pods) == 0 && len(e.out.Jobs) == 0 {
		prefix := ""
		if e.isJob {
			prefix = jobPrefix
		}
		return nil, &NotFoundError{Query: pod, Similar: e.like.names(prefix)}
	}
	for i := range e.out.Pods {
		e.out.Pods[i].Until = e.end
	}
	return e.out, nil
}

// Prefixes of a query that say what it names.
const (
	jobPrefix = "job/"
	podPrefix = "pod/"
)

type explainer struct {
	out     *Explanation
	pod     string // asked for, without prefix
	job     string // asked for, when isJob
	isJob   bool
	pods    map[string]int               // told pods by name → index in out.Pods
	jobs    map[string]int               // told jobs by name → index in out.Jobs
	holders map[string]journal.PodCreate // pods that may come to hold devices
	kept    map[string]journal.JobSubmit // jobs of which a pod may yet be asked for
	submits map[string]units.Time
	freed   []FreedStory // releases since a told pod was last refused
	layers  []string     // of the topology
	like    similar
	end     units.Time
}

func (e *explainer) record(at units.Time, b journal.Body) {
	switch b := b.(type) {
	case journal.Run:
		e.out.Run = b.Scenario
	case journal.Node:
		if b.State == journal.NodeUp {
			e.free(FreedStory{At: at, GPUs: units.MilliGPU(b.GPUs) * units.GPU, node: b.Node})
		}
	case journal.Topology:
		e.layers = b.Layers
	case journal.JobSpeed:
		if j := e.jobStory(b.Job); j != nil && (b.Pod == "" || e.story(b.Pod) != nil) {
			j.Speeds = append(j.Speeds, SpeedStory{at, b, e.layers})
		}
	case journal.JobSubmit:
		e.submit(at, b)
	case journal.JobEnd:
		if j := e.jobStory(b.Job); j != nil {
			j.Ended, j.Outcome, j.Reason = &at, b.Outcome, b.Reason
		}
		delete(e.kept, b.Job)
		delete(e.submits, b.Job)
	case journal.JobPlaced:
		if j := e.jobStory(b.Job); j != nil {
			j.Placed = &at
		}
	case journal.JobStart:
		if j := e.jobStory(b.Job); j != nil {
			j.Started = &at
		}
	case journal.JobRestart:
		if j := e.jobStory(b.Job); j != nil {
			j.Restarts = append(j.Restarts, RestartStory{at, b.Pod, b.Reason, b.Lost, b.New})
		}
	case journal.PodCreate:
		e.create(at, b)
	case journal.PodRelease:
		c := e.holders[b.Pod]
		delete(e.holders, b.Pod)
		if c.Slots > 0 {
			e.free(FreedStory{At: at, Pod: b.Pod, Job: c.Job, GPUs: c.GPUs, node: b.Node})
		}
		if p := e.story(b.Pod); p != nil {
			p.Released = &at
		}
	default:
		e.podRecord(at, b)
	}
}

func (e *explainer) podRecord(at units.Time, b journal.Body) {
	switch b := b.(type) {
	case journal.Attempt:
		if p := e.story(b.Pod); p != nil {
			e.attempt(p, at, b)
		}
	case journal.Preempt:
		s := PreemptionStory{at, b.Victim, b.By, b.Node}
		if p := e.story(b.By); p != nil {
			p.Preempts = append(p.Preempts, s)
		}
		if p := e.story(b.Victim); p != nil {
			p.Evicted = append(p.Evicted, s)
		}
	case journal.PodBind:
		if p := e.story(b.Pod); p != nil {
			e.bind(p, at, b.Node)
		}
	case journal.PodAssign:
		if p := e.story(b.Pod); p != nil {
			p.Slots = b.Slots
		}
	case journal.PodStart:
		if p := e.story(b.Pod); p != nil {
			p.Started = &at
		}
	case journal.PodStage:
		if p := e.story(b.Pod); p != nil {
			p.Stages = append(p.Stages, StageStory{at, b.Stage, b.Took, b.Detail})
		}
	case journal.Replica:
		if p := e.story(b.Replica); p != nil {
			p.Replica = append(p.Replica, EventStory{at, "replica of service " + b.Service + ": " + replicaText(&b, false), b})
		}
	case journal.PodTerminate:
		if p := e.story(b.Pod); p != nil {
			p.Stopping = &TerminationStory{at, b.Reason, b.Grace}
		}
	case journal.PodEnd:
		if p := e.story(b.Pod); p != nil {
			p.Ended, p.Phase, p.Reason = &at, b.Phase, b.Reason
		}
	case journal.PodDelete:
		delete(e.holders, b.Pod)
		if p := e.story(b.Pod); p != nil {
			p.Deleted = &at
		}
	}
}

// story returns the pod's story when it is told.
func (e *explainer) story(pod string) *PodStory {
	if i, ok := e.pods[pod]; ok {
		return &e.out.Pods[i]
	}
	return nil
}

func (e *explainer) jobStory(job string) *JobStory {
	if i, ok := e.jobs[job]; ok {
		return &e.out.Jobs[i]
	}
	return nil
}

func (e *explainer) submit(at units.Time, b journal.JobSubmit) {
	if e.isJob {
		e.like.see(b.Job)
		if b.Job == e.job {
			e.tellJob(at, b)
		}
		return
	}
	e.kept[b.Job] = b
	if e.submits == nil {
		e.submits = map[string]units.Time{}
	}
	e.submits[b.Job] = at
}

func (e *explainer) tellJob(at units.Time, b journal.JobSubmit) {
	e.jobs[b.Job] = len(e.out.Jobs)
	e.out.Jobs = append(e.out.Jobs, JobStory{Job: b.Job, Tenant: b.Tenant, Pods: b.Pods, GPUs: b.GPUs,
		Gang: b.Gang, Within: b.Within, Submitted: at})
}

func (e *explainer) create(at units.Time, b journal.PodCreate) {
	e.holders[b.Pod] = b
	_, short, _ := strings.Cut(b.Pod, "/")
	if !e.isJob {
		e.like.see(b.Pod)
	}
	if e.isJob && b.Job != e.job || !e.isJob && b.Pod != e.pod && short != e.pod && b.Pod != e.out.Query {
		return
	}
	if j, ok := e.kept[b.Job]; ok && e.jobStory(b.Job) == nil {
		e.tellJob(e.submits[b.Job], j)
	}
	e.pods[b.Pod] = len(e.out.Pods)
	e.out.Pods = append(e.out.Pods, PodStory{Pod: b.Pod, Job: b.Job, Asks: b, Created: at})
}

// attempt adds an attempt, to the run before it when the answer is the same.
func (e *explainer) attempt(p *PodStory, at units.Time, b journal.Attempt) {
	if b.Result != journal.Scheduled {
		p.refused, p.asked = true, len(e.freed)
		e.trim()
	}
	if n := len(p.Attempts); n > 0 {
		last := &p.Attempts[n-1]
		if last.Result == b.Result && last.Node == b.Node && last.Nominated == b.Nominated &&
			Normalise(last.Message) == Normalise(b.Message) {
			last.Last, last.Evaluated, last.Feasible, last.Message = at, b.Evaluated, b.Feasible, b.Message
			last.Count++
			return
		}
	}
	p.Attempts = append(p.Attempts, AttemptRun{First: at, Last: at, Count: 1, Result: b.Result, Node: b.Node,
		Evaluated: b.Evaluated, Feasible: b.Feasible, Message: b.Message, Plugins: b.Plugins, Nominated: b.Nominated})
}

// bind notes the place and what made room there since the last refusal.
func (e *explainer) bind(p *PodStory, at units.Time, node string) {
	p.Bound, p.Node = &at, node
	if p.refused {
		for _, f := range e.freed[p.asked:] {
			if f.node == node {
				p.FreedBy = append(p.FreedBy, f)
			}
		}
	}
	p.refused = false
	e.trim()
}

// free remembers a release as long as a told pod waits for one.
func (e *explainer) free(s FreedStory) {
	for i := range e.out.Pods {
		if e.out.Pods[i].refused {
			e.freed = append(e.freed, s)
			return
		}
	}
}

// trim forgets releases from before every waiting pod's last refusal.
func (e *explainer) trim() {
	first := len(e.freed)
	for i := range e.out.Pods {
		if p := &e.out.Pods[i]; p.refused {
			first = min(first, p.asked)
		}
	}
	e.freed = e.freed[:copy(e.freed, e.freed[first:])]
	for i := range e.out.Pods {
		e.out.Pods[i].asked = max(0, e.out.Pods[i].asked-first)
	}
}

// writeErr collects the first error of many small writes.
type writeErr struct {
	w   io.Writer
	err error
}

func (w *writeErr) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format, args...)
	}
}
