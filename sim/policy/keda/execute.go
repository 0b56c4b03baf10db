package keda

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/units"
)

// Reasons of KEDA's events (pkg/eventreason/eventreason.go), with which causes of changes of replicas begin.
const (
	ReasonActivated   = "KEDAScaleTargetActivated"
	ReasonDeactivated = "KEDAScaleTargetDeactivated"
)

// Defaults of a ScaledObject (pkg/scaling/executor/scale_executor.go; apis/keda/v1alpha1/withtriggers_types.go).
const (
	defaultPolling  = 30
	defaultCooldown = 300
)

// state is what a poll found: getScaledObjectState.
type state struct {
	active, failed, fallback bool
	triggers                 []string // the metrics of active ones
}

// look polls the triggers of an object.
func (c *Controller) look(s *scaled, so *v1alpha1.ScaledObject, now units.Time) state {
	var st state
	values := map[string]int64{}
	var fallback []int64
	usage, records := 0, map[string]reading{}
	for _, t := range s.triggers {
		if t.metric == "" {
			usage++
			continue
		}
		var r reading
		r.value, r.active, r.err = t.read(now)
		o := c.settled(s, so, t, r)
		if t.cached { // what the autoscaler is told has been through the fallback already
			records[t.metric] = reading{float64(o.milli) / 1000, o.active || o.fallback, o.err}
		}
		if o.err != nil {
			st.failed = true
			continue
		}
		values[t.metric] = o.milli
		if o.fallback {
			st.fallback = true
			fallback = append(fallback, o.milli)
		}
		if o.active || o.fallback {
			st.active = true
			st.triggers = append(st.triggers, t.metric)
		}
	}
	if st.failed {
		clear(s.records)
	}
	if len(records) > 0 {
		s.records = records
	}
	if so.IsUsingModifiers() {
		st.active, st.triggers = false, nil
		if v, ok := s.compose(so, values, fallback); ok && !st.failed {
			target, _ := strconv.ParseFloat(so.Spec.Advanced.ScalingModifiers.ActivationTarget, 64)
			if st.active = float64(v)/1000 > target; st.active {
				st.triggers = []string{v1alpha1.CompositeMetricName}
			}
		}
	}
	if usage >= len(s.triggers) && !st.failed {
		st.active = true
	}
	return st
}

// poll is checkScalers: it looks and does what follows.
func (c *Controller) poll(s *scaled) {
	obj, err := c.p.Store.Get(scaledGVR, s.namespace, s.name)
	if err != nil {
		return
	}
	so := obj.(*v1alpha1.ScaledObject)
	now := c.p.Engine.Now()
	st := c.look(s, so, now)
	next := so.DeepCopy()
	next.Status.Conditions.SetReadyCondition(metav1.ConditionTrue, v1alpha1.ScaledObjectConditionReadySuccessReason,
		v1alpha1.ScaledObjectConditionReadySuccessMessage)
	current, err := c.replicas(s, so)
	if err != nil {
		next.Status.Conditions.SetReadyCondition(metav1.ConditionFalse, "ErrorGettingCurrentReplicas",
			fmt.Sprintf("Error getting current replicas count for ScaleTarget: %v", err))
	} else {
		c.request(s, so, &next.Status.Conditions, st, current)
		c.hpaHealth(so, &next.Status.Conditions)
	}
	s.activity(next, st.triggers)
	s.healthStatus(next)
	c.writeStatus(so, next, s)
}

// request is RequestScale.
func (c *Controller) request(s *scaled, so *v1alpha1.ScaledObject, conds *v1alpha1.Conditions, st state,
	current int32) {
	least := deref(so.Spec.MinReplicaCount, 0)
	idle := so.Spec.IdleReplicaCount
	if forced := so.NeedToForceActivation(); st.active || forced {
		text := "Scaling is performed because triggers are active"
		if forced {
			text = "Scaling is performed because activation is being forced by annotation"
		}
		conds.SetActiveCondition(metav1.ConditionTrue, "ScalerActive", text)
		switch {
		case idle != nil && current < least, current == 0:
			c.activate(s, so, st, current)
		case st.failed:
			conds.SetReadyCondition(metav1.ConditionUnknown, "PartialTriggerError",
				"Some triggers defined in ScaledObject are not working correctly")
		default:
			s.active()
		}
		return
	}
	conds.SetActiveCondition(metav1.ConditionFalse, "ScalerNotActive",
		"Scaling is not performed because triggers are not active")
	switch {
	case st.failed && so.Spec.Fallback != nil && so.Spec.Fallback.Replicas != 0:
		// The target is left alone until the fallback takes effect.
	case st.failed && so.Spec.Fallback == nil:
		conds.SetReadyCondition(metav1.ConditionFalse, "TriggerError",
			"Triggers defined in ScaledObject are not working correctly")
	case idle != nil && current > *idle, current > 0 && least == 0:
		c.deactivate(s, so, conds, current)
	case idle == nil && current < least:
		c.scaleTo(s, so, current, least, "ScaleTarget replicas count set to ScaledObject minReplicaCount")
	}
}

