package incremental

import (
	"cmp"
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/preemption"
)

// dry is what preemption's dry run said of every node for a class: whom upstream would preempt there.
type dry struct {
	clock   uint64 // changes up to here are known
	version uint64 // of nodes.list
	known   bitmap
	outcome []outcome
}

// outcome is that of upstream's SelectVictimsOnNode.
type outcome struct {
	victims    []*v1.Pod
	violations int
	status     *fwk.Status
}

// candidate is a node on which preemption would make room.
type candidate struct {
	name    string
	victims extenderv1.Victims
}

// Victims implements preemption.Candidate.
func (c *candidate) Victims() *extenderv1.Victims { return &c.victims }

// Name implements preemption.Candidate.
func (c *candidate) Name() string { return c.name }

// NumPodGroupDisruptions implements preemption.Candidate.
func (c *candidate) NumPodGroupDisruptions() int { return 0 }

// rehearsal is a dry run of preemption for one pod over all nodes.
type rehearsal struct {
	*postFilter
	ctx     context.Context
	state   fwk.CycleState
	pod     *v1.Pod // as the informer has it
	x       *failure
	budgets []*policyv1.PodDisruptionBudget
	dry     *dry

	violating, clean []preemption.Candidate
	reasons          map[string]int // why nodes are no candidates
}

// run visits the nodes that upstream's DryRunPreemption would visit, of the nodes whose rejection may be resolved, from
// the offset-th on, until there are enough candidates. It reports false when a plugin met an error: then upstream must
// do it all itself.
func (r *rehearsal) run(tried int, offset, enough int32) bool {
	potential := make([]int32, 0, tried)
	for i := range r.x.list {
		if r.x.class.kinds[r.x.class.kind[i]].status.Code() == fwk.Unschedulable {
			potential = append(potential, int32(i))
		}
	}
	for k := range potential {
		if len(r.clean) > 0 && len(r.clean)+len(r.violating) >= int(enough) {
			break
		}
		if !r.visit(potential[(int(offset)+k)%len(potential)], int(enough)) {
			return false
		}
	}
	return true
}

// visit tries one node.
func (r *rehearsal) visit(i int32, room int) bool {
	if r.cycle.nodes.lowest[i] >= int64(corev1helpers.PodPriority(r.pod)) {
		r.reasons[nobodyThere]++
		return true
	}
	o := &r.dry.outcome[i]
	if !r.dry.known.has(i) {
		var ok bool
		if *o, ok = r.ask(i); !ok {
			return false
		}
		if r.lasting(i) {
			r.dry.known.set(i)
		}
	}
	switch {
	case !o.status.IsSuccess():
		for _, reason := range o.status.Reasons() {
			r.reasons[reason]++
		}
		return true
	case len(o.victims) == 0:
		return false // upstream calls it an error
	}
	list := &r.clean
	if o.violations > 0 {
		list = &r.violating
	}
	if len(*list) < room { // as upstream's lists
		*list = append(*list, &candidate{r.cycle.nodes.names[i],
			extenderv1.Victims{Pods: o.victims, NumPDBViolations: int64(o.violations)}})
	}
	return true
}

// ask has upstream select the victims on a node.
func (r *rehearsal) ask(i int32) (o outcome, ok bool) {
	e, info := r.preemption.Evaluator, r.x.list[i]
	possible, err := e.GetVictimsOnNode(r.ctx, info)
	if err != nil {
		return o, false
	}
	o.victims, o.violations, o.status = e.SelectVictimsOnNode(r.ctx, r.state.Clone(), r.pod, info.Snapshot(), possible,
		r.budgets)
	return o, o.status.Code() != fwk.Error
}

// lasting reports whether what was said of a node holds until it changes. A pod there that has not started yet counts
// as started now.
func (r *rehearsal) lasting(i int32) bool {
	momentary := false
	r.cycle.nodes.momentary(r.pod.UID, func(j int32) { momentary = momentary || i == j })
	if momentary {
		return false
	}
	return !slices.ContainsFunc(r.x.list[i].GetPods(), func(p fwk.PodInfo) bool {
		return p.GetPod().Status.StartTime == nil
	})
}

// dryFor returns what is known for a class, brought up to date for a pod.
func (c *Cycle) dryFor(k *class, pod *v1.Pod) *dry {
	d := k.dry
	if d == nil || d.version != c.nodes.version {
		before, n := k.bytes(), len(c.nodes.list)
		d = &dry{version: c.nodes.version, clock: c.nodes.clock, known: make(bitmap, (n+63)/64), outcome: make([]outcome, n)}
		k.dry = d
		c.account(k.bytes() - before)
	}
	c.nodes.since(d.clock, d.known.clear)
	d.clock = c.nodes.clock
	c.nodes.momentary(pod.UID, d.known.clear)
	return d
}

// disruptionBudgets returns the PodDisruptionBudgets as upstream's preemption lists them. When they changed, what dry
// runs said is forgotten.
func (f *postFilter) disruptionBudgets() ([]*policyv1.PodDisruptionBudget, error) {
	list, err := f.preemption.Evaluator.PdbLister.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b *policyv1.PodDisruptionBudget) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	if !slices.Equal(list, f.budgets) {
		f.budgets = list
		for _, p := range f.cycle.profiles {
			for _, k := range p.classes {
				f.cycle.memory -= k.bytes()
				k.dry = nil
				f.cycle.memory += k.bytes()
			}
		}
	}
	return list, nil
}
