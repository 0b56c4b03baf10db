package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/operators"
	"orrery/sim/units"
	"orrery/sim/workload"
)

// operate maps an operator's object of the manifest file to the pods it stands for.
func (m *manifest) operate(f plan.File) error {
	o := m.object.(metav1.Object)
	errs := []error{m.take(o, annotationRun, &m.run), m.take(o, annotationSubmit, &m.submit)}
	e := operators.Expand(m.object)
	line := func(p operators.Problem) int { return kube.FieldLine(f.Data, e.Kind, o.GetName(), p.Path) }
	slices.SortStableFunc(e.Problems, func(a, b operators.Problem) int { return cmp.Compare(line(a), line(b)) })
	for _, p := range e.Problems {
		errs = append(errs, fmt.Errorf("%s:%d: %s %s: %s: %s", f.Name, line(p), e.Kind, o.GetName(), p.Path, p.Say))
	}
	m.operated = &e
	return errors.Join(errs...)
}

// admitPods tries the pods of an operator's object on an API.
func (m *manifest) admitPods(store *kube.Store) error {
	for _, j := range m.operated.Jobs {
		for _, p := range j.Pods {
			if _, err := store.Create(p.DeepCopy()); err != nil && !overQuota(err) {
				return fmt.Errorf("the API refuses it: %w", err)
			}
		}
	}
	return nil
}

// overQuota reports whether a refusal is the run's business and no mistake of the input: the job is rejected.
func overQuota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota")
}

// operate submits the jobs of an operator's object when their time comes.
func (c *cluster) operate(m *manifest) error {
	if c.operated == nil {
		c.operated = map[string][]*corev1.Pod{}
	}
	if what := m.operated.Leaves; what != "" {
		c.record(journal.Warn{Code: "operator-leaves-out", Count: 1, Message: fmt.Sprintf("the operator of %s %s makes "+
			"something that the run does not: %s", m.operated.Kind, m.object.(metav1.Object).GetName(), what)})
	}
	at := m.at
	for _, given := range m.operated.Jobs {
		j := c.operatedJob(m.operated.Kind, given, m.run)
		if c.operated[j.Name] != nil {
			return fmt.Errorf("there is a %s %s already", m.operated.Kind, given.Name)
		}
		c.operated[j.Name] = given.Pods
		c.engine.After(m.submit, engine.PhaseArrive, "submit "+j.Name, func() {
			c.refused = nil
			c.jobs.Submit(j)
			if err := c.refused; err != nil && !overQuota(err) {
				c.fail(&InputError{fmt.Errorf("%s: the API refuses it: %w", at, err)})
			}
		})
	}
	return nil
}

// operatedJob is a job of an operator's object. Jobs of a trace have no dot in their names. run < 0 = until it is
// stopped.
func (c *cluster) operatedJob(kind string, given operators.Job, run units.Duration) plan.Job {
	first := given.Pods[0].Spec
	j := plan.Job{Name: given.Name + "." + strings.ToLower(kind) + "." + given.Namespace, ID: given.Name,
		Namespace: given.Namespace, Run: max(run, 0), Forever: run < 0, Outcome: journal.Succeeded,
		PriorityClass: first.PriorityClassName, SchedulerName: first.SchedulerName}
	if j.SchedulerName == "" {
		j.SchedulerName = corev1.DefaultSchedulerName
	}
	for _, key := range slices.Sorted(maps.Keys(first.NodeSelector)) {
		j.Require = append(j.Require, plan.Requirement{Key: key, Values: []string{first.NodeSelector[key]}})
	}
	for _, t := range first.Tolerations {
		j.Tolerations = append(j.Tolerations, plan.Toleration{Key: t.Key, Operator: string(t.Operator), Value: t.Value,
			Effect: string(t.Effect), Seconds: t.TolerationSeconds})
	}
	for _, p := range given.Pods {
		j.Pods = append(j.Pods, c.operatedPod(p))
	}
	if g := c.plan.Gangs; g != nil && len(j.Pods) >= g.Min {
		own := *g
		own.Min = len(j.Pods)
		if given.Restart {
			own.OnLoss = plan.LossRestart
		}
		j.Gang = &own
	}
	return j
}

// operatedPod is what a pod asks for.
func (c *cluster) operatedPod(p *corev1.Pod) plan.Pod {
	p = p.DeepCopy()
	requestLimits(&p.Spec)
	var asks journal.PodCreate
	c.measure(p, &asks)
	out := plan.Pod{Name: p.Name, CPUMilli: asks.CPUMilli, MemoryMiB: asks.MemoryMiB, Slots: asks.Slots, GPUs: asks.GPUs}
	for i := range p.Spec.Containers {
		for _, name := range slices.Sorted(maps.Keys(p.Spec.Containers[i].Resources.Requests)) {
			if out.Resource != "" {
				return out
			}
			if slices.ContainsFunc(c.plan.Pools, func(pool plan.Pool) bool {
				_, _, ok := pool.Asks(string(name))
				return ok
			}) {
				out.Resource = string(name)
			}
		}
	}
	return out
}

// createOperated makes the pod object of an operator's pod.
func (c *cluster) createOperated(p *workload.Pod, template *corev1.Pod) error {
	pod := template.DeepCopy()
	pod.Name = p.Name
	if p.Group != nil {
		pod.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &p.Group.Name}
	}
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		grace := int64((c.plan.Pods.TerminationGrace + time.Second - 1) / time.Second)
		pod.Spec.TerminationGracePeriodSeconds = &grace
	}
	_, err := c.store.Create(pod)
	if err != nil {
		c.refused = err
	}
	return err
}

// requestLimits makes requests of limits that have none, as the API will.
func requestLimits(spec *corev1.PodSpec) {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			r := &list[i].Resources
			all := corev1.ResourceList{}
			maps.Copy(all, r.Limits)
			maps.Copy(all, r.Requests)
			r.Requests = all
		}
	}
}
