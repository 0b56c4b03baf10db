package kube

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Requirement asks that a node's label Key has one of Values.
type Requirement struct {
	Key    string
	Values []string
}

// PodClaim says that a pod has a resource claim of its own, made from a template of its namespace.
type PodClaim struct{ Name, Template string }

// PodParams describes a pod of one container.
type PodParams struct {
	Namespace, Name     string
	Labels, Annotations map[string]string
	SchedulerName       string
	PriorityClassName   string
	CPUMilli, MemoryMiB int64  // requests; 0 = none
	Resource            string // extended resource, e.g. nvidia.com/gpu
	Count               int64  // of Resource; 0 = none
	Claims              []PodClaim
	NodeSelector        map[string]string
	Require             []Requirement // required node affinity; all must hold
	Tolerations         []corev1.Toleration
	OwnerReferences     []metav1.OwnerReference
	Group               string // PodGroup of which the pod is a member; "" = none
	// TerminationGracePeriodSeconds, as in the pod spec. 0 = the containers stop at once.
	TerminationGracePeriodSeconds int64
}

// NewPod returns the pod, without what the API fills in. Limits of the extended resource equal its requests, as the API
// demands; CPU and memory have requests only.
func NewPod(p PodParams) *corev1.Pod {
	requests := corev1.ResourceList{}
	limits := corev1.ResourceList{}
	if p.CPUMilli > 0 {
		requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(p.CPUMilli, resource.DecimalSI)
	}
	if p.MemoryMiB > 0 {
		requests[corev1.ResourceMemory] = *resource.NewQuantity(p.MemoryMiB<<20, resource.BinarySI)
	}
	if p.Resource != "" && p.Count > 0 {
		q := *resource.NewQuantity(p.Count, resource.DecimalSI)
		requests[corev1.ResourceName(p.Resource)] = q
		limits[corev1.ResourceName(p.Resource)] = q
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, Labels: p.Labels, Annotations: p.Annotations,
			OwnerReferences: p.OwnerReferences},
		Spec: corev1.PodSpec{
			SchedulerName: p.SchedulerName, PriorityClassName: p.PriorityClassName, NodeSelector: p.NodeSelector,
			Tolerations: p.Tolerations, RestartPolicy: corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: &p.TerminationGracePeriodSeconds,
			Containers: []corev1.Container{{Name: "work", Image: "work",
				Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}},
		},
	}
	if p.Group != "" {
		pod.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &p.Group}
	}
	for _, c := range p.Claims {
		pod.Spec.ResourceClaims = append(pod.Spec.ResourceClaims,
			corev1.PodResourceClaim{Name: c.Name, ResourceClaimTemplateName: &c.Template})
		work := &pod.Spec.Containers[0].Resources
		work.Claims = append(work.Claims, corev1.ResourceClaim{Name: c.Name})
	}
	if len(p.Require) > 0 {
		var term corev1.NodeSelectorTerm
		for _, r := range p.Require {
			term.MatchExpressions = append(term.MatchExpressions,
				corev1.NodeSelectorRequirement{Key: r.Key, Operator: corev1.NodeSelectorOpIn, Values: r.Values})
		}
		pod.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}}}
	}
	return pod
}
