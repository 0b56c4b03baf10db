package keda

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"orrery/sim/journal"
	"orrery/sim/kube"
)

// reconcile is Reconcile of controllers/keda/scaledobject_controller.go.
func (c *Controller) reconcile(s *scaled) {
	obj, err := c.p.Store.Get(scaledGVR, s.namespace, s.name)
	if err != nil {
		return
	}
	so := obj.(*v1alpha1.ScaledObject)
	next := so.DeepCopy()
	conds := &next.Status.Conditions
	if !conds.AreInitialized() {
		*conds = *v1alpha1.GetInitializedConditions()
	}
	run, text, err := c.bring(s, next)
	if err != nil {
		conds.SetReadyCondition(metav1.ConditionFalse, "ScaledObjectCheckFailed", text+": "+err.Error())
		conds.SetActiveCondition(metav1.ConditionUnknown, "UnknownState", "ScaledObject check failed")
	} else {
		conds.SetReadyCondition(metav1.ConditionTrue, v1alpha1.ScaledObjectConditionReadySuccessReason, text)
	}
	if next.Spec.Fallback == nil || !validFallback(next) {
		conds.SetFallbackCondition(metav1.ConditionFalse, "NoFallbackFound", "No fallbacks are active on this scaled object")
	}
	c.writeStatus(so, next, s)
	if err != nil {
		s.retry = min(max(firstRetry, 2*s.retry), lastRetry)
		c.after(s, s.retry)
		return
	}
	s.retry = 0
	if run {
		c.start(s, next)
	}
}

// bring is reconcileScaledObject: it makes the autoscaler as the object wants it and fills in the status. run says that
// a new loop of polls has to begin.
func (c *Controller) bring(s *scaled, so *v1alpha1.ScaledObject) (run bool, text string, err error) {
	conds := &so.Status.Conditions
	if so.NeedToBePausedByAnnotation() {
		return false, v1alpha1.ScaledObjectConditionPausedMessage, c.pause(s, so)
	}
	if so.NeedToPauseScaleIn() || so.NeedToPauseScaleOut() {
		conds.SetPausedCondition(metav1.ConditionTrue, v1alpha1.ScaledObjectConditionPausedReason,
			v1alpha1.ScaledObjectConditionPausedMessage)
	} else if p := conds.GetPausedCondition(); p.Status == metav1.ConditionTrue {
		conds.SetPausedCondition(metav1.ConditionFalse, "ScaledObjectUnpaused", "pause annotation removed for ScaledObject")
		so.Status.PausedReplicaCount = nil
	}
	const target = "ScaledObject doesn't have correct scaleTargetRef specification"
	if err := c.label(so); err != nil {
		return false, "failed to update ScaledObject with scaledObjectName label", err
	}
	if err := c.findTarget(s, so); err != nil {
		return false, target, err
	}
	if err := errors.Join(check(so)...); err != nil {
		return false, "ScaledObject is not right", err
	}
	if err := c.build(s, so); err != nil {
		return false, "ScaledObject is not right", err
	}
	created, err := c.ensureHPA(s, so)
	if err != nil {
		return false, "failed to ensure HPA is correctly created for ScaledObject", err
	}
	so.Status.HpaName = hpaName(so)
	return created || s.generation != so.Generation, v1alpha1.ScaledObjectConditionReadySuccessMessage, nil
}

// label is ensureScaledObjectLabel.
func (c *Controller) label(so *v1alpha1.ScaledObject) error {
	if so.Labels[v1alpha1.ScaledObjectOwnerAnnotation] == so.Name {
		return nil
	}
	obj, err := c.p.Store.Get(scaledGVR, so.Namespace, so.Name)
	if err != nil {
		return err
	}
	labeled := obj.(*v1alpha1.ScaledObject).DeepCopy()
	metav1.SetMetaDataLabel(&labeled.ObjectMeta, v1alpha1.ScaledObjectOwnerAnnotation, so.Name)
	stored, err := c.p.Store.Update(labeled, "")
	if err != nil {
		return err
	}
	so.ObjectMeta = *stored.(*v1alpha1.ScaledObject).ObjectMeta.DeepCopy()
	return nil
}

// findTarget is checkTargetResourceIsScalable.
func (c *Controller) findTarget(s *scaled, so *v1alpha1.ScaledObject) error {
	ref := so.Spec.ScaleTargetRef
	if ref == nil || ref.Name == "" {
		return fmt.Errorf("ScaledObject.spec.scaleTargetRef.name is missing")
	}
	gvkr, err := v1alpha1.ParseGVKR(c.p.Store.RESTMapper(), ref.APIVersion, ref.Kind)
	if err != nil {
		return err
	}
	s.target = gvkr
	gvr := schema.GroupVersionResource{Group: gvkr.Group, Version: gvkr.Version, Resource: gvkr.Resource}
	if _, err := c.p.Store.Get(gvr, so.Namespace, ref.Name); err != nil {
		return err
	}
	scale, err := c.scaleOf(s, so)
	if err != nil {
		return err
	}
	so.Status.ScaleTargetKind, so.Status.ScaleTargetGVKR = gvkr.GVKString(), &gvkr
	if so.Status.OriginalReplicaCount == nil {
		n := scale.Spec.Replicas
		so.Status.OriginalReplicaCount = &n
	}
	s.original = so.Status.OriginalReplicaCount
	s.restore = so.Spec.Advanced != nil && so.Spec.Advanced.RestoreToOriginalReplicaCount
	return nil
}

