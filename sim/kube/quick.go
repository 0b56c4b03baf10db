package kube

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Nearly all writes of a run are status updates of pods that look alike, and creates of pods that differ in name and
// labels only. For these, and for nothing else, what upstream's strategy and validation would make of a write is known
// without running them: see quickStatus and podSpecs. Whatever is not plainly of the known shape takes upstream's way.
// A test holds both ways equal on random writes.

// Give is Update for an object that the store takes over: the caller does not use obj any more, and nobody changes what
// it refers to.
func (s *Store) Give(obj runtime.Object, sub string) (runtime.Object, error) {
	if pod, ok := obj.(*corev1.Pod); ok && sub == "status" {
		return s.updatePodStatus(pod)
	}
	return s.Update(obj, sub)
}

// updatePodStatus updates the status of a pod that the store takes over. It may share memory with stored pods.
func (s *Store) updatePodStatus(pod *corev1.Pod) (out runtime.Object, err error) {
	k := s.kinds.byGVR[podsGVR]
	err = s.transact(func() error {
		old, _ := s.peek(k, pod.Namespace, pod.Name).(*corev1.Pod)
		if old != nil && checkVersion(k, pod, old, "status") == nil && s.quickStatus(old, pod) {
			out, err = s.put(k, old, pod, "status", false)
			return err
		}
		out, err = s.updateLocked(k, pod.DeepCopy(), "status", false)
		return err
	})
	return out, err
}

// quickStatus makes obj, sent with a status update, the pod to be stored. It reports false, and leaves obj alone, if
// upstream has to decide. A status update keeps the metadata, which must be sent unchanged, and the spec, which is not
// looked at.
func (s *Store) quickStatus(old, obj *corev1.Pod) bool {
	if s.exact || s.decorated || !sameSubmittedMeta(obj, old) || !plainStatus(&old.Status, &obj.Status) {
		return false
	}
	obj.TypeMeta, obj.ObjectMeta, obj.Spec = metav1.TypeMeta{}, old.ObjectMeta, old.Spec
	obj.Status.QOSClass = old.Status.QOSClass
	return true
}

// sameSubmittedMeta reports whether the metadata sent with a status update is that of the stored pod, as far as it
// counts: owners, generation, creation and deletion are not the sender's, and the lock has been checked.
func sameSubmittedMeta(obj, old *corev1.Pod) bool {
	grace := obj.DeletionGracePeriodSeconds
	return obj.GenerateName == old.GenerateName && sameMap(obj.Labels, old.Labels) &&
		sameMap(obj.Annotations, old.Annotations) && slices.Equal(obj.Finalizers, old.Finalizers) &&
		(grace == nil || old.DeletionGracePeriodSeconds != nil && *grace == *old.DeletionGracePeriodSeconds)
}

// sameMap is maps.Equal, at once for a map and itself.
func sameMap(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer() || maps.Equal(a, b)
}

// plainStatus reports whether upstream accepts the change of status as it is, neither completing nor dropping a field
// (podStatusStrategy.PrepareForUpdate and ValidatePodStatusUpdate, v1.37.2). It says no when in doubt.
func plainStatus(old, now *corev1.PodStatus) bool {
	return rarelyUsed(old) && rarelyUsed(now) &&
		(now.QOSClass == "" || now.QOSClass == old.QOSClass) &&
		(now.NominatedNodeName == "" || now.NominatedNodeName == old.NominatedNodeName) &&
		plainConditions(old.Conditions) && plainConditions(now.Conditions) &&
		plainContainers(old.ContainerStatuses, true) && plainContainers(now.ContainerStatuses, false) &&
		plainIPs(now)
}

// rarelyUsed reports whether fields that upstream treats specially, by feature gates and past values, are empty.
func rarelyUsed(st *corev1.PodStatus) bool {
	return st.ObservedGeneration == 0 && len(st.InitContainerStatuses) == 0 && len(st.EphemeralContainerStatuses) == 0 &&
		st.Resize == "" && st.ResourceClaimStatuses == nil && st.ExtendedResourceClaimStatus == nil &&
		st.AllocatedResources == nil && st.Resources == nil && st.NodeAllocatableResourceClaimStatuses == nil &&
		st.VolumeHealth == nil
}

// plainConditions reports whether all conditions are of the types Kubernetes itself uses; others need a valid name.
func plainConditions(all []corev1.PodCondition) bool {
	for i := range all {
		switch all[i].Type {
		case corev1.PodScheduled, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.DisruptionTarget,
			corev1.PodReadyToStartContainers:
		default:
			return false
		}
		if all[i].ObservedGeneration != 0 {
			return false
		}
	}
	return true
}

// plainContainers reports whether containers have nothing that depends on feature gates and, for the state before the
// update, whether none has terminated: upstream looks whether such a one may run again.
func plainContainers(all []corev1.ContainerStatus, before bool) bool {
	for i := range all {
		c := &all[i]
		if c.AllocatedResources != nil || c.Resources != nil || c.VolumeMounts != nil || c.User != nil ||
			c.AllocatedResourcesStatus != nil || c.StopSignal != nil || before && c.State.Terminated != nil {
			return false
		}
	}
	return true
}

// plainIPs reports whether pod and host have no address or one IPv4 address, each in both of its fields.
func plainIPs(st *corev1.PodStatus) bool {
	pod, host := "", ""
	switch {
	case len(st.PodIPs) > 1 || len(st.HostIPs) > 1:
		return false
	case len(st.PodIPs) == 1:
		pod = st.PodIPs[0].IP
	}
	if len(st.HostIPs) == 1 {
		host = st.HostIPs[0].IP
	}
	return pod == st.PodIP && host == st.HostIP && (len(st.PodIPs) == 0 || isIPv4(pod)) &&
		(len(st.HostIPs) == 0 || isIPv4(host))
}

