package kwok

import (
	"path"
	"reflect"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"orrery/sim/units"
)

// Annotations the shipped pod stages read: see the files in stages/.
const (
	AnnotationReadyDelay       = "pod-ready.stage.orrery.dev/delay"
	AnnotationReadyJitter      = "pod-ready.stage.orrery.dev/jitter-delay"
	AnnotationCompleteDelay    = "pod-complete.stage.orrery.dev/delay"
	AnnotationCompleteOutcome  = "pod-complete.stage.orrery.dev/outcome"
	AnnotationDeleteDelay      = "pod-delete.stage.orrery.dev/delay"
	AnnotationDeleteJitter     = "pod-delete.stage.orrery.dev/jitter-delay"
	outcomeFailed              = "failed"
	outcomeKilled              = "killed"
	finalizerFake              = "kwok.x-k8s.io/fake"
	readyDelay, readyDelayHigh = 1500 * time.Millisecond, 5 * time.Second // as in stages/pod-ready.yaml
)

// native is the form of a shipped stage without jq, templates and patches. A test holds it equal to the general form:
// same choice, same delay, same object afterwards.
type native struct {
	match func(v *view) bool
	delay func(v *view) span
	play  func(c *Controller, v *view) error
}

// nativeOf returns the native form of a stage that is one of the shipped ones, word for word; else nil.
func nativeOf(s *internalversion.Stage) *native {
	forms := map[string]*native{
		"pod-ready":    {matchReady, delayReady, playReady},
		"pod-complete": {matchComplete, delayComplete, playComplete},
		"pod-fail":     {matchFail, delayComplete, playFail},
		"pod-delete":   {matchDelete, delayDelete, playDelete},
	}
	f, ok := forms[s.Name]
	if !ok {
		return nil
	}
	data, err := shippedFS.ReadFile(path.Join("stages", s.Name+".yaml"))
	if err != nil {
		panic(err) // embedded
	}
	var shipped v1alpha1.Stage
	if err := yaml.UnmarshalStrict(data, &shipped); err != nil {
		panic(err)
	}
	v1alpha1.SetObjectDefaults_Stage(&shipped)
	internal, err := internalversion.ConvertToInternalStage(&shipped)
	if err != nil {
		panic(err)
	}
	if !reflect.DeepEqual(internal.Spec, s.Spec) {
		return nil
	}
	return f
}

// duration evaluates a duration annotation as KWOK does: an instant or a Go duration. ok is false when the annotation
// is empty; one that is absent or is neither gives the fallback.
func (v *view) duration(name string, fallback units.Duration, hasFallback bool) (d units.Duration, ok bool) {
	s, given := v.annotation(name)
	if !given {
		return fallback, hasFallback
	}
	if s == "" {
		return 0, false
	}
	if d, err := time.ParseDuration(s); err == nil { // first, as nearly all are; no text is both
		return d, true
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.Sub(v.since), true
	}
	return fallback, hasFallback
}

func pod(v *view) *corev1.Pod { return v.object.(*corev1.Pod) }

func matchReady(v *view) bool {
	return pod(v).DeletionTimestamp == nil && pod(v).Status.Phase == corev1.PodPending
}

func delayReady(v *view) span {
	low, ok := v.duration(AnnotationReadyDelay, readyDelay, true)
	if !ok {
		return span{}
	}
	high, ok := v.duration(AnnotationReadyJitter, readyDelayHigh, true)
	return span{low, high, ok}
}

// working reports whether the pod is one that pod-complete or pod-fail ends, and its outcome.
func working(v *view) (outcome string, ok bool) {
	if pod(v).DeletionTimestamp != nil || pod(v).Status.Phase != corev1.PodRunning {
		return "", false
	}
	_, ok = v.annotation(AnnotationCompleteDelay)
	outcome, _ = v.annotation(AnnotationCompleteOutcome)
	return outcome, ok
}

func matchComplete(v *view) bool {
	outcome, ok := working(v)
	return ok && outcome != outcomeFailed && outcome != outcomeKilled
}

func matchFail(v *view) bool {
	outcome, ok := working(v)
	return ok && (outcome == outcomeFailed || outcome == outcomeKilled)
}

func delayComplete(v *view) span {
	d, _ := v.duration(AnnotationCompleteDelay, 0, true)
	return span{low: d}
}

