package account

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// Pod phases in rows, Kubernetes' words and one more: a pod deleted before its containers stopped is "Deleted".
const (
	phasePending   = "Pending"
	phaseRunning   = "Running"
	phaseSucceeded = "Succeeded"
	phaseFailed    = "Failed"
	phaseDeleted   = "Deleted"
)

// pod is a live pod: not ended, or with devices.
type pod struct {
	name                       string
	job                        *job     // nil when it belongs to none
	service                    *service // whose replica it is or belongs to; nil of none
	gpus                       units.MilliGPU
	slotsAsked                 int
	cpu, mem                   int64
	mig                        int16  // number of the MIG profile asked; 0 = none
	pace                       *pace  // of it alone; nil where it is not known
	shape                      *shape // of what it asks; nil until it is refused
	node                       *node  // where bound
	created, bound, start, end units.Time
	phase                      string // at the end record, "" before
	pending                    bool   // waits for the scheduler
	assigned, released         bool
	slots                      []slot // kept after release for the row
	owned                      units.MilliGPU
	ownedSince                 units.Time

	attempts  int32
	verdict   int // index of the latest refusal, −1 = not refused
	since     units.Time
	seen      []int32 // verdicts it has had
	refused   bool    // the latest attempt was unschedulable
	onlyNo    bool    // every attempt so far was unschedulable
	preempted bool
	message   string // of the last refusal, verbatim
}

// podRecord takes the records about pods; known is false for any other.
func (f *Fold) podRecord(b journal.Body) (known bool, err error) {
	var name string
	switch b := b.(type) {
	case journal.PodCreate:
		return true, f.createPod(b)
	case journal.Attempt:
		name = b.Pod
	case journal.Preempt:
		return true, f.preempt(b)
	case journal.PodBind:
		name = b.Pod
	case journal.PodAssign:
		name = b.Pod
	case journal.PodStart:
		name = b.Pod
	case journal.PodTerminate:
		return true, f.mustExist(b.Pod)
	case journal.PodEnd:
		name = b.Pod
	case journal.PodRelease:
		name = b.Pod
	case journal.PodDelete:
		return true, f.deletePod(b)
	default:
		return false, nil
	}
	p := f.pods[name]
	if a, ok := b.(journal.Attempt); ok && p == nil && f.justLeft(name) != nil {
		return true, f.countAttempt(a)
	}
	if p == nil {
		return true, fmt.Errorf("pod %s does not exist, or is over", name)
	}
	switch b := b.(type) {
	case journal.Attempt:
		return true, f.attempt(p, b)
	case journal.PodBind:
		return true, f.bind(p, b)
	case journal.PodAssign:
		if p.node == nil || p.node.name != b.Node || p.assigned || p.phase != "" {
			return true, fmt.Errorf("pod %s is assigned devices of node %s, but is not bound there, or was before",
				name, b.Node)
		}
		p.assigned = true
		return true, f.assign(p, b)
	case journal.PodStart:
		return true, f.startPod(p)
	case journal.PodEnd:
		return true, f.endPod(p, b)
	case journal.PodRelease:
		return true, f.releasePod(p, b)
	}
	return true, nil
}

func (f *Fold) createPod(b journal.PodCreate) error {
	if _, over := f.retired[nameHash(b.Pod)]; over || f.pods[b.Pod] != nil {
		return fmt.Errorf("pod %s is created twice", b.Pod)
	}
	if b.GPUs < 0 || b.Slots < 0 {
		return fmt.Errorf("pod %s asks a negative amount", b.Pod)
	}
	p := &pod{name: b.Pod, gpus: b.GPUs, slotsAsked: b.Slots, cpu: b.CPUMilli, mem: b.MemoryMiB, created: f.now,
		mig: f.profiles.number(b.MIG), bound: never, start: never, end: never, verdict: -1, onlyNo: true}
	if b.Job != "" {
		if p.job = f.jobs[b.Job]; p.job == nil || p.job.ended {
			return fmt.Errorf("pod %s belongs to job %s, which was not submitted, or is over", b.Pod, b.Job)
		}
		if p.job.Priority == 0 { // it may come from the pods' PriorityClass only
			p.job.Priority = b.Priority
		}
		p.job.podsLive++
		f.joinJob(p)
	}
	if b.Service != "" {
		if p.service = f.services.byName[b.Service]; p.service == nil || p.job != nil {
			return fmt.Errorf("pod %s belongs to service %s, which was not declared, or to a job as well", b.Pod, b.Service)
		}
		p.service.pods++
	}
	f.pods[b.Pod] = p
	f.podCount.Created++
	f.queue(p, 1)
	p.pending = true
	return nil
}

