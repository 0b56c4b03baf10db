package kube

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// kind is one resource the store serves.
type kind struct {
	gvk        schema.GroupVersionKind
	gvr        schema.GroupVersionResource
	singular   string
	namespaced bool
	goType     reflect.Type // struct type behind the object pointer
	listType   reflect.Type
	upstream   bool     // legacyscheme knows it: defaulting and conversion to the internal type work
	strategy   strategy // zero for kinds without an upstream strategy
	specField  int      // index of the Spec field in goType, or -1
	statField  int      // index of the Status field in goType, or -1
	contexts   subContexts
	custom     *custom // nil for kinds without a CustomResourceDefinition
}

// kindTable indexes the served kinds.
type kindTable struct {
	scheme  *runtime.Scheme
	byGVR   map[schema.GroupVersionResource]*kind
	byGVK   map[schema.GroupVersionKind]*kind
	byType  map[reflect.Type]*kind
	byGR    map[schema.GroupResource]*kind
	byGK    map[schema.GroupKind]*kind
	ordered []*kind // by group, then resource
	mapper  *meta.DefaultRESTMapper
}

// groupsNotServed are groups of the client-go scheme that only repeat kinds of another group, or that only an API
// server talks to.
var groupsNotServed = map[string]bool{
	"extensions":                    true,
	"internal.apiserver.k8s.io":     true,
	"apidiscovery.k8s.io":           true,
	"imagepolicy.k8s.io":            true,
	"authentication.k8s.io":         true,
	"authorization.k8s.io":          true,
	"testapigroup.apimachinery.k8s": true,
}

// clusterScopedWithoutStrategy lists the built-in cluster-scoped kinds whose strategy is not in the strategy table.
var clusterScopedWithoutStrategy = map[schema.GroupKind]bool{
	{Kind: "ComponentStatus"}:                                                         true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:                         true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}:                  true,
	{Group: "networking.k8s.io", Kind: "IngressClass"}:                                true,
	{Group: "networking.k8s.io", Kind: "IPAddress"}:                                   true,
	{Group: "networking.k8s.io", Kind: "ServiceCIDR"}:                                 true,
	{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"}:                 true,
	{Group: "certificates.k8s.io", Kind: "ClusterTrustBundle"}:                        true,
	{Group: "flowcontrol.apiserver.k8s.io", Kind: "FlowSchema"}:                       true,
	{Group: "flowcontrol.apiserver.k8s.io", Kind: "PriorityLevelConfiguration"}:       true,
	{Group: "storagemigration.k8s.io", Kind: "StorageVersionMigration"}:               true,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}:   true,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}:     true,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"}:        true,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"}: true,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicy"}:          true,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicyBinding"}:   true,
	{Group: "resource.k8s.io", Kind: "ResourcePoolStatusRequest"}:                     true,
}

var objectInterface = reflect.TypeFor[metav1.Object]()

// newKindTable builds the table from client-go's scheme and the caller's schemes. clusterScoped names the
// cluster-scoped kinds among the caller's.
func newKindTable(extra []*runtime.Scheme, clusterScoped []schema.GroupKind, nsGetter namespaceGetter) (*kindTable,
	error) {
	t := &kindTable{
		scheme: runtime.NewScheme(),
		byGVR:  map[schema.GroupVersionResource]*kind{},
		byGVK:  map[schema.GroupVersionKind]*kind{},
		byType: map[reflect.Type]*kind{},
		byGR:   map[schema.GroupResource]*kind{},
		byGK:   map[schema.GroupKind]*kind{},
	}
	if err := clientgoscheme.AddToScheme(t.scheme); err != nil {
		return nil, fmt.Errorf("building the API scheme: %w", err)
	}
	for _, s := range extra {
		addTypes(t.scheme, s)
	}
	cluster := map[schema.GroupKind]bool{}
	for _, gk := range clusterScoped {
		cluster[gk] = true
	}
	table := strategies(nsGetter)
	served := servedKinds(t.scheme)
	t.mapper = meta.NewDefaultRESTMapper(groupVersions(served))
	for _, gvk := range served {
		t.add(newKind(t.scheme, gvk, cluster, table))
	}
	slices.SortFunc(t.ordered, func(a, b *kind) int {
		return strings.Compare(a.gvr.Group+"/"+a.gvr.Resource, b.gvr.Group+"/"+b.gvr.Resource)
	})
	return t, nil
}

// addTypes copies the types of src that dst does not know.
func addTypes(dst, src *runtime.Scheme) {
	for gvk, typ := range src.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal || dst.Recognizes(gvk) {
			continue
		}
		if o, ok := reflect.New(typ).Interface().(runtime.Object); ok {
			dst.AddKnownTypeWithName(gvk, o)
		}
	}
}

