package sim

import (
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/policy/hpa"
)

// scaling tells the journal who changes how many replicas objects should have, and what autoscalers say of themselves.
type scaling struct {
	changes []journal.Scale  // since the last barrier
	causes  map[string]cause // by object: what was said since the last barrier
}

// cause is why somebody changed a number of replicas.
type cause struct{ by, reason string }

// because says why the replicas of an object, Kind/namespace/name, are changed at this instant, before or after they
// are.
func (c *cluster) because(object, by, reason string) {
	if c.scaling.causes == nil {
		c.scaling.causes = map[string]cause{}
	}
	c.scaling.causes[object] = cause{by, reason}
}

// autoscaled takes what the controller of the HorizontalPodAutoscalers says. The driver waits meanwhile.
func (c *cluster) autoscaled(e hpa.Event) {
	if e.Reason != hpa.ReasonRescaled {
		return // its conditions say it, too
	}
	a := e.Autoscaler
	_, reason, ok := strings.Cut(e.Message, "; reason: ")
	if !ok {
		reason = e.Message
	}
	c.because(a.Spec.ScaleTargetRef.Kind+"/"+a.Namespace+"/"+a.Spec.ScaleTargetRef.Name,
		"HorizontalPodAutoscaler/"+a.Namespace+"/"+a.Name, reason)
}

// scaleCommitted looks for changes of replicas and of conditions of autoscalers.
func (c *cluster) scaleCommitted(k kube.Commit) {
	if k.Verb != kube.VerbUpdate {
		return
	}
	if a, ok := k.New.(*autoscalingv2.HorizontalPodAutoscaler); ok {
		c.autoscalerCommitted(k.Old.(*autoscalingv2.HorizontalPodAutoscaler), a)
		return
	}
	kind, to, ok := kube.Replicas(k.New)
	if !ok {
		return
	}
	_, from, _ := kube.Replicas(k.Old)
	m := k.New.(metav1.Object)
	if from == to || metav1.GetControllerOf(m) != nil { // an owner that carries out what its own object says
		return
	}
	c.scaling.changes = append(c.scaling.changes, journal.Scale{Object: kind + "/" + m.GetNamespace() + "/" + m.GetName(),
		From: from, To: to})
}

// autoscalerCommitted records conditions that changed.
func (c *cluster) autoscalerCommitted(old, now *autoscalingv2.HorizontalPodAutoscaler) {
	before := map[autoscalingv2.HorizontalPodAutoscalerConditionType]journal.Condition{}
	object := "HorizontalPodAutoscaler/" + now.Namespace + "/" + now.Name
	record := func(x *autoscalingv2.HorizontalPodAutoscalerCondition) journal.Condition {
		return journal.Condition{Object: object, Type: string(x.Type), Status: string(x.Status), Reason: x.Reason,
			Message: x.Message}
	}
	for i := range old.Status.Conditions {
		before[old.Status.Conditions[i].Type] = record(&old.Status.Conditions[i])
	}
	for i := range now.Status.Conditions {
		x := &now.Status.Conditions[i]
		if r := record(x); r != before[x.Type] {
			c.record(r)
		}
	}
}

// unsaid is the reason of a change for which nobody gave one. The autoscalers' controller gives none when its metrics
// want the replicas that there are, but what they wanted within a stabilization window does not; its condition, whose
// words these are, is overwritten by the change (podautoscaler/horizontal.go of kubernetes v1.37.2, reconcileAutoscaler
// and stabilizeRecommendationWithBehaviors).
func unsaid(r journal.Scale) string {
	switch {
	case r.By == "":
		return "written by a client of the API"
	case !strings.HasPrefix(r.By, "HorizontalPodAutoscaler/"):
		return ""
	case r.To > r.From:
		return "recent recommendations were higher than current one, applying the highest recent recommendation"
	}
	return "recent recommendations were lower than current one, applying the lowest recent recommendation"
}

// scaled records the changes of replicas of the event that has just ended, with their causes.
func (c *cluster) scaled() {
	for _, r := range c.scaling.changes {
		why := c.scaling.causes[r.Object]
		if r.By, r.Reason = why.by, why.reason; r.Reason == "" {
			r.Reason = unsaid(r)
		}
		c.record(r)
	}
	c.scaling.changes = c.scaling.changes[:0]
	clear(c.scaling.causes)
}
