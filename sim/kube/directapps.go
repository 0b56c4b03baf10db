package kube

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
)

var (
	deploymentsGVR = appsv1.SchemeGroupVersion.WithResource("deployments")
	replicaSetsGVR = appsv1.SchemeGroupVersion.WithResource("replicasets")
)

// Workloads returns a client of this store with short cuts for what the controllers of Deployments and ReplicaSets ask
// of the API most: updates of status, several for every replica that comes or goes. They pass the gate and are neither
// encoded nor decoded. What is answered to them is only to be read.
func (s *Store) Workloads(gate Gate) (kubernetes.Interface, error) {
	cs, err := s.Clientset(gate)
	if err != nil {
		return nil, err
	}
	return workloadClient{cs, directApps{cs.AppsV1(), s, gate}}, nil
}

type workloadClient struct {
	kubernetes.Interface
	apps directApps
}

// AppsV1 implements kubernetes.Interface.
func (c workloadClient) AppsV1() appsclient.AppsV1Interface { return c.apps }

type directApps struct {
	appsclient.AppsV1Interface
	store *Store
	gate  Gate
}

// Deployments implements appsclient.DeploymentsGetter.
func (c directApps) Deployments(ns string) appsclient.DeploymentInterface {
	return directDeployments{c.AppsV1Interface.Deployments(ns), c, ns}
}

// ReplicaSets implements appsclient.ReplicaSetsGetter.
func (c directApps) ReplicaSets(ns string) appsclient.ReplicaSetInterface {
	return directReplicaSets{c.AppsV1Interface.ReplicaSets(ns), c, ns}
}

type directDeployments struct {
	appsclient.DeploymentInterface
	apps directApps
	ns   string
}

// UpdateStatus implements appsclient.DeploymentInterface.
func (c directDeployments) UpdateStatus(ctx context.Context, d *appsv1.Deployment, o metav1.UpdateOptions) (
	*appsv1.Deployment, error) {
	if len(o.DryRun) > 0 || d.Namespace != c.ns || d.Name == "" {
		return c.DeploymentInterface.UpdateStatus(ctx, d, o)
	}
	return updateStatus(ctx, c.apps, deploymentsGVR, d, quickDeployment)
}

type directReplicaSets struct {
	appsclient.ReplicaSetInterface
	apps directApps
	ns   string
}

// UpdateStatus implements appsclient.ReplicaSetInterface.
func (c directReplicaSets) UpdateStatus(ctx context.Context, rs *appsv1.ReplicaSet, o metav1.UpdateOptions) (
	*appsv1.ReplicaSet, error) {
	if len(o.DryRun) > 0 || rs.Namespace != c.ns || rs.Name == "" {
		return c.ReplicaSetInterface.UpdateStatus(ctx, rs, o)
	}
	return updateStatus(ctx, c.apps, replicaSetsGVR, rs, quickReplicaSet)
}

// updateStatus sends an update of an object's status. quick makes what is to be stored over old, or nothing if upstream
// has to decide.
func updateStatus[T writable](ctx context.Context, c directApps, gvr schema.GroupVersionResource, obj T,
	quick func(old, obj T) T) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	var out runtime.Object
	var err error
	s := c.store
	k := s.kinds.byGVR[gvr]
	call := Call{Verb: "update", Resource: gvr.GroupResource().String(), Namespace: obj.GetNamespace(),
		Name: obj.GetName(), Subresource: "status"}
	c.gate.run(call, func() {
		err = s.transact(func() error {
			old := s.peek(k, obj.GetNamespace(), obj.GetName())
			if old != nil && !s.exact && checkVersion(k, obj, old.(metav1.Object), "status") == nil {
				if now := quick(old.(T), obj); now != none {
					out, err = s.put(k, old, now, "status", false)
					return err
				}
			}
			sent, err := received(k, obj)
			if err == nil {
				out, err = s.updateLocked(k, sent, "status", false)
			}
			return err
		})
	})
	if err != nil {
		return none, apierrors.FromObject(statusError(err))
	}
	return out.(T), nil
}

// writable is an object with a protobuf form.
type writable interface {
	comparable
	runtime.Object
	metav1.Object
	Marshal() ([]byte, error)
}

