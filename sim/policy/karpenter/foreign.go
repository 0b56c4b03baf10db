package karpenter

import (
	"bytes"

	"github.com/awslabs/operatorpkg/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/karpenter/kwok/apis/v1alpha1"
)

// foreignClass is the node class of a cloud's provider.
type foreignClass struct {
	gvk              schema.GroupVersionKind
	plural, singular string
	object           status.Object
	list             runtime.Object
}

// foreign are the node classes of clouds that NodePools of real clusters refer to: those of AWS
// (github.com/aws/karpenter-provider-aws), Azure (github.com/Azure/karpenter-provider-azure) and Google Cloud
// (github.com/cloudpilot-ai/karpenter-provider-gcp). What machines are made of is said by the run's pools, so that of a
// class only the name counts.
var foreign = []foreignClass{
	{schema.GroupVersionKind{Group: "karpenter.k8s.aws", Version: "v1", Kind: "EC2NodeClass"},
		"ec2nodeclasses", "ec2nodeclass", &NodeClass[aws]{}, &NodeClassList[aws]{}},
	{schema.GroupVersionKind{Group: "karpenter.azure.com", Version: "v1beta1", Kind: "AKSNodeClass"},
		"aksnodeclasses", "aksnodeclass", &NodeClass[azure]{}, &NodeClassList[azure]{}},
	{schema.GroupVersionKind{Group: "karpenter.k8s.gcp", Version: "v1alpha1", Kind: "GCENodeClass"},
		"gcenodeclasses", "gcenodeclass", &NodeClass[gcp]{}, &NodeClassList[gcp]{}},
}

// Clouds tell the Go types of node classes apart.
type (
	aws   struct{}
	azure struct{}
	gcp   struct{}
)

// nodeClasses are all that NodePools may refer to; the first is the default.
func nodeClasses() []status.Object {
	out := []status.Object{&v1alpha1.KWOKNodeClass{}}
	for _, c := range foreign {
		out = append(out, c.object)
	}
	return out
}

// NodeClasses names the kinds of node classes that NodePools may refer to, as Kind.group.
func NodeClasses() []string {
	out := []string{"KWOKNodeClass.karpenter.kwok.sh"}
	for _, c := range foreign {
		out = append(out, c.gvk.Kind+"."+c.gvk.Group)
	}
	return out
}

func addForeign(s *runtime.Scheme) {
	for _, c := range foreign {
		metav1.AddToGroupVersion(s, c.gvk.GroupVersion())
		s.AddKnownTypeWithName(c.gvk, c.object)
		s.AddKnownTypeWithName(c.gvk.GroupVersion().WithKind(c.gvk.Kind+"List"), c.list)
	}
}

// NodeClass is the node class of a cloud.
type NodeClass[Cloud any] struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ClassSpec   `json:"spec,omitempty"`
	Status ClassStatus `json:"status,omitempty"`
}

// NodeClassList is a list of node classes of a cloud.
type NodeClassList[Cloud any] struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []NodeClass[Cloud] `json:"items"`
}

// ClassSpec is the spec of a node class, which nobody looks into.
type ClassSpec struct{ raw []byte }

// ClassStatus is the status of a node class.
type ClassStatus struct {
	Conditions []status.Condition `json:"conditions,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (s ClassSpec) MarshalJSON() ([]byte, error) {
	if len(s.raw) == 0 {
		return []byte("{}"), nil
	}
	return s.raw, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *ClassSpec) UnmarshalJSON(b []byte) error {
	s.raw = bytes.Clone(b)
	return nil
}

// DeepCopyObject implements runtime.Object.
func (c *NodeClass[Cloud]) DeepCopyObject() runtime.Object { return c.copy() }

func (c *NodeClass[Cloud]) copy() *NodeClass[Cloud] {
	out := &NodeClass[Cloud]{TypeMeta: c.TypeMeta, ObjectMeta: *c.ObjectMeta.DeepCopy(),
		Spec: ClassSpec{raw: bytes.Clone(c.Spec.raw)}}
	for i := range c.Status.Conditions {
		out.Status.Conditions = append(out.Status.Conditions, *c.Status.Conditions[i].DeepCopy())
	}
	return out
}

// DeepCopyObject implements runtime.Object.
func (l *NodeClassList[Cloud]) DeepCopyObject() runtime.Object {
	out := &NodeClassList[Cloud]{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].copy())
	}
	return out
}

// GetConditions implements status.Object.
func (c *NodeClass[Cloud]) GetConditions() []status.Condition { return c.Status.Conditions }

// SetConditions implements status.Object.
func (c *NodeClass[Cloud]) SetConditions(conditions []status.Condition) {
	c.Status.Conditions = conditions
}

// StatusConditions implements status.Object.
func (c *NodeClass[Cloud]) StatusConditions(opts ...status.ForOption) status.ConditionSet {
	return status.NewReadyConditions().For(c, opts...)
}
