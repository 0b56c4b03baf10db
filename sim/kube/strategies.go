package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	// The install packages register the internal types, conversions and defaults with legacyscheme.
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	"k8s.io/kubernetes/pkg/registry/apps/controllerrevision"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/coordination/lease"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/endpoint"
	"k8s.io/kubernetes/pkg/registry/core/event"
	"k8s.io/kubernetes/pkg/registry/core/limitrange"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/podtemplate"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/resourcequota"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/node/runtimeclass"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/resource/deviceclass"
	"k8s.io/kubernetes/pkg/registry/resource/devicetaintrule"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaimtemplate"
	"k8s.io/kubernetes/pkg/registry/resource/resourceslice"
	"k8s.io/kubernetes/pkg/registry/scheduling/compositepodgroup"
	"k8s.io/kubernetes/pkg/registry/scheduling/podgroup"
	"k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	"k8s.io/kubernetes/pkg/registry/scheduling/workload"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattributesclass"
)

// mainStrategy is what upstream's registry needs to know about a resource itself.
type mainStrategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

// strategy is upstream's registry code for one kind: the resource itself and its subresources that are updated like
// objects.
type strategy struct {
	main mainStrategy
	subs map[string]rest.RESTUpdateStrategy
}

// forSub returns the update strategy of a subresource ("" is the resource itself), or nil.
func (s strategy) forSub(sub string) rest.RESTUpdateStrategy {
	if sub == "" {
		if s.main == nil {
			return nil
		}
		return s.main
	}
	return s.subs[sub]
}

// withStatus is the strategy of a kind with a status subresource.
func withStatus(main mainStrategy, status rest.RESTUpdateStrategy) strategy {
	return strategy{main, map[string]rest.RESTUpdateStrategy{"status": status}}
}

// plain is the strategy of a kind without subresources.
func plain(main mainStrategy) strategy { return strategy{main: main} }