// received is an object as it arrives when it is sent.
func received[T writable](k *kind, obj T) (runtime.Object, error) {
	data, err := obj.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encoding a %s: %w", k.gvk.Kind, err)
	}
	out := k.newObject()
	if err := out.(interface{ Unmarshal([]byte) error }).Unmarshal(data); err != nil {
		return nil, fmt.Errorf("decoding a %s: %w", k.gvk.Kind, err)
	}
	return out, nil
}

// keptMeta reports whether an update of a workload's status sends the metadata that is stored, of an object that lives
// and has no finalizers.
func keptMeta(m, old *metav1.ObjectMeta) bool {
	return m.GenerateName == old.GenerateName && sameMap(m.Labels, old.Labels) &&
		sameMap(m.Annotations, old.Annotations) && len(m.Finalizers)+len(old.Finalizers) == 0 &&
		m.DeletionTimestamp == nil && old.DeletionTimestamp == nil && slices.EqualFunc(m.OwnerReferences,
		old.OwnerReferences, func(a, b metav1.OwnerReference) bool {
			return a.UID == b.UID && a.Name == b.Name && a.Kind == b.Kind && a.APIVersion == b.APIVersion &&
				samePointed(a.Controller, b.Controller) && samePointed(a.BlockOwnerDeletion, b.BlockOwnerDeletion)
		})
}

// samePointed reports whether two pointers are nil or point to equal values.
func samePointed[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// quickDeployment makes the Deployment to be stored of an update of its status, or nil if upstream has to decide. What
// it accepts is what deploymentStatusStrategy and ValidateDeploymentStatusUpdate of v1.37.2 leave as it is.
func quickDeployment(old, d *appsv1.Deployment) *appsv1.Deployment {
	st, was := &d.Status, &old.Status
	if !keptMeta(&d.ObjectMeta, &old.ObjectMeta) ||
		st.ObservedGeneration < 0 || st.Replicas < 0 || st.UpdatedReplicas < 0 || st.ReadyReplicas < 0 ||
		st.AvailableReplicas < 0 || st.UnavailableReplicas < 0 || st.UpdatedReplicas > st.Replicas ||
		st.ReadyReplicas > st.Replicas || st.AvailableReplicas > st.ReadyReplicas ||
		!plainTerminating(st.TerminatingReplicas, was.TerminatingReplicas) ||
		!samePointed(st.CollisionCount, was.CollisionCount) {
		return nil
	}
	out := &appsv1.Deployment{ObjectMeta: old.ObjectMeta, Spec: old.Spec}
	st.DeepCopyInto(&out.Status)
	if len(st.Conditions) == 0 {
		out.Status.Conditions = nil
	}
	for i := range out.Status.Conditions {
		c := &out.Status.Conditions[i]
		c.LastUpdateTime, c.LastTransitionTime = wholeSecond(c.LastUpdateTime), wholeSecond(c.LastTransitionTime)
	}
	return out
}

// quickReplicaSet is quickDeployment for ReplicaSets: rsStatusStrategy and ValidateReplicaSetStatusUpdate.
func quickReplicaSet(old, rs *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	st := &rs.Status
	if !keptMeta(&rs.ObjectMeta, &old.ObjectMeta) ||
		st.ObservedGeneration < 0 || st.Replicas < 0 || st.FullyLabeledReplicas < 0 || st.ReadyReplicas < 0 ||
		st.AvailableReplicas < 0 || st.FullyLabeledReplicas > st.Replicas || st.ReadyReplicas > st.Replicas ||
		st.AvailableReplicas > st.ReadyReplicas ||
		!plainTerminating(st.TerminatingReplicas, old.Status.TerminatingReplicas) {
		return nil
	}
	out := &appsv1.ReplicaSet{ObjectMeta: old.ObjectMeta, Spec: old.Spec}
	st.DeepCopyInto(&out.Status)
	if len(st.Conditions) == 0 {
		out.Status.Conditions = nil
	}
	for i := range out.Status.Conditions {
		c := &out.Status.Conditions[i]
		c.LastTransitionTime = wholeSecond(c.LastTransitionTime)
	}
	return out
}

// plainTerminating reports whether upstream keeps a count of terminating replicas as it is: a feature gate says
// whether there may be one, unless there was one.
func plainTerminating(n, was *int32) bool {
	return n == nil || was != nil && *n >= 0
}

// wholeSecond leaves of an instant what its encoding does.
func wholeSecond(t metav1.Time) metav1.Time {
	if t.IsZero() {
		return t
	}
	return metav1.NewTime(time.Unix(t.Unix(), 0))
}