func matchDelete(v *view) bool { return pod(v).DeletionTimestamp != nil }

func delayDelete(v *view) span {
	low, ok := v.duration(AnnotationDeleteDelay, 0, true)
	if !ok {
		return span{}
	}
	if pod(v).Status.Phase != corev1.PodRunning {
		return span{low, 0, true}
	}
	if _, given := v.annotation(AnnotationDeleteJitter); !given {
		return span{low, pod(v).DeletionTimestamp.Truncate(time.Second).Sub(v.since), true} // as JSON has it
	}
	high, ok := v.duration(AnnotationDeleteJitter, 0, false)
	return span{low, high, ok}
}

// mergeLists does what a strategic merge patch does with lists that have a merge key, order included
// (k8s.io/apimachinery v0.37.2, pkg/util/strategicpatch, normalizeElementOrder): patched items in the order of the
// patch, and before each the old items that no patch touches and that preceded it. same compares merge keys; merge
// makes a new item of an old one, nil if there is none, and a patch.
func mergeLists[T any](old, patch []T, same func(a, b *T) bool, merge func(old, patch *T) T) []T {
	at := func(list []T, x *T) int {
		for i := range list {
			if same(x, &list[i]) {
				return i
			}
		}
		return -1
	}
	out := make([]T, 0, len(old)+len(patch))
	i := 0
	untouched := func(before int) { // copies old items up to a position
		for ; i < len(old) && (before < 0 || i < before); i++ {
			if at(patch, &old[i]) < 0 {
				out = append(out, old[i])
			}
		}
	}
	for j := range patch {
		k := at(old, &patch[j])
		if k < 0 {
			out = append(out, merge(nil, &patch[j]))
			continue
		}
		untouched(k)
		out = append(out, merge(&old[k], &patch[j]))
	}
	untouched(-1)
	return out
}

// mergeConditions is mergeLists for conditions; fields that are zero in the patch stay as they are.
func mergeConditions(old []corev1.PodCondition, patch ...corev1.PodCondition) []corev1.PodCondition {
	return mergeLists(old, patch, func(a, b *corev1.PodCondition) bool { return a.Type == b.Type },
		func(old, patch *corev1.PodCondition) corev1.PodCondition {
			if old == nil {
				return *patch
			}
			c := *old
			c.Status, c.LastTransitionTime = patch.Status, patch.LastTransitionTime
			if patch.Reason != "" {
				c.Reason = patch.Reason
			}
			return c
		})
}

// mergeIPs is mergeLists for lists of addresses, which are their own keys.
func mergeIPs[T comparable](old, patch []T) []T {
	return mergeLists(old, patch, func(a, b *T) bool { return *a == *b }, func(_, patch *T) T { return *patch })
}

// stampTime is now with the precision of the API: seconds.
func (c *Controller) stampTime() metav1.Time { return metav1.NewTime(c.now().Truncate(time.Second)) }

func playReady(c *Controller, v *view) error {
	p := *pod(v)
	c.run(&p, true)
	_, err := c.p.API.Update(&p, "status")
	return err
}

// run sets the status of a pod whose containers run, ready or not.
func (c *Controller) run(p *corev1.Pod, ready bool) {
	now := c.stampTime()
	st := &p.Status
	st.Conditions = mergeConditions(st.Conditions, readiness(p, ready, now)...)
	yes := true
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	st.ContainerStatuses = make([]corev1.ContainerStatus, len(p.Spec.Containers))
	for i, x := range p.Spec.Containers {
		st.ContainerStatuses[i] = corev1.ContainerStatus{Name: x.Name, Image: x.Image, Ready: ready, Started: &yes,
			State: running}
	}
	st.InitContainerStatuses = nil
	for _, x := range p.Spec.InitContainers {
		s := corev1.ContainerStatus{Name: x.Name, Image: x.Image, Ready: true}
		if x.RestartPolicy != nil && *x.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			s.Started, s.State = &yes, running
		} else {
			s.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}
		}
		st.InitContainerStatuses = append(st.InitContainerStatuses, s)
	}
	c.setIPs(p)
	st.Phase = corev1.PodRunning
	st.StartTime = &now
}

