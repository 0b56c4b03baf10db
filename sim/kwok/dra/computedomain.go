package dra

import (
	"encoding/json"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// NVIDIAGroup is the API of NVIDIA's driver.
var NVIDIAGroup = schema.GroupVersion{Group: "resource.nvidia.com", Version: "v1beta1"}

// ComputeDomain is NVIDIA's custom resource for workloads whose nodes share GPU memory over NVLink: the fields of
// resource.nvidia.com_computedomains.yaml at 61de3f2.
type ComputeDomain struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ComputeDomainSpec   `json:"spec,omitempty"`
	Status            ComputeDomainStatus `json:"status,omitempty"`
}

// ComputeDomainSpec is what a user asks for.
type ComputeDomainSpec struct {
	// NumNodes is the number of nodes with which the domain is Ready; deprecated upstream, 0 is recommended.
	NumNodes int                  `json:"numNodes"`
	Channel  ComputeDomainChannel `json:"channel"`
}

// ComputeDomainChannel says how pods join the domain.
type ComputeDomainChannel struct {
	ResourceClaimTemplate ComputeDomainTemplate `json:"resourceClaimTemplate"`
	// AllocationMode is Single or All.
	AllocationMode string `json:"allocationMode,omitempty"`
}

// ComputeDomainTemplate names the ResourceClaimTemplate that the driver makes for the domain's pods.
type ComputeDomainTemplate struct {
	Name string `json:"name"`
}

// ComputeDomainStatus is what has become of it.
type ComputeDomainStatus struct {
	Status string              `json:"status"`
	Nodes  []ComputeDomainNode `json:"nodes,omitempty"`
}

// ComputeDomainNode is a node whose daemon belongs to the domain.
type ComputeDomainNode struct {
	Name      string `json:"name"`
	IPAddress string `json:"ipAddress"`
	CliqueID  string `json:"cliqueID"`
	Index     int    `json:"index"`
	Status    string `json:"status"`
}

// States of domains and their nodes.
const (
	DomainReady    = "Ready"
	DomainNotReady = "NotReady"
)

// ComputeDomainList is a list of them.
type ComputeDomainList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ComputeDomain `json:"items"`
}

// DeepCopy returns a copy that shares nothing.
func (d *ComputeDomain) DeepCopy() *ComputeDomain {
	out := *d
	d.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Status.Nodes = slices.Clone(d.Status.Nodes)
	return &out
}

// DeepCopyObject implements runtime.Object.
func (d *ComputeDomain) DeepCopyObject() runtime.Object { return d.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (l *ComputeDomainList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = make([]ComputeDomain, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopy()
	}
	return &out
}

// Scheme returns the types of NVIDIA's API.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypes(NVIDIAGroup, &ComputeDomain{}, &ComputeDomainList{})
	return s
}

// channelConfig is the opaque configuration that tells the driver which domain a channel is for.
type channelConfig struct {
	APIVersion     string `json:"apiVersion"`
	Kind           string `json:"kind"`
	DomainID       string `json:"domainID"`
	AllocationMode string `json:"allocationMode,omitempty"`
}

// ChannelTemplate returns the ResourceClaimTemplate that the driver's controller makes for a domain.
func ChannelTemplate(d *ComputeDomain) *resourcev1.ResourceClaimTemplate {
	parameters, err := json.Marshal(channelConfig{APIVersion: NVIDIAGroup.String(), Kind: "ComputeDomainChannelConfig",
		DomainID: string(d.UID), AllocationMode: d.Spec.Channel.AllocationMode})
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	const request = "channel"
	return &resourcev1.ResourceClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Spec.Channel.ResourceClaimTemplate.Name,
			Labels: map[string]string{"resource.nvidia.com/computeDomain": string(d.UID)}},
		Spec: resourcev1.ResourceClaimTemplateSpec{Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{
			Requests: []resourcev1.DeviceRequest{{Name: request, Exactly: &resourcev1.ExactDeviceRequest{
				DeviceClassName: ClassChannel, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1}}},
			Config: []resourcev1.DeviceClaimConfiguration{{Requests: []string{request},
				DeviceConfiguration: resourcev1.DeviceConfiguration{Opaque: &resourcev1.OpaqueDeviceConfiguration{
					Driver: ComputeDomainDriver, Parameters: runtime.RawExtension{Raw: parameters}}}}},
		}}},
	}
}

// DomainOf returns the UID of the compute domain that a claim of a channel is for; "" = none.
func DomainOf(claim *resourcev1.ResourceClaim) string {
	for _, c := range claim.Spec.Devices.Config {
		var config channelConfig
		if o := c.Opaque; o != nil && o.Driver == ComputeDomainDriver &&
			json.Unmarshal(o.Parameters.Raw, &config) == nil && config.DomainID != "" {
			return config.DomainID
		}
	}
	return ""
}