// build makes the triggers and the formula, and writes their names into the status.
func (c *Controller) build(s *scaled, so *v1alpha1.ScaledObject) error {
	var triggers []*trigger
	so.Status.ExternalMetricNames, so.Status.ResourceMetricNames, so.Status.CompositeScalerName = nil, nil, ""
	for i := range so.Spec.Triggers {
		t, err := newTrigger(sources{metrics: c.p.Metrics, store: c.p.Store, clock: c.clock}, so, i)
		if err != nil {
			return fmt.Errorf("spec.triggers[%d]: %w", i, err)
		}
		triggers = append(triggers, t)
		switch {
		case t.metric != "":
			so.Status.ExternalMetricNames = append(so.Status.ExternalMetricNames, t.metric)
		case t.spec.Resource != nil:
			so.Status.ResourceMetricNames = append(so.Status.ResourceMetricNames, string(t.spec.Resource.Name))
		}
	}
	s.formula = nil
	if so.IsUsingModifiers() {
		var err error
		if s.formula, err = v1alpha1.ValidateAndCompileScalingModifiers(so.DeepCopy()); err != nil {
			return err
		}
		so.Status.CompositeScalerName = v1alpha1.CompositeMetricName
	}
	s.triggers = triggers
	types, auths := v1alpha1.CombinedTriggersAndAuthenticationsTypes(so.Spec.Triggers)
	so.Status.TriggersTypes, so.Status.AuthenticationsTypes = &types, &auths
	for name := range s.health {
		if !slices.Contains(so.Status.ExternalMetricNames, name) {
			delete(s.health, name)
		}
	}
	return nil
}

// pause is handlePause: no polls, no autoscaler, and the replicas that the annotation wants.
func (c *Controller) pause(s *scaled, so *v1alpha1.ScaledObject) error {
	so.Status.Conditions.SetPausedCondition(metav1.ConditionTrue, v1alpha1.ScaledObjectConditionPausedReason,
		v1alpha1.ScaledObjectConditionPausedMessage)
	c.stop(s)
	name := hpaName(so)
	if so.Status.HpaName != "" {
		name = so.Status.HpaName
	}
	if _, err := c.p.Store.Get(hpasGVR, so.Namespace, name); err == nil {
		if err := c.p.Store.Delete(hpasGVR, so.Namespace, name, nil); err != nil {
			return err
		}
	}
	count, err := so.GetPausedReplicaCount()
	if err != nil {
		return fmt.Errorf("failed to parse paused replica count: %w", err)
	}
	so.Status.PausedReplicaCount = count
	if count == nil {
		return nil
	}
	if err := c.findTarget(s, so); err != nil {
		return err
	}
	from, err := c.replicas(s, so)
	if err == nil && from != *count {
		c.scaleTo(s, so, from, *count, "ScaledObjectPaused: scaled to the paused replica count")
	}
	return err
}

// activity writes which triggers are active.
func (s *scaled) activity(so *v1alpha1.ScaledObject, active []string) {
	so.Status.TriggersActivity = map[string]v1alpha1.TriggerActivityStatus{}
	for _, name := range so.Status.ExternalMetricNames {
		so.Status.TriggersActivity[name] = v1alpha1.TriggerActivityStatus{IsActive: slices.Contains(active, name)}
	}
}

// healthStatus writes failures of triggers and whether they make the fallback act (updateStatus of
// pkg/fallback/fallback.go).
func (s *scaled) healthStatus(so *v1alpha1.ScaledObject) {
	if so.Spec.Fallback == nil || !validFallback(so) {
		return
	}
	so.Status.Health = map[string]v1alpha1.HealthStatus{}
	acting := false
	for _, name := range so.Status.ExternalMetricNames {
		n, known := s.health[name]
		if !known {
			continue
		}
		status := v1alpha1.HealthStatusHappy
		if n > 0 {
			status = v1alpha1.HealthStatusFailing
		}
		so.Status.Health[name] = v1alpha1.HealthStatus{NumberOfFailures: &n, Status: status}
		acting = acting || n > so.Spec.Fallback.FailureThreshold
	}
	if acting {
		so.Status.Conditions.SetFallbackCondition(metav1.ConditionTrue, "FallbackExists",
			"At least one trigger is falling back on this scaled object")
		return
	}
	so.Status.Conditions.SetFallbackCondition(metav1.ConditionFalse, "NoFallbackFound",
		"No fallbacks are active on this scaled object")
}

// writeStatus writes the status of next when it differs from that of so, and records conditions that changed.
func (c *Controller) writeStatus(so, next *v1alpha1.ScaledObject, s *scaled) {
	next.Status.LastActiveTime = so.Status.LastActiveTime
	if kube.SamePlain(&so.Status, &next.Status) {
		return
	}
	if !s.lastActive.IsZero() {
		next.Status.LastActiveTime = &metav1.Time{Time: s.lastActive}
	}
	obj, err := c.p.Store.Get(scaledGVR, s.namespace, s.name)
	if err != nil {
		return
	}
	current := obj.(*v1alpha1.ScaledObject).DeepCopy()
	current.Status = next.Status
	if _, err := c.p.Store.Update(current, "status"); err != nil {
		return
	}
	if c.p.Record == nil {
		return
	}
	for _, x := range next.Status.Conditions {
		if i := slices.Index(so.Status.Conditions, x); i < 0 {
			c.p.Record(journal.Condition{Object: s.object(), Type: string(x.Type), Status: string(x.Status), Reason: x.Reason,
				Message: x.Message})
		}
	}
}