// readiness are the conditions of a pod whose containers run. Readiness gates follow the readiness of the containers.
func readiness(p *corev1.Pod, ready bool, now metav1.Time) []corev1.PodCondition {
	status, reason := corev1.ConditionTrue, ""
	if !ready {
		status, reason = corev1.ConditionFalse, "ContainersNotReady"
	}
	conds := make([]corev1.PodCondition, 0, 3+len(p.Spec.ReadinessGates))
	conds = append(conds, corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue,
		LastTransitionTime: now})
	for _, t := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		conds = append(conds, corev1.PodCondition{Type: t, Status: status, Reason: reason, LastTransitionTime: now})
	}
	for _, g := range p.Spec.ReadinessGates {
		conds = append(conds, corev1.PodCondition{Type: g.ConditionType, Status: status, LastTransitionTime: now})
	}
	return conds
}

// setIPs sets the addresses of the pod and of its node.
func (c *Controller) setIPs(p *corev1.Pod) {
	st := &p.Status
	var hosts []corev1.HostIP
	for _, ip := range c.nodeIPs(p.Spec.NodeName) {
		hosts = append(hosts, corev1.HostIP{IP: ip})
	}
	st.HostIP, st.HostIPs = hosts[0].IP, mergeIPs(st.HostIPs, hosts)
	var pods []corev1.PodIP
	for _, ip := range c.podIPs(p.Spec.NodeName, p.Spec.HostNetwork, p.Namespace, p.Name) {
		pods = append(pods, corev1.PodIP{IP: ip})
	}
	st.PodIP, st.PodIPs = pods[0].IP, mergeIPs(st.PodIPs, pods)
}

func playComplete(c *Controller, v *view) error {
	return c.finish(v, corev1.PodSucceeded, "PodCompleted", "Completed", 0)
}

func playFail(c *Controller, v *view) error {
	code := int32(1)
	if outcome, _ := working(v); outcome == outcomeKilled {
		code = 137 // 128 + SIGKILL
	}
	return c.finish(v, corev1.PodFailed, "PodFailed", "Error", code)
}

// finish writes the status of a pod whose containers have ended.
func (c *Controller) finish(v *view, phase corev1.PodPhase, condReason, reason string, code int32) error {
	p := *pod(v)
	now := c.stampTime()
	st := &p.Status
	started := now
	if st.StartTime != nil {
		started = *st.StartTime
	}
	ended := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: condReason,
		LastTransitionTime: now}
	containers := ended
	containers.Type = corev1.ContainersReady
	st.Conditions = mergeConditions(st.Conditions, ended, containers)
	no := false
	st.ContainerStatuses = make([]corev1.ContainerStatus, len(p.Spec.Containers))
	for i, x := range p.Spec.Containers {
		st.ContainerStatuses[i] = corev1.ContainerStatus{Name: x.Name, Image: x.Image, Started: &no,
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason,
				StartedAt: started, FinishedAt: now}}}
	}
	st.Phase = phase
	_, err := c.p.API.Update(&p, "status")
	return err
}

// playDelete drops KWOK's finalizer, if the pod has it, and deletes.
func playDelete(c *Controller, v *view) error {
	p := pod(v)
	gvr := corev1.SchemeGroupVersion.WithResource("pods")
	if slices.Contains(p.Finalizers, finalizerFake) {
		data := removeFinalizer(p.Finalizers)
		_, err := c.p.API.Patch(gvr, p.Namespace, p.Name, types.JSONPatchType, data, "", metav1.PatchOptions{})
		if err != nil {
			return err
		}
	}
	return c.p.API.Delete(gvr, p.Namespace, p.Name, metav1.NewDeleteOptions(0))
}

// removeFinalizer returns the JSON patch KWOK makes of finalizers.remove: from the last to the first, or all at once
// when nothing would be left.
func removeFinalizer(all []string) []byte {
	others := slices.ContainsFunc(all, func(f string) bool { return f != finalizerFake })
	if !others {
		return []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`)
	}
	out := []byte{'['}
	for i, f := range slices.Backward(all) {
		if f == finalizerFake {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, `{"op":"remove","path":"/metadata/finalizers/`...)
			out = strconv.AppendInt(out, int64(i), 10)
			out = append(out, `"}`...)
		}
	}
	return append(out, ']')
}
