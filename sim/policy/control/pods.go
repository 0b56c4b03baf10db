package control

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/controller"

	"orrery/sim/engine"
	"orrery/sim/units"
)

// PodControl writes pods as upstream's RealPodControl does, but gives them their names before it sends them: upstream
// sends many at once and lets the API draw the ends of their names, so that who gets which would follow Go's scheduler.
type PodControl struct {
	Client kubernetes.Interface
	Engine *engine.Engine
	// OnWrite is that of upstream's: it is told of every pod made. It may be nil.
	OnWrite func(*corev1.Pod, *metav1.OwnerReference)

	mu   sync.Mutex
	at   units.Time
	made map[string]int // at this instant, by the beginning of the name
}

// CreatePods implements controller.PodControlInterface.
func (c *PodControl) CreatePods(ctx context.Context, namespace string, template *corev1.PodTemplateSpec,
	object runtime.Object, ref *metav1.OwnerReference) error {
	return c.CreatePodsWithGenerateName(ctx, namespace, template, object, ref, "")
}

// CreatePodsWithGenerateName implements controller.PodControlInterface.
func (c *PodControl) CreatePodsWithGenerateName(ctx context.Context, namespace string,
	template *corev1.PodTemplateSpec, object runtime.Object, ref *metav1.OwnerReference, begin string) error {
	if ref == nil || ref.Controller == nil {
		return errors.New("a pod needs a controller")
	}
	pod, err := controller.GetPodFromTemplate(template, object, ref)
	if err != nil {
		return err
	}
	if begin != "" {
		pod.GenerateName = begin
	}
	pod.Name = c.name(pod.GenerateName, ref.UID)
	if len(pod.Labels) == 0 {
		return errors.New("unable to create pods, no labels")
	}
	made, err := c.Client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err == nil && c.OnWrite != nil {
		c.OnWrite(made, ref)
	}
	return err
}

// The form of generated names: k8s.io/apiserver/pkg/storage/names, k8s.io/apimachinery/pkg/util/rand.
const (
	alphabet  = "bcdfghjklmnpqrstvwxz2456789"
	suffixLen = 5
	baseMax   = 63 - suffixLen
)

// name returns a name that begins like this. Pods that are made at one instant with one beginning are all alike.
func (c *PodControl) name(begin string, owner types.UID) string {
	now := c.Engine.Now()
	c.mu.Lock()
	if now != c.at || c.made == nil {
		c.at, c.made = now, map[string]int{}
	}
	c.made[begin]++
	n := c.made[begin]
	c.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%d/%d", owner, begin, now, n)
	sum := h.Sum64()
	out := []byte(begin[:min(len(begin), baseMax)])
	for range suffixLen {
		out = append(out, alphabet[sum%uint64(len(alphabet))])
		sum /= uint64(len(alphabet))
	}
	return string(out)
}

// DeletePod implements controller.PodControlInterface.
func (c *PodControl) DeletePod(ctx context.Context, namespace, name string, _ runtime.Object) error {
	return c.Client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{})
}

// PatchPod implements controller.PodControlInterface.
func (c *PodControl) PatchPod(ctx context.Context, namespace, name string, data []byte) error {
	_, err := c.Client.CoreV1().Pods(namespace).Patch(ctx, name, types.StrategicMergePatchType, data,
		metav1.PatchOptions{})
	return err
}