// activate is scaleFromZeroOrIdle.
func (c *Controller) activate(s *scaled, so *v1alpha1.ScaledObject, st state, current int32) {
	if so.NeedToPauseScaleOut() {
		return
	}
	to := max(1, deref(so.Spec.MinReplicaCount, 0))
	cause := "triggered by " + strings.Join(st.triggers, ";")
	if so.NeedToForceActivation() {
		cause = "caused by forced activation annotation"
	}
	if c.scaleTo(s, so, current, to, fmt.Sprintf("%s: Scaled %s %s/%s from %d to %d, %s", ReasonActivated,
		s.target.GVKString(), so.Namespace, so.Spec.ScaleTargetRef.Name, current, to, cause)) {
		s.active()
	}
}

// deactivate is scaleToZeroOrIdle.
func (c *Controller) deactivate(s *scaled, so *v1alpha1.ScaledObject, conds *v1alpha1.Conditions, current int32) {
	if so.NeedToPauseScaleIn() {
		return
	}
	now := c.p.Engine.Clock()
	initial := time.Duration(deref(so.Spec.InitialCooldownPeriod, 0)) * time.Second
	cooldown := time.Duration(deref(so.Spec.CooldownPeriod, defaultCooldown)) * time.Second
	over := s.lastActive.IsZero() && so.CreationTimestamp.Add(initial).Before(now) ||
		!s.lastActive.IsZero() && s.lastActive.Add(cooldown).Before(now)
	if !over {
		conds.SetActiveCondition(metav1.ConditionFalse, "ScalerCooldown",
			"Scaler cooling down because triggers are not active")
		return
	}
	to := deref(so.Spec.MinReplicaCount, 0)
	if so.Spec.IdleReplicaCount != nil {
		to = *so.Spec.IdleReplicaCount
	}
	c.scaleTo(s, so, current, to, fmt.Sprintf("%s: Deactivated %s %s/%s from %d to %d", ReasonDeactivated,
		s.target.GVKString(), so.Namespace, so.Spec.ScaleTargetRef.Name, current, to))
}

// active notes that a trigger is. KEDA keeps the time in the object, whose times are whole seconds.
func (s *scaled) active() { s.lastActive = s.c.p.Engine.Clock().Truncate(time.Second) }

// scaleOf returns the scale of the target.
func (c *Controller) scaleOf(s *scaled, so *v1alpha1.ScaledObject) (*autoscalingv1.Scale, error) {
	return c.p.Scales.Scales(so.Namespace).Get(c.ctx, s.target.GroupResource(), so.Spec.ScaleTargetRef.Name,
		metav1.GetOptions{})
}

// replicas is GetCurrentReplicas of pkg/scaling/resolver/scale_resolvers.go.
func (c *Controller) replicas(s *scaled, so *v1alpha1.ScaledObject) (int32, error) {
	scale, err := c.scaleOf(s, so)
	if err != nil {
		return 0, err
	}
	return scale.Spec.Replicas, nil
}

// scaleTo is updateScaleOnScaleTarget. It reports success.
func (c *Controller) scaleTo(s *scaled, so *v1alpha1.ScaledObject, from, to int32, why string) bool {
	scale, err := c.scaleOf(s, so)
	if err != nil {
		return false
	}
	scale = scale.DeepCopy()
	scale.Spec.Replicas = to
	if c.p.Because != nil && from != to {
		c.p.Because(s.target.Kind+"/"+so.Namespace+"/"+so.Spec.ScaleTargetRef.Name, s.object(), why)
	}
	_, err = c.p.Scales.Scales(so.Namespace).Update(c.ctx, s.target.GroupResource(), scale, metav1.UpdateOptions{})
	return err == nil
}

// hpaHealth is checkHPAHealth. It leaves the condition alone while the autoscaler has said nothing.
func (c *Controller) hpaHealth(so *v1alpha1.ScaledObject, conds *v1alpha1.Conditions) {
	obj, err := c.p.Store.Get(hpasGVR, so.Namespace, so.Status.HpaName)
	if err != nil {
		return
	}
	for _, x := range obj.(*autoscalingv2.HorizontalPodAutoscaler).Status.Conditions {
		if x.Type != autoscalingv2.ScalingActive {
			continue
		}
		switch {
		case x.Status == corev1.ConditionTrue:
			conds.SetHPAActiveCondition(metav1.ConditionTrue, "HPAActive", "HPA is actively scaling")
		case x.Reason == "ScalingDisabled":
			conds.SetHPAActiveCondition(metav1.ConditionTrue, x.Reason, x.Message)
		default:
			conds.SetHPAActiveCondition(metav1.ConditionFalse, x.Reason, "HPA is not actively scaling: "+x.Message)
		}
	}
}