// strategies is the table of upstream strategies. A kind that is missing here is served like a custom resource.
func strategies(ns namespaceGetter) map[schema.GroupKind]strategy {
	t := map[schema.GroupKind]strategy{
		{Group: "", Kind: "Pod"}: {pod.Strategy, map[string]rest.RESTUpdateStrategy{
			"status": pod.StatusStrategy, "resize": pod.ResizeStrategy,
			"ephemeralcontainers": pod.EphemeralContainersStrategy,
		}},
		{Group: "", Kind: "Node"}: withStatus(node.Strategy, node.StatusStrategy),
		{Group: "", Kind: "Namespace"}: {namespace.Strategy, map[string]rest.RESTUpdateStrategy{
			"status": namespace.StatusStrategy, "finalize": namespace.FinalizeStrategy,
		}},
		{Group: "", Kind: "ConfigMap"}:      plain(configmap.Strategy),
		{Group: "", Kind: "Secret"}:         plain(secret.Strategy),
		{Group: "", Kind: "ServiceAccount"}: plain(serviceaccount.Strategy),
		{Group: "", Kind: "Endpoints"}:      plain(endpoint.Strategy),
		{Group: "", Kind: "Event"}:          plain(event.Strategy),
		{Group: "", Kind: "LimitRange"}:     plain(limitrange.Strategy),
		{Group: "", Kind: "PodTemplate"}:    plain(podtemplate.Strategy),
		{Group: "", Kind: "PersistentVolume"}: withStatus(persistentvolume.Strategy,
			persistentvolume.StatusStrategy),
		{Group: "", Kind: "PersistentVolumeClaim"}: withStatus(persistentvolumeclaim.Strategy,
			persistentvolumeclaim.StatusStrategy),
		{Group: "", Kind: "ReplicationController"}: withStatus(replicationcontroller.Strategy,
			replicationcontroller.StatusStrategy),
		{Group: "", Kind: "ResourceQuota"}: withStatus(resourcequota.Strategy, resourcequota.StatusStrategy),

		{Group: "apps", Kind: "ControllerRevision"}: plain(controllerrevision.Strategy),
		{Group: "apps", Kind: "DaemonSet"}:          withStatus(daemonset.Strategy, daemonset.StatusStrategy),
		{Group: "apps", Kind: "Deployment"}:         withStatus(deployment.Strategy, deployment.StatusStrategy),
		{Group: "apps", Kind: "ReplicaSet"}:         withStatus(replicaset.Strategy, replicaset.StatusStrategy),
		{Group: "apps", Kind: "StatefulSet"}:        withStatus(statefulset.Strategy, statefulset.StatusStrategy),

		{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: withStatus(horizontalpodautoscaler.Strategy,
			horizontalpodautoscaler.StatusStrategy),
		{Group: "batch", Kind: "CronJob"}:             withStatus(cronjob.Strategy, cronjob.StatusStrategy),
		{Group: "batch", Kind: "Job"}:                 withStatus(job.Strategy, job.StatusStrategy),
		{Group: "coordination.k8s.io", Kind: "Lease"}: plain(lease.Strategy),
		{Group: "node.k8s.io", Kind: "RuntimeClass"}:  plain(runtimeclass.Strategy),
		{Group: "policy", Kind: "PodDisruptionBudget"}: withStatus(poddisruptionbudget.Strategy,
			poddisruptionbudget.StatusStrategy),

		{Group: "discovery.k8s.io", Kind: "EndpointSlice"}:       plain(endpointslice.Strategy),
		{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:      plain(priorityclass.Strategy),
		{Group: "scheduling.k8s.io", Kind: "Workload"}:           plain(workload.Strategy),
		{Group: "storage.k8s.io", Kind: "CSIDriver"}:             plain(csidriver.Strategy),
		{Group: "storage.k8s.io", Kind: "CSINode"}:               withStatus(csinode.Strategy, csinode.StatusStrategy),
		{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"}:    plain(csistoragecapacity.Strategy),
		{Group: "storage.k8s.io", Kind: "StorageClass"}:          plain(storageclass.Strategy),
		{Group: "storage.k8s.io", Kind: "VolumeAttributesClass"}: plain(volumeattributesclass.Strategy),
		{Group: "storage.k8s.io", Kind: "VolumeAttachment"}: withStatus(volumeattachment.Strategy,
			volumeattachment.StatusStrategy),
	}
	addResourceStrategies(t, ns)
	return t
}

// addResourceStrategies adds the strategies that are built per server: they look up the namespace of a claim that
// asks for admin access, and who may write which part of a claim's status (everybody, here).
func addResourceStrategies(t map[schema.GroupKind]strategy, ns namespaceGetter) {
	const dra = "resource.k8s.io"
	claim := resourceclaim.NewStrategy(ns, authorizerfactory.NewAlwaysAllowAuthorizer())
	t[schema.GroupKind{Group: dra, Kind: "ResourceClaim"}] = withStatus(claim, resourceclaim.NewStatusStrategy(claim))
	t[schema.GroupKind{Group: dra, Kind: "ResourceClaimTemplate"}] = plain(resourceclaimtemplate.NewStrategy(ns))
	t[schema.GroupKind{Group: dra, Kind: "ResourceSlice"}] = plain(resourceslice.Strategy)
	t[schema.GroupKind{Group: dra, Kind: "DeviceClass"}] = plain(deviceclass.Strategy)
	t[schema.GroupKind{Group: dra, Kind: "DeviceTaintRule"}] = withStatus(devicetaintrule.Strategy,
		devicetaintrule.StatusStrategy)
	const scheduling = "scheduling.k8s.io"
	group, composite := podgroup.NewStrategy(), compositepodgroup.NewStrategy()
	t[schema.GroupKind{Group: scheduling, Kind: "PodGroup"}] = withStatus(group, podgroup.NewStatusStrategy(group))
	t[schema.GroupKind{Group: scheduling, Kind: "CompositePodGroup"}] = withStatus(composite,
		compositepodgroup.NewStatusStrategy(composite))
}

// namespaceGetter is the namespace client upstream's DRA strategies ask; only Get is ever called.
type namespaceGetter struct {
	corev1client.NamespaceInterface
	get func(name string) (*corev1.Namespace, error)
}

// Get returns the namespace from the store.
func (g namespaceGetter) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.Namespace, error) {
	return g.get(name)
}

// subContexts holds, per subresource, the request context upstream's strategies look into. Filled once by newKind's
// caller and read-only afterwards.
type subContexts map[string]context.Context

// requestUser is the identity every request runs under; there is no authorization.
var requestUser = &user.DefaultInfo{Name: "system:admin", Groups: []string{user.SystemPrivilegedGroup}}

// fill prepares the contexts of k.
func (k *kind) fillContexts() {
	subs := []string{"", "status"}
	for sub := range k.strategy.subs {
		subs = append(subs, sub)
	}
	for _, sub := range subs {
		ctx := genericapirequest.WithRequestInfo(context.Background(), &genericapirequest.RequestInfo{
			IsResourceRequest: true, APIPrefix: "apis", APIGroup: k.gvk.Group, APIVersion: k.gvk.Version,
			Resource: k.gvr.Resource, Subresource: sub,
		})
		k.contexts[sub] = genericapirequest.WithUser(ctx, requestUser)
	}
}

// context returns the request context of a write to k in namespace ns.
func (k *kind) context(sub, ns string) context.Context {
	ctx, ok := k.contexts[sub]
	if !ok {
		ctx = k.contexts[""]
	}
	return genericapirequest.WithNamespace(ctx, ns)
}
