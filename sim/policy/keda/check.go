package keda

import (
	"errors"
	"fmt"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Scheme returns the kinds of group keda.sh.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypes(v1alpha1.GroupVersion, &v1alpha1.ScaledObject{}, &v1alpha1.ScaledObjectList{},
		&v1alpha1.ScaledJob{}, &v1alpha1.ScaledJobList{}, &v1alpha1.TriggerAuthentication{},
		&v1alpha1.TriggerAuthenticationList{}, &v1alpha1.ClusterTriggerAuthentication{},
		&v1alpha1.ClusterTriggerAuthenticationList{})
	metav1.AddToGroupVersion(s, v1alpha1.GroupVersion)
	return s
}

// ClusterScoped are the kinds of Scheme that are not namespaced.
func ClusterScoped() []schema.GroupKind {
	return []schema.GroupKind{{Group: v1alpha1.GroupVersion.Group, Kind: "ClusterTriggerAuthentication"}}
}

// longestLabel is the longest value of a label (apis/keda/v1alpha1/scaledobject_webhook.go, maxK8sLabelValueLength).
const longestLabel = 63

// IsScaledObject reports whether the operator acts on an object.
func IsScaledObject(obj runtime.Object) bool {
	_, ok := obj.(*v1alpha1.ScaledObject)
	return ok
}

// Check reports what KEDA's webhook or schema refuses about an object of its own, and what is not simulated, all at
// once. Whether the scale target exists only shows later. Objects of other kinds are right.
func Check(obj runtime.Object) []error {
	switch o := obj.(type) {
	case *v1alpha1.ScaledObject:
		return check(o)
	case *v1alpha1.ScaledJob:
		return []error{errors.New("kind ScaledJob is not simulated: write the jobs as Jobs, or scale a Deployment " +
			"with a ScaledObject")}
	}
	return nil
}

func check(so *v1alpha1.ScaledObject) []error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if so.Spec.ScaleTargetRef == nil || so.Spec.ScaleTargetRef.Name == "" {
		errs = append(errs, errors.New("spec.scaleTargetRef.name is required"))
	}
	for _, x := range []struct {
		name  string
		value *int32
		min   int32
	}{{"pollingInterval", so.Spec.PollingInterval, 1}, {"initialCooldownPeriod", so.Spec.InitialCooldownPeriod, 0},
		{"cooldownPeriod", so.Spec.CooldownPeriod, 0}, {"idleReplicaCount", so.Spec.IdleReplicaCount, 0},
		{"minReplicaCount", so.Spec.MinReplicaCount, 0}, {"maxReplicaCount", so.Spec.MaxReplicaCount, 1}} {
		if x.value != nil && *x.value < x.min {
			errs = append(errs, fmt.Errorf("spec.%s is %d: it must be at least %d", x.name, *x.value, x.min))
		}
	}
	add(v1alpha1.CheckReplicaCountBoundsAreValid(so))
	add(v1alpha1.ValidateTriggers(so.Spec.Triggers))
	add(v1alpha1.CheckFallbackValid(so))
	add(checkNames(so))
	add(checkModifiers(so))
	resources := 0
	for i := range so.Spec.Triggers {
		t, err := newTrigger(sources{}, so, i)
		if err != nil {
			for _, err := range parts(err) {
				errs = append(errs, fmt.Errorf("spec.triggers[%d]: %w", i, err))
			}
		} else if t.metric == "" {
			resources++
		}
	}
	if resources > 0 && resources == len(so.Spec.Triggers) && deref(so.Spec.MinReplicaCount, 0) == 0 {
		errs = append(errs, errors.New("all triggers are cpu or memory and minReplicaCount is 0: usage of no pods cannot "+
			"bring back the first; set minReplicaCount to 1 or more, or add another trigger"))
	}
	return errs
}

// checkNames is the webhook's verifyName and the CRD's limits on what is named.
func checkNames(so *v1alpha1.ScaledObject) error {
	if len(so.Name) > longestLabel {
		return fmt.Errorf("the name %s has %d characters: a ScaledObject's name is used as a label, which has at most %d",
			so.Name, len(so.Name), longestLabel)
	}
	if name := hpaName(so); len(name) > longestLabel {
		return fmt.Errorf("the name of its HorizontalPodAutoscaler, %s, has %d characters, at most %d are allowed: set "+
			"spec.advanced.horizontalPodAutoscalerConfig.name", name, len(name), longestLabel)
	}
	if f := so.Spec.Fallback; f != nil {
		switch f.Behavior {
		case "", v1alpha1.FallbackBehaviorStatic, v1alpha1.FallbackBehaviorCurrentReplicas,
			v1alpha1.FallbackBehaviorCurrentReplicasIfHigher, v1alpha1.FallbackBehaviorCurrentReplicasIfLower,
			v1alpha1.FallbackBehaviorScalingModifiers:
		default:
			return fmt.Errorf("spec.fallback.behavior %q is none of static, currentReplicas, currentReplicasIfHigher, "+
				"currentReplicasIfLower and scalingModifiers", f.Behavior)
		}
	}
	return nil
}

// checkModifiers is what the webhook checks of scalingModifiers.
func checkModifiers(so *v1alpha1.ScaledObject) error {
	if so.IsUsingModifiers() {
		switch so.Spec.Advanced.ScalingModifiers.MetricType {
		case "", autoscalingv2.AverageValueMetricType, autoscalingv2.ValueMetricType:
		default:
			return fmt.Errorf("spec.advanced.scalingModifiers.metricType %q is neither AverageValue nor Value",
				so.Spec.Advanced.ScalingModifiers.MetricType)
		}
		_, err := v1alpha1.ValidateAndCompileScalingModifiers(so.DeepCopy())
		return err
	}
	if so.FallbackScalingModifiers() {
		return errors.New("fallback behavior scalingModifiers needs spec.advanced.scalingModifiers.formula")
	}
	return nil
}

// deref returns what p points to, or otherwise.
func deref(p *int32, otherwise int32) int32 {
	if p == nil {
		return otherwise
	}
	return *p
}

// parts are the errors that one is made of.
func parts(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, parts(e)...)
		}
		return out
	}
	return []error{err}
}

// ReadsResources reports whether an object is a ScaledObject with a trigger on the CPU or memory of pods.
func ReadsResources(obj runtime.Object) bool {
	o, ok := obj.(*v1alpha1.ScaledObject)
	if !ok {
		return false
	}
	for _, t := range o.Spec.Triggers {
		if t.Type == "cpu" || t.Type == "memory" {
			return true
		}
	}
	return false
}
