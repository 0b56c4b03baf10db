package operators

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// LeaderWorkerSet is kubernetes-sigs/lws api/leaderworkerset/v1/leaderworkerset_types.go. Fields of type any are
// refused or left out as a whole.
type LeaderWorkerSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              LeaderWorkerSetSpec `json:"spec,omitempty"`
	Status            any                 `json:"status,omitempty"`
}

// LeaderWorkerSetSpec is what a LeaderWorkerSet asks for.
type LeaderWorkerSetSpec struct {
	Replicas             *int32               `json:"replicas,omitempty"`
	LeaderWorkerTemplate LeaderWorkerTemplate `json:"leaderWorkerTemplate"`
	StartupPolicy        string               `json:"startupPolicy,omitempty"`

	RolloutStrategy any `json:"rolloutStrategy,omitempty"`
	NetworkConfig   any `json:"networkConfig,omitempty"`
}

// LeaderWorkerTemplate is one group: a leader and its workers.
type LeaderWorkerTemplate struct {
	LeaderTemplate *corev1.PodTemplateSpec `json:"leaderTemplate,omitempty"`
	WorkerTemplate corev1.PodTemplateSpec  `json:"workerTemplate"`
	Size           *int32                  `json:"size,omitempty"`
	RestartPolicy  string                  `json:"restartPolicy,omitempty"`
	SubGroupPolicy any                     `json:"subGroupPolicy,omitempty"`

	VolumeClaimTemplates any `json:"volumeClaimTemplates,omitempty"`
	ClaimRetentionPolicy any `json:"persistentVolumeClaimRetentionPolicy,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (o *LeaderWorkerSet) DeepCopyObject() runtime.Object { return deepCopy(o) }

const lwsDomain = "leaderworkerset.sigs.k8s.io/"

func (o *LeaderWorkerSet) expand(e *Expansion) {
	const at = "spec.leaderWorkerTemplate"
	t := &o.Spec.LeaderWorkerTemplate
	for _, key := range []string{"exclusive-topology", "subgroup-exclusive-topology"} {
		e.exclusive(o.Annotations, "metadata", lwsDomain+key)
	}
	e.absent(t.SubGroupPolicy, at+".subGroupPolicy", "leave it out: pods carry no labels of subgroups")
	if s := o.Spec.StartupPolicy; s != "" && s != "LeaderCreated" {
		e.refuse("spec.startupPolicy", "%q: workers that wait for their leader are not simulated; write LeaderCreated", s)
	}
	restart := false
	switch t.RestartPolicy {
	case "", "RecreateGroupOnPodRestart":
		restart = true
	case "None", "Default":
	default:
		e.refuse(at+".restartPolicy", "%q is not simulated; write RecreateGroupOnPodRestart or None", t.RestartPolicy)
	}
	e.template(&t.WorkerTemplate, at+".workerTemplate")
	leader := &t.WorkerTemplate
	if t.LeaderTemplate != nil {
		leader = t.LeaderTemplate
		e.template(leader, at+".leaderTemplate")
	}
	size := e.count(t.Size, at+".size", 1)
	if size == 0 {
		e.refuse(at+".size", "0 leaves no leader; write 1 or more")
	}
	groups := e.count(o.Spec.Replicas, "spec.replicas", 1)
	if e.times(groups, size, "spec.replicas") == 0 {
		return
	}
	for g := range groups {
		group := fmt.Sprintf("%s-%d", o.Name, g)
		job := Job{Name: group, Namespace: o.Namespace, Restart: restart}
		for i := range size {
			name, from, ordinal := group, leader, g
			if i > 0 {
				name, from, ordinal = fmt.Sprintf("%s-%d", group, i), &t.WorkerTemplate, i
			}
			p := pod(from, o.Namespace, name, map[string]string{lwsDomain + "name": o.Name,
				lwsDomain + "group-index": strconv.Itoa(g), lwsDomain + "worker-index": strconv.Itoa(i),
				lwsDomain + "group-key": sha(o.Namespace + "/" + group), appsv1.StatefulSetPodNameLabel: name,
				appsv1.PodIndexLabel: strconv.Itoa(ordinal)})
			if p.Annotations == nil {
				p.Annotations = map[string]string{}
			}
			p.Annotations[lwsDomain+"size"] = strconv.Itoa(size)
			if i > 0 {
				p.Annotations[lwsDomain+"leader-name"] = group
			}
			job.Pods = append(job.Pods, p)
		}
		e.Jobs = append(e.Jobs, job)
	}
}
