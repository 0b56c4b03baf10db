package operators

import (
	"crypto/sha1" //nolint:gosec // it is what the operators take for labels
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod makes a pod of a template, with the operator's labels over those of the template. What only the containers would
// notice is left out.
func pod(template *corev1.PodTemplateSpec, namespace, name string, labels map[string]string) *corev1.Pod {
	t := template.DeepCopy()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: t.Labels,
		Annotations: t.Annotations}, Spec: t.Spec}
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	maps.Copy(p.Labels, labels)
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.Volumes, p.Spec.ServiceAccountName, p.Spec.DeprecatedServiceAccount = nil, "", ""
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			c := &list[i]
			c.Env, c.EnvFrom, c.Command, c.Args, c.WorkingDir = nil, nil, nil, nil, ""
			c.VolumeMounts, c.VolumeDevices, c.Lifecycle = nil, nil, nil
			c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = nil, nil, nil
			if c.Image == "" {
				c.Image = "work" // the API wants one
			}
		}
	}
	return p
}

// template refuses what a pod template cannot say because the mapping or the run says it.
func (e *Expansion) template(t *corev1.PodTemplateSpec, path string) {
	if len(t.Spec.Containers) == 0 {
		e.refuse(path+".spec.containers", "a pod needs a container")
	}
	if t.Spec.SchedulingGroup != nil {
		e.refuse(path+".spec.schedulingGroup", "the pods' group is made by the run; remove it, and write workload.gangs in "+
			"the scenario")
	}
	for i, c := range t.Spec.ResourceClaims {
		if c.ResourceClaimName != nil {
			e.refuse(fmt.Sprintf("%s.spec.resourceClaims[%d].resourceClaimName", path, i), "devices that pods share by "+
				"naming one ResourceClaim are not simulated; name a resourceClaimTemplateName")
		}
	}
}

// The form of generated names: k8s.io/apiserver/pkg/storage/names, k8s.io/apimachinery/pkg/util/rand.
const (
	alphabet  = "bcdfghjklmnpqrstvwxz2456789"
	suffixLen = 5
)

// suffix is the end of a generated name: not random, it follows from what the name is for.
func suffix(namespace, base string, index int) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%d", namespace, base, index)
	sum := h.Sum64()
	var out [suffixLen]byte
	for i := range out {
		out[i] = alphabet[sum%uint64(len(alphabet))]
		sum /= uint64(len(alphabet))
	}
	return string(out[:])
}

// generate returns a name of the object's pods that none of them has yet, as the API does for generateName.
func (e *Expansion) generate(namespace, base string, index int) string {
	if e.taken == nil {
		e.taken = map[string]bool{}
	}
	name := base + suffix(namespace, base, index)
	for again := index; e.taken[name]; name = base + suffix(namespace, base, again) {
		again += mostPods
	}
	e.taken[name] = true
	return name
}

// sha is the SHA-1 of a text in hexadecimal, as labels of JobSet and LeaderWorkerSet have it.
func sha(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}
