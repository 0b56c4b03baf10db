package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	schedulingv1 "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/plugin/pkg/admission/defaulttolerationseconds"
	"k8s.io/kubernetes/plugin/pkg/admission/limitranger"
	"k8s.io/kubernetes/plugin/pkg/admission/priority"
)

// plugins are upstream's admission plugins, those of the default set that decide something for a simulated cluster, in
// upstream's order (k8s.io/kubernetes/pkg/kubeapiserver/options, AllOrderedPlugins). NamespaceLifecycle and
// ResourceQuota are in namespaces.go and quota.go. Not run: TaintNodesByCondition (there is no node life cycle
// controller that would take the taint away), ServiceAccount, DefaultStorageClass, RuntimeClass, PodSecurity (which
// allows everything by default), the protection finalizers and webhooks.
type plugins struct {
	store      *Store
	limits     *limitranger.LimitRanger
	priorities *priority.Plugin
	tolerate   *defaulttolerationseconds.Plugin
	// plugged are the kinds any plugin looks at.
	pods, claims, classes, limitRanges *kind
	groups                             map[*kind]bool
}

// newPlugins prepares the plugins. Their informers are told at commit, so they are never behind.
func newPlugins(s *Store) (*plugins, error) {
	p := &plugins{store: s, priorities: priority.NewPlugin(),
		tolerate: defaulttolerationseconds.NewDefaultTolerationSeconds(), groups: map[*kind]bool{}}
	var err error
	if p.limits, err = limitranger.NewLimitRanger(nil); err != nil {
		return nil, err
	}
	f := s.earlyFactory()
	p.limits.SetExternalKubeInformerFactory(f)
	p.limits.SetReadyFunc(nil)
	p.priorities.SetExternalKubeInformerFactory(f)
	p.priorities.SetReadyFunc(nil)
	p.tolerate.InspectFeatureGates(utilfeature.DefaultFeatureGate)
	for gk, k := range s.kinds.byGK {
		switch gk.Kind {
		case "Pod":
			p.pods = k
		case "PersistentVolumeClaim":
			p.claims = k
		case "PriorityClass":
			p.classes = k
		case "LimitRange":
			p.limitRanges = k
		case "PodGroup", "CompositePodGroup":
			p.groups[k] = gk.Group == "scheduling.k8s.io"
		}
	}
	return p, nil
}

// attributes describes a write to the plugins.
func (p *plugins) attributes(k *kind, in, old runtime.Object) admission.Attributes {
	m := in.(metav1.Object)
	op := admission.Create
	var options runtime.Object = &metav1.CreateOptions{}
	if old != nil {
		op, options = admission.Update, &metav1.UpdateOptions{}
	}
	return admission.NewAttributesRecord(in, old, k.gvk, m.GetNamespace(), m.GetName(), k.gvr, "", op, options, false,
		requestUser)
}

// limited reports whether a limit range applies to k in namespace ns.
func (p *plugins) limited(k *kind, ns string) bool {
	if k != p.pods && k != p.claims {
		return false
	}
	p.store.data.RLock()
	defer p.store.data.RUnlock()
	return len(p.store.tables[p.limitRanges].objs[ns]) > 0
}

// consults reports whether the plugins look at objects of kind k when a pod is created.
func (p *plugins) consults(k *kind) bool { return k == p.classes || k == p.limitRanges || p.groups[k] }

// mutate runs the mutating plugins on the internal form of an object; old is nil on create.
func (p *plugins) mutate(ctx context.Context, k *kind, sub string, in, old runtime.Object) error {
	if sub != "" {
		return nil
	}
	if k != p.pods && k != p.claims && !p.groups[k] {
		return nil
	}
	a := p.attributes(k, in, old)
	if p.limited(k, a.GetNamespace()) {
		if err := p.limits.Admit(ctx, a, nil); err != nil {
			return err
		}
	}
	if k == p.claims {
		return nil
	}
	if err := p.priorities.Admit(ctx, a, nil); err != nil {
		return err
	}
	if k == p.pods {
		return p.tolerate.Admit(ctx, a, nil)
	}
	return nil
}

// validate runs the validating plugins.
func (p *plugins) validate(ctx context.Context, k *kind, sub string, in, old runtime.Object) error {
	if sub != "" {
		return nil
	}
	switch {
	case k == p.classes:
		return p.priorities.Validate(ctx, p.attributes(k, in, old), nil)
	case p.limited(k, in.(metav1.Object).GetNamespace()):
		return p.limits.Validate(ctx, p.attributes(k, in, old), nil)
	}
	return nil
}

// topologyLabels are the labels a pod bound to target gets from its node (upstream's PodTopologyLabels plugin in its
// default configuration).
func (s *Store) topologyLabels(target corev1.ObjectReference) map[string]string {
	if target.Kind != "Node" || !utilfeature.DefaultFeatureGate.Enabled(features.PodTopologyLabelsAdmission) {
		return nil
	}
	obj := s.peek(s.kinds.byGVR[nodesGVR], "", target.Name)
	if obj == nil {
		return nil
	}
	node := obj.(*corev1.Node)
	var out map[string]string
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion} {
		if v, ok := node.Labels[key]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = v
		}
	}
	return out
}

var nodesGVR = corev1.SchemeGroupVersion.WithResource("nodes")

// systemPriorityClasses exist in every cluster.
func systemPriorityClasses() []runtime.Object {
	var out []runtime.Object
	for _, c := range schedulingv1.SystemPriorityClasses() {
		out = append(out, c)
	}
	return out
}