// servedKinds returns, for each group and kind that is an object with a list type, the newest version, sorted.
func servedKinds(s *runtime.Scheme) []schema.GroupVersionKind {
	known := s.AllKnownTypes()
	best := map[schema.GroupKind]string{}
	for gvk, typ := range known {
		if groupsNotServed[gvk.Group] || gvk.Version == runtime.APIVersionInternal {
			continue
		}
		_, hasList := known[gvk.GroupVersion().WithKind(gvk.Kind+"List")]
		if !hasList || !reflect.PointerTo(typ).Implements(objectInterface) {
			continue
		}
		have, ok := best[gvk.GroupKind()]
		if !ok || version.CompareKubeAwareVersionStrings(gvk.Version, have) > 0 {
			best[gvk.GroupKind()] = gvk.Version
		}
	}
	out := make([]schema.GroupVersionKind, 0, len(best))
	for gk, v := range best {
		out = append(out, gk.WithVersion(v))
	}
	slices.SortFunc(out, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// groupVersions returns the versions of the served kinds, the newest of a group first: without them a mapper cannot
// map a kind whose version is not given.
func groupVersions(served []schema.GroupVersionKind) []schema.GroupVersion {
	var out []schema.GroupVersion
	for _, gvk := range served {
		if gv := gvk.GroupVersion(); !slices.Contains(out, gv) {
			out = append(out, gv)
		}
	}
	slices.SortStableFunc(out, func(a, b schema.GroupVersion) int {
		if c := strings.Compare(a.Group, b.Group); c != 0 {
			return c
		}
		return version.CompareKubeAwareVersionStrings(b.Version, a.Version)
	})
	return out
}

// newKind describes one kind.
func newKind(s *runtime.Scheme, gvk schema.GroupVersionKind, cluster map[schema.GroupKind]bool,
	table map[schema.GroupKind]strategy) *kind {
	known := s.AllKnownTypes()
	plural, singular := meta.UnsafeGuessKindToResource(gvk)
	k := &kind{
		gvk: gvk, gvr: plural, singular: singular.Resource,
		goType:    known[gvk],
		listType:  known[gvk.GroupVersion().WithKind(gvk.Kind+"List")],
		upstream:  legacyscheme.Scheme.Recognizes(gvk),
		strategy:  table[gvk.GroupKind()],
		specField: -1, statField: -1,
		contexts: subContexts{},
	}
	k.namespaced = !cluster[gvk.GroupKind()] && !clusterScopedWithoutStrategy[gvk.GroupKind()]
	if k.strategy.main != nil {
		k.namespaced = k.strategy.main.NamespaceScoped()
	}
	if f, ok := k.goType.FieldByName("Spec"); ok {
		k.specField = f.Index[0]
	}
	if f, ok := k.goType.FieldByName("Status"); ok {
		k.statField = f.Index[0]
	}
	return k
}

// add registers k in every index.
func (t *kindTable) add(k *kind) {
	t.byGVR[k.gvr] = k
	t.byGVK[k.gvk] = k
	t.byType[k.goType] = k
	t.byGR[k.gvr.GroupResource()] = k
	t.byGK[k.gvk.GroupKind()] = k
	t.ordered = append(t.ordered, k)
	scope := meta.RESTScopeRoot
	if k.namespaced {
		scope = meta.RESTScopeNamespace
	}
	single := k.gvr.GroupVersion().WithResource(k.singular)
	t.mapper.AddSpecific(k.gvk, k.gvr, single, scope)
}

// of returns the kind of obj by its Go type.
func (t *kindTable) of(obj runtime.Object) (*kind, error) {
	v := reflect.TypeOf(obj)
	if v == nil || v.Kind() != reflect.Pointer {
		return nil, fmt.Errorf("%T is not an API object", obj)
	}
	k := t.byType[v.Elem()]
	if k == nil {
		return nil, fmt.Errorf("%T is not served by this API", obj)
	}
	return k, nil
}

// resource returns the kind of a resource. The version may be empty, as in requests of the scale client.
func (t *kindTable) resource(gvr schema.GroupVersionResource) (*kind, bool) {
	if k := t.byGVR[gvr]; k != nil {
		return k, true
	}
	if gvr.Version == "" {
		k := t.byGR[gvr.GroupResource()]
		return k, k != nil
	}
	return nil, false
}

// newObject returns an empty object of kind k.
func (k *kind) newObject() runtime.Object { return reflect.New(k.goType).Interface().(runtime.Object) }

// field returns field i of the struct behind obj.
func (k *kind) field(obj runtime.Object, i int) reflect.Value {
	return reflect.ValueOf(obj).Elem().Field(i)
}

// shallow returns a copy of obj that shares everything below its top-level struct fields.
func (k *kind) shallow(obj runtime.Object) runtime.Object {
	if p, ok := obj.(*corev1.Pod); ok { // most objects are pods, and this is faster
		out := *p
		return &out
	}
	v := reflect.New(k.goType)
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	return v.Interface().(runtime.Object)
}
