package kube

import (
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// serverVersion is the release whose behaviour the store has.
var serverVersion = version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.2", Platform: "simulated"}

// discover answers the discovery paths, and returns nil for all others.
func (s *Store) discover(path string) *answer {
	path = strings.Trim(path, "/")
	switch path {
	case "api":
		v := &metav1.APIVersions{Versions: []string{"v1"}}
		v.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "APIVersions"})
		return found(v)
	case "apis":
		return found(s.groupList())
	case "version":
		return &answer{code: http.StatusOK, raw: &serverVersion}
	case "healthz", "livez", "readyz":
		return &answer{code: http.StatusOK, raw: "ok"}
	}
	parts := strings.Split(path, "/")
	switch {
	case len(parts) == 2 && parts[0] == "api":
		return s.resourceList(schema.GroupVersion{Version: parts[1]})
	case len(parts) == 2 && parts[0] == "apis":
		for _, g := range s.groupList().Groups {
			if g.Name == parts[1] {
				g.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "APIGroup"})
				return found(&g)
			}
		}
	case len(parts) == 3 && parts[0] == "apis":
		return s.resourceList(schema.GroupVersion{Group: parts[1], Version: parts[2]})
	}
	return nil
}

func found(obj runtime.Object) *answer { return &answer{code: http.StatusOK, obj: obj} }

// groupList lists the served groups and their stored versions.
func (s *Store) groupList() *metav1.APIGroupList {
	out := &metav1.APIGroupList{}
	out.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "APIGroupList"})
	for _, k := range s.kinds.ordered {
		if k.gvk.Group == "" {
			continue
		}
		n := len(out.Groups)
		if n == 0 || out.Groups[n-1].Name != k.gvk.Group {
			out.Groups = append(out.Groups, metav1.APIGroup{Name: k.gvk.Group})
			n++
		}
		g := &out.Groups[n-1]
		v := metav1.GroupVersionForDiscovery{GroupVersion: k.gvk.GroupVersion().String(), Version: k.gvk.Version}
		if !slices.Contains(g.Versions, v) {
			g.Versions = append(g.Versions, v)
		}
	}
	for i := range out.Groups {
		g := &out.Groups[i]
		slices.SortFunc(g.Versions, func(a, b metav1.GroupVersionForDiscovery) int {
			return version.CompareKubeAwareVersionStrings(b.Version, a.Version)
		})
		g.PreferredVersion = g.Versions[0]
	}
	return out
}

// resourceList lists the resources stored in a group version, or returns nil if there are none.
func (s *Store) resourceList(gv schema.GroupVersion) *answer {
	out := &metav1.APIResourceList{GroupVersion: gv.String()}
	out.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "APIResourceList"})
	for _, k := range s.kinds.ordered {
		if k.gvk.GroupVersion() != gv {
			continue
		}
		res := metav1.APIResource{
			Name: k.gvr.Resource, SingularName: k.singular, Namespaced: k.namespaced, Kind: k.gvk.Kind,
			Verbs:      metav1.Verbs{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
			ShortNames: shortNames[k.gvr.GroupResource()],
		}
		out.APIResources = append(out.APIResources, res)
		for _, sub := range k.subresources() {
			res := metav1.APIResource{Name: k.gvr.Resource + "/" + sub, Namespaced: k.namespaced, Kind: k.gvk.Kind,
				Verbs: metav1.Verbs{"get", "patch", "update"}}
			switch sub {
			case "scale":
				res.Group, res.Version, res.Kind = "autoscaling", "v1", "Scale"
			case "binding":
				res.Kind, res.Verbs = "Binding", metav1.Verbs{"create"}
			case "eviction":
				res.Group, res.Version, res.Kind, res.Verbs = "policy", "v1", "Eviction", metav1.Verbs{"create"}
			}
			out.APIResources = append(out.APIResources, res)
		}
	}
	if len(out.APIResources) == 0 {
		return nil
	}
	return found(out)
}

// subresources lists the subresources of a kind, sorted.
func (k *kind) subresources() []string {
	var out []string
	for sub := range k.strategy.subs {
		out = append(out, sub)
	}
	if k.strategy.main == nil && k.specField >= 0 && k.statField >= 0 {
		out = append(out, "status")
	}
	if _, ok := scalePartsOf(k.newObject()); ok {
		out = append(out, "scale")
	}
	if k.gvr == podsGVR {
		out = append(out, "binding", "eviction")
	}
	slices.Sort(out)
	return out
}

// shortNames are the abbreviations people use with kubectl.
var shortNames = map[schema.GroupResource][]string{
	{Resource: "pods"}:                                           {"po"},
	{Resource: "nodes"}:                                          {"no"},
	{Resource: "namespaces"}:                                     {"ns"},
	{Resource: "configmaps"}:                                     {"cm"},
	{Resource: "services"}:                                       {"svc"},
	{Resource: "resourcequotas"}:                                 {"quota"},
	{Resource: "limitranges"}:                                    {"limits"},
	{Resource: "persistentvolumeclaims"}:                         {"pvc"},
	{Resource: "persistentvolumes"}:                              {"pv"},
	{Resource: "serviceaccounts"}:                                {"sa"},
	{Resource: "replicationcontrollers"}:                         {"rc"},
	{Resource: "events"}:                                         {"ev"},
	{Group: "apps", Resource: "deployments"}:                     {"deploy"},
	{Group: "apps", Resource: "replicasets"}:                     {"rs"},
	{Group: "apps", Resource: "statefulsets"}:                    {"sts"},
	{Group: "apps", Resource: "daemonsets"}:                      {"ds"},
	{Group: "autoscaling", Resource: "horizontalpodautoscalers"}: {"hpa"},
	{Group: "batch", Resource: "cronjobs"}:                       {"cj"},
	{Group: "policy", Resource: "poddisruptionbudgets"}:          {"pdb"},
	{Group: "scheduling.k8s.io", Resource: "priorityclasses"}:    {"pc"},
	{Group: "storage.k8s.io", Resource: "storageclasses"}:        {"sc"},
}