func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// podSpecs remembers, by the spec sent, what defaulting, admission and validation made of pods so far. A pod that
// differs from such a one in name and labels only gets the same spec and status, provided that nothing admission looks
// at has changed.
type podSpecs struct {
	known map[string]*corev1.Pod // by namespace and spec
	keys  map[string]bool        // label keys found valid
	buf   []byte
}

// podSpecsKept bounds the memory podSpecs takes: when full it forgets everything.
const podSpecsKept = 4096

// look returns the key of a submitted pod and the pod remembered under it; no key if the pod is not plain.
func (c *podSpecs) look(pod *corev1.Pod) (key []byte, known *corev1.Pod) {
	if !plainSpec(&pod.Spec) || !c.plainMeta(&pod.ObjectMeta) {
		return nil, nil
	}
	n := pod.Spec.Size()
	size := len(pod.Namespace) + 1 + n
	c.buf = slices.Grow(c.buf[:0], size)[:size]
	copy(c.buf, pod.Namespace)
	c.buf[len(pod.Namespace)] = '/'
	if _, err := pod.Spec.MarshalToSizedBuffer(c.buf[size-n:]); err != nil {
		return nil, nil
	}
	return c.buf, c.known[string(c.buf)]
}

// remember keeps what came of a plain pod, unless that depends on more than its spec.
func (c *podSpecs) remember(key string, out *corev1.Pod, labels map[string]string) {
	if len(out.Annotations) > 0 || len(out.Finalizers) > 0 || len(out.OwnerReferences) > 0 || out.Generation != 1 ||
		!maps.Equal(out.Labels, labels) || len(out.Status.Conditions) > 0 { // a condition carries the time
		return
	}
	if c.known == nil || len(c.known) >= podSpecsKept {
		c.known = map[string]*corev1.Pod{}
	}
	c.known[key] = out
}

// forget is called when something changed that admission looks at.
func (c *podSpecs) forget() { c.known = nil }

// plainSpec reports whether what becomes of a spec depends on nothing else in the pod: volumes may be named after the
// pod, and affinity and spreading may select by its labels.
func plainSpec(spec *corev1.PodSpec) bool {
	return len(spec.Volumes) == 0 && len(spec.TopologySpreadConstraints) == 0 &&
		(spec.Affinity == nil || spec.Affinity.PodAffinity == nil && spec.Affinity.PodAntiAffinity == nil)
}

// plainMeta reports whether metadata sent with a new pod is a name and labels, all of them plainly valid.
func (c *podSpecs) plainMeta(m *metav1.ObjectMeta) bool {
	if m.GenerateName != "" || m.ResourceVersion != "" || len(m.Annotations) > 0 || len(m.Finalizers) > 0 ||
		len(m.OwnerReferences) > 0 || !plainName(m.Name) || len(m.Labels) > 16 {
		return false
	}
	for key, value := range m.Labels {
		if !c.validKey(key) || !IsLabelValue(value) {
			return false
		}
	}
	return true
}

// quickCreate stores a new pod like others before it. It returns nil and the pod's key in s.specs if upstream has to
// decide; no key if what it decides is of no use for other pods.
func (s *Store) quickCreate(k *kind, pod *corev1.Pod) (stored runtime.Object, key string, err error) {
	if s.exact || s.plugins.limited(k, pod.Namespace) {
		return nil, "", nil
	}
	b, known := s.specs.look(pod)
	if known == nil {
		return nil, string(b), nil
	}
	if err := s.admitNamespace(k, pod); err != nil {
		return nil, "", err
	}
	if s.peek(k, pod.Namespace, pod.Name) != nil {
		return nil, "", nil
	}
	out := &corev1.Pod{Spec: known.Spec, Status: known.Status, ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, Labels: maps.Clone(pod.Labels), Generation: 1, UID: s.nextUID(),
		CreationTimestamp: s.stamp()}}
	if err := s.quotas.admit(k, out, false); err != nil {
		return nil, "", err
	}
	s.commit(k, VerbCreate, "", nil, out)
	s.afterCreate(k, out)
	return out, "", nil
}

// createPod is Create for pods.
func (s *Store) createPod(k *kind, pod *corev1.Pod) (out runtime.Object, err error) {
	err = s.transact(func() error {
		stored, key, err := s.quickCreate(k, pod)
		if stored != nil || err != nil {
			out = stored
			return err
		}
		if out, err = s.createLocked(k, pod.DeepCopy(), false); err == nil && key != "" {
			s.specs.remember(key, out.(*corev1.Pod), pod.Labels)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// validKey reports whether upstream takes key as the key of a label.
func (c *podSpecs) validKey(key string) bool {
	valid, known := c.keys[key]
	if !known {
		valid = len(content.IsLabelKey(key)) == 0
		if c.keys == nil || len(c.keys) >= podSpecsKept {
			c.keys = map[string]bool{}
		}
		c.keys[key] = valid
	}
	return valid
}

// plainName reports whether s is a valid pod name (RFC 1123 subdomain).
func plainName(s string) bool {
	edge := true // the next character begins a label of the name
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			edge = false
		case c == '-' && !edge:
		case c == '.' && !edge && s[i-1] != '-':
			edge = true
		default:
			return false
		}
	}
	return len(s) > 0 && len(s) <= content.DNS1123SubdomainMaxLength && !edge && s[len(s)-1] != '-'
}

// IsLabelValue reports whether s is a valid value of a label, as upstream's function of this name does, without regexp.
func IsLabelValue(s string) bool {
	alnum := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
	for i := range len(s) {
		if c := s[i]; !alnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s == "" || len(s) <= content.LabelValueMaxLength && alnum(s[0]) && alnum(s[len(s)-1])
}
