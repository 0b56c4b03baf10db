package kube

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/flowcontrol"
)

// Direct returns cs, a client of this store, with short cuts for what kube-scheduler asks of the API most: bindings and
// patches of a pod's status pass cs's rate limit and the gate, and are neither encoded nor decoded.
func (s *Store) Direct(cs kubernetes.Interface, gate Gate) kubernetes.Interface {
	core := &directCore{CoreV1Interface: cs.CoreV1(), store: s, gate: gate, pods: map[string]*directPods{}}
	core.limit = core.RESTClient().GetRateLimiter()
	return directClient{cs, core}
}

// directClient is a client whose pods are directPods.
type directClient struct {
	kubernetes.Interface
	core *directCore
}

// CoreV1 implements kubernetes.Interface.
func (c directClient) CoreV1() corev1client.CoreV1Interface { return c.core }

type directCore struct {
	corev1client.CoreV1Interface
	store *Store
	gate  Gate
	limit flowcontrol.RateLimiter

	mu   sync.Mutex
	pods map[string]*directPods // by namespace
}

// Pods implements corev1client.PodsGetter.
func (c *directCore) Pods(ns string) corev1client.PodInterface {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pods[ns]
	if p == nil {
		p = &directPods{c.CoreV1Interface.Pods(ns), c, ns}
		c.pods[ns] = p
	}
	return p
}

type directPods struct {
	corev1client.PodInterface
	core *directCore
	ns   string
}

// Bind implements corev1client.PodExpansion.
func (p *directPods) Bind(ctx context.Context, b *corev1.Binding, o metav1.CreateOptions) error {
	if len(o.DryRun) > 0 || b.Name == "" || p.ns == "" {
		return p.PodInterface.Bind(ctx, b, o)
	}
	if err := p.core.wait(ctx); err != nil {
		return err
	}
	var err error
	p.core.gate.run(bindingCall(p.ns, b.Name), func() { err = p.core.store.Bind(p.ns, b) })
	if err == nil {
		return nil
	}
	return apierrors.FromObject(statusError(err))
}

// Patch implements corev1client.PodInterface.
func (p *directPods) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions,
	subs ...string) (*corev1.Pod, error) {
	plain := len(o.DryRun) == 0 && o.Force == nil && o.FieldManager == "" && o.FieldValidation == ""
	if !plain || pt != types.StrategicMergePatchType || len(subs) != 1 || subs[0] != "status" || name == "" || p.ns == "" {
		return p.PodInterface.Patch(ctx, name, pt, data, o, subs...)
	}
	if err := p.core.wait(ctx); err != nil {
		return nil, err
	}
	k := p.core.store.kinds.byGVR[podsGVR]
	var out runtime.Object
	var err error
	p.core.gate.run(Call{Verb: "patch", Resource: "pods", Namespace: p.ns, Name: name, Subresource: "status"}, func() {
		out, _, err = p.core.store.patch(patch{kind: k, version: k.gvk.Version, ns: p.ns, name: name, sub: "status",
			media: pt, data: data, options: o})
	})
	if err != nil {
		return nil, apierrors.FromObject(statusError(err))
	}
	return out.(*corev1.Pod).DeepCopy(), nil
}

// wait does what a request does before it is sent.
func (c *directCore) wait(ctx context.Context) error {
	if c.limit != nil {
		if err := c.limit.Wait(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}
