package kube

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// selection is what a list, a watch or an informer asks for.
type selection struct {
	ns     string // "" is all namespaces
	labels labels.Selector
	fields fields.Selector
	values map[string]func(runtime.Object) string // of the kind; nil when fields is nil
}

// newSelection checks the selectors of a request for k.
func newSelection(k *kind, ns string, ls labels.Selector, fs fields.Selector) (selection, error) {
	sel := selection{ns: ns}
	if ls != nil && !ls.Empty() {
		sel.labels = ls
	}
	if fs == nil || fs.Empty() {
		return sel, nil
	}
	sel.fields, sel.values = fs, selectableFields[k.gvr.GroupResource()]
	for _, r := range fs.Requirements() {
		if r.Field == "metadata.name" || r.Field == "metadata.namespace" {
			continue
		}
		if _, ok := sel.values[r.Field]; !ok {
			return sel, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", r.Field))
		}
	}
	return sel, nil
}

// all reports whether everything is selected.
func (sel *selection) all() bool { return sel.ns == "" && sel.labels == nil && sel.fields == nil }

// matches reports whether obj is selected.
func (sel *selection) matches(obj runtime.Object) bool {
	if sel.all() {
		return true
	}
	m := obj.(metav1.Object)
	if sel.ns != "" && m.GetNamespace() != sel.ns {
		return false
	}
	if sel.labels != nil && !sel.labels.Matches(labels.Set(m.GetLabels())) {
		return false
	}
	return sel.fields == nil || sel.fields.Matches(objectFields{obj, sel.values})
}

// objectFields reads the selectable fields of an object when they are asked for.
type objectFields struct {
	obj    runtime.Object
	values map[string]func(runtime.Object) string
}

// Has implements fields.Fields.
func (f objectFields) Has(name string) bool {
	return name == "metadata.name" || name == "metadata.namespace" || f.values[name] != nil
}

// Get implements fields.Fields.
func (f objectFields) Get(name string) string {
	switch name {
	case "metadata.name":
		return f.obj.(metav1.Object).GetName()
	case "metadata.namespace":
		return f.obj.(metav1.Object).GetNamespace()
	}
	if get := f.values[name]; get != nil {
		return get(f.obj)
	}
	return ""
}

// of adapts a typed getter.
func of[T runtime.Object](get func(T) string) func(runtime.Object) string {
	return func(obj runtime.Object) string { return get(obj.(T)) }
}

// selectableFields are the fields upstream's strategies make selectable, besides name and namespace
// (k8s.io/kubernetes/pkg/registry, *ToSelectableFields, v1.37).
var selectableFields = map[schema.GroupResource]map[string]func(runtime.Object) string{
	{Resource: "pods"}: {
		"spec.nodeName":      of(func(p *corev1.Pod) string { return p.Spec.NodeName }),
		"spec.restartPolicy": of(func(p *corev1.Pod) string { return string(p.Spec.RestartPolicy) }),
		"spec.schedulerName": of(func(p *corev1.Pod) string { return p.Spec.SchedulerName }),
		"spec.serviceAccountName": of(func(p *corev1.Pod) string {
			return p.Spec.ServiceAccountName
		}),
		"spec.hostNetwork": of(func(p *corev1.Pod) string { return strconv.FormatBool(p.Spec.HostNetwork) }),
		"status.phase":     of(func(p *corev1.Pod) string { return string(p.Status.Phase) }),
		"status.podIP": of(func(p *corev1.Pod) string {
			if len(p.Status.PodIPs) > 0 {
				return p.Status.PodIPs[0].IP
			}
			return ""
		}),
		"status.nominatedNodeName": of(func(p *corev1.Pod) string { return p.Status.NominatedNodeName }),
	},
	{Resource: "nodes"}: {
		"spec.unschedulable": of(func(n *corev1.Node) string { return strconv.FormatBool(n.Spec.Unschedulable) }),
	},
	{Resource: "namespaces"}: {
		"status.phase": of(func(n *corev1.Namespace) string { return string(n.Status.Phase) }),
	},
	{Resource: "secrets"}: {
		"type": of(func(s *corev1.Secret) string { return string(s.Type) }),
	},
	{Resource: "replicationcontrollers"}: {
		"status.replicas": of(func(r *corev1.ReplicationController) string {
			return strconv.Itoa(int(r.Status.Replicas))
		}),
	},
	{Resource: "services"}: {
		"spec.clusterIP": of(func(s *corev1.Service) string { return s.Spec.ClusterIP }),
		"spec.type":      of(func(s *corev1.Service) string { return string(s.Spec.Type) }),
	},
	{Resource: "events"}: eventFields,
	{Group: "events.k8s.io", Resource: "events"}: {
		"reason": of(func(e *eventsv1.Event) string { return e.Reason }),
		"type":   of(func(e *eventsv1.Event) string { return e.Type }),
	},
	{Group: "apps", Resource: "replicasets"}: {
		"status.replicas": of(func(r *appsv1.ReplicaSet) string { return strconv.Itoa(int(r.Status.Replicas)) }),
	},
	{Group: "batch", Resource: "jobs"}: {
		"status.successful": of(func(j *batchv1.Job) string { return strconv.Itoa(int(j.Status.Succeeded)) }),
	},
	{Group: "resource.k8s.io", Resource: "resourceslices"}: {
		"spec.nodeName": of(func(r *resourcev1.ResourceSlice) string {
			if r.Spec.NodeName == nil {
				return ""
			}
			return *r.Spec.NodeName
		}),
		"spec.driver": of(func(r *resourcev1.ResourceSlice) string { return r.Spec.Driver }),
	},
}

// eventFields are the selectable fields of core events.
var eventFields = map[string]func(runtime.Object) string{
	"involvedObject.kind":            of(func(e *corev1.Event) string { return e.InvolvedObject.Kind }),
	"involvedObject.namespace":       of(func(e *corev1.Event) string { return e.InvolvedObject.Namespace }),
	"involvedObject.name":            of(func(e *corev1.Event) string { return e.InvolvedObject.Name }),
	"involvedObject.uid":             of(func(e *corev1.Event) string { return string(e.InvolvedObject.UID) }),
	"involvedObject.apiVersion":      of(func(e *corev1.Event) string { return e.InvolvedObject.APIVersion }),
	"involvedObject.resourceVersion": of(func(e *corev1.Event) string { return e.InvolvedObject.ResourceVersion }),
	"involvedObject.fieldPath":       of(func(e *corev1.Event) string { return e.InvolvedObject.FieldPath }),
	"reason":                         of(func(e *corev1.Event) string { return e.Reason }),
	"reportingComponent":             of(func(e *corev1.Event) string { return e.ReportingController }),
	"source": of(func(e *corev1.Event) string {
		if e.Source.Component == "" {
			return e.ReportingController
		}
		return e.Source.Component
	}),
	"type": of(func(e *corev1.Event) string { return e.Type }),
}
