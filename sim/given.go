package sim

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"orrery/sim/plan"
)

// checkGiven holds that the user's manifests have a group's object, and that its pods ask for what the service computes
// on: GPUs that a replica holds and does not use would be paid for without a word.
func checkGiven(list []manifest, s *plan.Service, g *plan.ReplicaGroup) error {
	var elsewhere []string
	for _, m := range list {
		o, ok := m.object.(metav1.Object)
		if !ok || m.object.GetObjectKind().GroupVersionKind().Kind != g.Kind {
			continue
		}
		ns := cmp.Or(o.GetNamespace(), metav1.NamespaceDefault)
		switch {
		case ns == s.Namespace && o.GetName() == g.Name:
			return checkAsked(m, s, g)
		case o.GetName() == g.Name:
			elsewhere = append(elsewhere, "namespace: "+ns)
		case ns == s.Namespace:
			elsewhere = append(elsewhere, "replicas: {fromManifest: true, name: "+o.GetName()+"}")
		}
	}
	remedy := "add it, or remove fromManifest"
	if len(elsewhere) > 0 {
		remedy = "write " + strings.Join(elsewhere, " or ") + ", or add it"
	}
	return fmt.Errorf("service %s: there is no %s %s in namespace %s among the manifests; %s", s.Name, g.Kind, g.Name,
		s.Namespace, remedy)
}

// checkAsked compares what the pods of a given object ask for with what the service says of them.
func checkAsked(m manifest, s *plan.Service, g *plan.ReplicaGroup) error {
	if g.Pod.Resource == "" || s.Engine.Preset == plan.EngineBatch { // which may well run on CPUs
		return nil
	}
	templates, size, err := templatesOf(m.object, g.Kind)
	if err != nil {
		return fmt.Errorf("%s: %w", m.at, err)
	}
	what := fmt.Sprintf("%s: %s %s/%s", m.at, g.Kind, s.Namespace, g.Name)
	if size != g.PodsPerReplica {
		return fmt.Errorf("%s: a replica is %d pods, but service %s says podsPerReplica: %d; write %d, or remove it", what,
			size, s.Name, g.PodsPerReplica, size)
	}
	for _, t := range templates {
		if len(t.ResourceClaims) > 0 {
			continue // dynamic resource allocation: the pod does not say how many
		}
		if asked := asks(t, g.Pod.Resource); asked != int64(g.Pod.Slots) {
			return fmt.Errorf("%s: each pod asks for %d %s, but service %s says %d; write resourceCount: %d, or another "+
				"resource", what, asked, g.Pod.Resource, s.Name, g.Pod.Slots, asked)
		}
	}
	return nil
}

// templatesOf returns the pod templates of a Deployment or LeaderWorkerSet, and the pods of one replica.
func templatesOf(object runtime.Object, kind string) (out []corev1.PodSpec, size int, err error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, 0, fmt.Errorf("the %s cannot be read: %w", kind, err)
	}
	paths, size := [][]string{{"spec", "template", "spec"}}, 1
	if kind == plan.KindLeaderWorkerSet {
		at := func(field string) []string { return []string{"spec", "leaderWorkerTemplate", field, "spec"} }
		paths = [][]string{at("leaderTemplate"), at("workerTemplate")}
		if n, ok, _ := unstructured.NestedInt64(fields, "spec", "leaderWorkerTemplate", "size"); ok {
			size = int(n)
		}
	}
	for _, path := range paths {
		spec, ok, err := unstructured.NestedMap(fields, path...)
		if err != nil || !ok {
			continue // a leader is like the workers; what has no template at all, the API refuses
		}
		var pod corev1.PodSpec
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &pod); err != nil {
			return nil, 0, fmt.Errorf("the %s's pod template cannot be read: %w", kind, err)
		}
		out = append(out, pod)
	}
	return out, size, nil
}

// asks returns how much of an extended resource a pod asks for.
func asks(pod corev1.PodSpec, resource string) (n int64) {
	for i := range pod.Containers {
		r := &pod.Containers[i].Resources
		q, ok := r.Limits[corev1.ResourceName(resource)]
		if !ok {
			q = r.Requests[corev1.ResourceName(resource)]
		}
		n += q.Value()
	}
	return n
}
