package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"orrery/sim/plan"
	"orrery/sim/policy/metrics"
)

// checkTargets holds that services which come from the manifests are there, and that autoscalers scale something: an
// HPA or a ScaledObject with a mistyped target does nothing for the whole of a run, and says so in its status only.
func checkTargets(list []manifest, p *plan.Plan) error {
	var errs []error
	targets := map[string][]string{} // namespace → kind/name of what can be scaled
	for i := range p.Services {
		s := &p.Services[i]
		for j := range s.Groups {
			g := &s.Groups[j]
			if g.Given {
				if err := checkGiven(list, s, g); err != nil {
					errs = append(errs, err)
				}
			}
			targets[s.Namespace] = append(targets[s.Namespace], g.Kind+"/"+g.Name)
		}
	}
	for _, m := range list {
		if o, ok := m.object.(metav1.Object); ok && m.operated == nil {
			ns := cmp.Or(o.GetNamespace(), metav1.NamespaceDefault)
			targets[ns] = append(targets[ns], m.object.GetObjectKind().GroupVersionKind().Kind+"/"+o.GetName())
		}
	}
	for _, m := range list {
		ns, want, ok := scaleTarget(m.object)
		if !ok || slices.Contains(targets[ns], want) {
			continue
		}
		var can []string
		for _, t := range targets[ns] {
			if kind, _, _ := strings.Cut(t, "/"); slices.Contains(scalable, kind) {
				can = append(can, t)
			}
		}
		slices.Sort(can)
		remedy := "add it"
		if can = slices.Compact(can); len(can) > 0 {
			remedy = "write one of " + strings.Join(can, ", ")
		}
		errs = append(errs, fmt.Errorf("%s: spec.scaleTargetRef: there is no %s in namespace %s; %s", m.at, want, ns, remedy))
	}
	if len(errs) > 0 {
		return &InputError{errors.Join(errs...)}
	}
	return nil
}

// checkRules holds that the plan's named metrics are expressions that Prometheus understands.
func checkRules(p *plan.Plan) error {
	var errs []error
	for _, x := range []struct {
		field string
		rules []plan.ExternalMetric
	}{{"external", p.Metrics.External}, {"custom", p.Metrics.Custom}} {
		for i, r := range x.rules {
			if _, err := metrics.Check(r.Query); err != nil {
				errs = append(errs, fmt.Errorf("metrics.%s[%d].query, metric %q: %w", x.field, i, r.Name, err))
			}
		}
	}
	if len(errs) > 0 {
		return &InputError{errors.Join(errs...)}
	}
	return nil
}

// scalable are the kinds that autoscalers find.
var scalable = []string{plan.KindDeployment, plan.KindLeaderWorkerSet, "ReplicaSet", "StatefulSet"}

// scaleTarget returns the namespace of an autoscaler and what it scales, as kind/name.
func scaleTarget(object runtime.Object) (namespace, target string, ok bool) {
	switch object.GetObjectKind().GroupVersionKind().Kind {
	case "HorizontalPodAutoscaler", "ScaledObject":
	default:
		return "", "", false
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return "", "", false // the API says what is wrong with it
	}
	ref, found, err := unstructured.NestedStringMap(fields, "spec", "scaleTargetRef")
	if err != nil || !found {
		return "", "", false
	}
	u := unstructured.Unstructured{Object: fields}
	namespace = cmp.Or(u.GetNamespace(), metav1.NamespaceDefault)
	return namespace, cmp.Or(ref["kind"], plan.KindDeployment) + "/" + ref["name"], true
}