// queue adds the pod to (sign 1) or takes it from (sign −1) the ledger's queue in its present class.
func (f *Fold) queue(p *pod, sign int64) {
	f.led.pending += sign
	amount := p.gpus * units.MilliGPU(sign)
	if p.refused {
		f.led.refused += amount
		f.demand(p, sign)
	} else {
		f.led.waiting += amount
	}
}

// leaveQueue ends the pod's wait for the scheduler.
func (f *Fold) leaveQueue(p *pod) {
	if p.pending {
		f.verdicts.settle(p, f.now)
		f.queue(p, -1)
		p.pending = false
	}
}

// countAttempt counts an attempt for the whole run.
func (f *Fold) countAttempt(b journal.Attempt) error {
	f.sched.Attempts++
	switch b.Result {
	case journal.Scheduled:
		f.sched.Scheduled++
	case journal.Unschedulable:
		f.sched.Unschedulable++
	case journal.Error:
		f.sched.Errors++
	default:
		return fmt.Errorf("attempt of pod %s with the unknown result %q", b.Pod, b.Result)
	}
	for _, plugin := range b.Plugins {
		f.sched.ByPlugin[plugin]++
	}
	return nil
}

// justLeft returns the pod of that name that retired at this instant. The scheduler deletes a victim before it reports
// the preemption, and learns that a pod it was binding is gone by failing to bind it.
func (f *Fold) justLeft(name string) *pod {
	for _, p := range slices.Backward(f.left) {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (f *Fold) attempt(p *pod, b journal.Attempt) error {
	p.attempts++
	if err := f.countAttempt(b); err != nil {
		return err
	}
	if b.Result == journal.Scheduled {
		p.onlyNo = false
		return nil
	}
	if !p.pending {
		return fmt.Errorf("pod %s is refused while it is bound or over", p.name)
	}
	f.verdicts.settle(p, f.now)
	f.verdicts.add(p, f.now, b)
	p.message = b.Message
	if p.job != nil && p.job.placed == never {
		p.job.refusal = b.Message
	}
	f.queue(p, -1)
	p.refused = b.Result == journal.Unschedulable
	p.onlyNo = p.onlyNo && p.refused
	f.queue(p, 1)
	return nil
}

func (f *Fold) preempt(b journal.Preempt) error {
	f.sched.Preemptions++
	v := f.pods[b.Victim]
	if v == nil {
		v = f.justLeft(b.Victim)
	}
	if v == nil {
		return fmt.Errorf("pod %s is preempted but does not exist, or is over", b.Victim)
	}
	// The scheduler deletes its victims by name (k8s.io/kubernetes v1.37.2 pkg/scheduler/util/utils.go, DeletePod has no
	// precondition): in place of one that is gone it takes the pod that has its name by then, as those of sets have.
	if (v.node == nil || v.node.name != b.Node) && v.job != nil {
		return fmt.Errorf("pod %s is preempted on node %s, where it is not bound", b.Victim, b.Node)
	}
	if !v.preempted {
		v.preempted = true
		f.podCount.Preempted++
	}
	f.markPreempted(v.job)
	return nil
}

func (f *Fold) bind(p *pod, b journal.PodBind) error {
	n := f.nodes[b.Node]
	if n == nil { // one that was removed may still be named: the binding was under way
		return fmt.Errorf("pod %s is bound to node %s, which does not exist", p.name, b.Node)
	}
	if !p.pending {
		return fmt.Errorf("pod %s is bound twice, or after its end", p.name)
	}
	f.leaveQueue(p)
	p.node, p.bound = n, f.now
	n.take(p, 1)
	f.podCount.Bound++
	if p.job != nil {
		p.job.podsBound++
		f.boundTogether(p.job)
	}
	return nil
}

// take adds what the pod asks to the node's book (sign 1), or takes it away.
func (n *node) take(p *pod, sign int64) {
	n.cpu += p.cpu * sign
	n.mem += p.mem * sign
	n.pods += sign
}

func (f *Fold) startPod(p *pod) error {
	if p.bound == never || p.start != never || p.phase != "" || p.slotsAsked > 0 && !p.assigned || p.released {
		return fmt.Errorf("pod %s starts before it has its node and devices, or twice", p.name)
	}
	p.start = f.now
	f.led.running++
	return nil
}

func (f *Fold) endPod(p *pod, b journal.PodEnd) error {
	switch {
	case p.phase != "":
		return fmt.Errorf("pod %s ends twice", p.name)
	case b.Phase != phaseSucceeded && b.Phase != phaseFailed:
		return fmt.Errorf("pod %s ends in the unknown phase %q", p.name, b.Phase)
	case b.Phase == phaseSucceeded && p.start == never:
		return fmt.Errorf("pod %s succeeds before it starts", p.name)
	}
	f.stop(p, b.Phase)
	if b.Phase == phaseSucceeded {
		f.podCount.Succeeded++
	} else {
		f.podCount.Failed++
	}
	if p.assigned && !p.released {
		return nil
	}
	return f.retirePod(p)
}

// stop ends the pod's waiting or running.
func (f *Fold) stop(p *pod, phase string) {
	if p.phase != "" {
		return
	}
	f.leaveQueue(p)
	if p.start != never {
		f.led.running--
	}
	if p.node != nil {
		p.node.take(p, -1)
	}
	if p.pace != nil {
		f.rest(p.job, p.pace)
	}
	p.phase, p.end = phase, f.now
}

func (f *Fold) releasePod(p *pod, b journal.PodRelease) error {
	if !p.assigned || p.released || p.node.name != b.Node {
		return fmt.Errorf("pod %s releases devices of node %s that it does not own", p.name, b.Node)
	}
	p.released = true
	if err := f.release(p); err != nil {
		return err
	}
	if p.phase != "" {
		return f.retirePod(p)
	}
	return nil
}

func (f *Fold) deletePod(b journal.PodDelete) error {
	f.podCount.Deleted++
	if h := nameHash(b.Pod); f.pods[b.Pod] == nil {
		if _, over := f.retired[h]; !over {
			return fmt.Errorf("pod %s is deleted but does not exist", b.Pod)
		}
		delete(f.retired, h)
		return nil
	}
	p := f.pods[b.Pod]
	if p.owned > 0 {
		return fmt.Errorf("pod %s is deleted while it owns devices of node %s", p.name, p.node.name)
	}
	f.stop(p, phaseDeleted)
	if err := f.retirePod(p); err != nil {
		return err
	}
	delete(f.retired, nameHash(b.Pod))
	return nil
}

// mustExist holds that a pod exists: live, or over and not yet deleted.
func (f *Fold) mustExist(name string) error {
	if _, over := f.retired[nameHash(name)]; !over && f.pods[name] == nil {
		return fmt.Errorf("pod %s does not exist", name)
	}
	return nil
}

// retirePod reports a pod that can no longer change and forgets all but a hash of its name, to know its deletion.
func (f *Fold) retirePod(p *pod) error {
	delete(f.pods, p.name)
	f.retired[nameHash(p.name)] = struct{}{}
	f.left = append(f.left, p)
	if f.opt.OnPod != nil {
		if err := f.opt.OnPod(f.podRow(p)); err != nil {
			return err
		}
	}
	if j := p.job; j != nil {
		j.podsLive--
		if j.ended && j.podsLive == 0 {
			return f.retireJob(j)
		}
	}
	return nil
}

// nameHash is 64-bit FNV-1a: a run of 10^7 finished pods has a chance of 3·10^-6 that two names collide.
func nameHash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// podRow returns the pod's row as of now.
func (f *Fold) podRow(p *pod) result.PodRow {
	row := result.PodRow{Pod: p.name, GPUs: p.gpus.GPUs(), Slots: slotList(p, f.profiles.names), Phase: p.phase,
		Attempts: p.attempts, CreatedSeconds: p.created.Seconds(), BoundSeconds: instant(p.bound),
		StartSeconds: instant(p.start), EndSeconds: instant(p.end), LastMessage: p.message}
	if p.job != nil {
		row.Job = p.job.Job
	}
	if p.node != nil {
		row.Node = p.node.name
	}
	if p.phase == "" {
		row.Phase = phasePending
		if p.start != never {
			row.Phase = phaseRunning
		}
	}
	return row
}

// slotList writes slots as "0,1,2", "0/3" for replica 3 of GPU 0 where GPUs are shared, and "0:3g.40gb@4" for the MIG
// instance of GPU 0 that begins at memory slice 4, with its replica where that is not 0.
func slotList(p *pod, profiles []string) string {
	if len(p.slots) == 0 {
		return ""
	}
	slots := slices.SortedFunc(slices.Values(p.slots), func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.gpu, b.gpu), cmp.Compare(a.start, b.start), cmp.Compare(a.replica, b.replica))
	})
	var b strings.Builder
	for i, s := range slots {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(s.gpu)))
		if s.profile != 0 {
			b.WriteString(":" + profiles[s.profile] + "@" + strconv.Itoa(int(s.start)))
		}
		if s.profile != 0 && s.replica > 0 ||
			s.profile == 0 && (p.node.pool.slotsPerGPU() > 1 || s.milli < int32(units.GPU)) {
			b.WriteString("/" + strconv.Itoa(int(s.replica)))
		}
	}
	return b.String()
}
