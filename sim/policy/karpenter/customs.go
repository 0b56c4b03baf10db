package karpenter

import (
	_ "embed"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/karpenter/kwok/apis/v1alpha1"
	"sigs.k8s.io/karpenter/pkg/apis"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	overlayv1alpha1 "sigs.k8s.io/karpenter/pkg/apis/v1alpha1"
)

// kwokNodeClassCRD is kwok/apis/crds/karpenter.kwok.sh_kwoknodeclasses.yaml of sigs.k8s.io/karpenter v1.14.1, which
// does not export it (Apache License 2.0).
//
//go:embed kwoknodeclass.yaml
var kwokNodeClassCRD []byte

// Definitions are the CustomResourceDefinitions of Karpenter's kinds, as it ships them, and of the node classes that
// NodePools may refer to.
func Definitions() [][]byte {
	out := [][]byte{apis.NodePoolCRD, apis.NodeClaimCRD, apis.NodeOverlayCRD, kwokNodeClassCRD}
	for _, c := range foreign {
		out = append(out, c.definition())
	}
	return out
}

// Scheme holds the Go types of the kinds of Definitions.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	addKarpenter(s)
	addForeign(s)
	return s
}

func addKarpenter(s *runtime.Scheme) {
	gv := schema.GroupVersion{Group: apis.Group, Version: "v1"}
	metav1.AddToGroupVersion(s, gv)
	s.AddKnownTypes(gv, &v1.NodePool{}, &v1.NodePoolList{}, &v1.NodeClaim{}, &v1.NodeClaimList{})
	gv = schema.GroupVersion{Group: apis.Group, Version: "v1alpha1"}
	metav1.AddToGroupVersion(s, gv)
	s.AddKnownTypes(gv, &overlayv1alpha1.NodeOverlay{}, &overlayv1alpha1.NodeOverlayList{})
	gv = schema.GroupVersion{Group: "karpenter.kwok.sh", Version: "v1alpha1"}
	metav1.AddToGroupVersion(s, gv)
	s.AddKnownTypes(gv, &v1alpha1.KWOKNodeClass{}, &v1alpha1.KWOKNodeClassList{})
}

// IsNodePool reports whether an object is a NodePool, and returns it.
func IsNodePool(obj runtime.Object) (*v1.NodePool, bool) {
	np, ok := obj.(*v1.NodePool)
	return np, ok
}

// definition is a CustomResourceDefinition of a node class of which only the name counts: its spec may hold anything,
// and it is ready when it exists.
func (c foreignClass) definition() []byte {
	return fmt.Appendf(nil, `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[4]s.%[1]s}
spec:
  group: %[1]s
  names: {kind: %[3]s, listKind: %[3]sList, plural: %[4]s, singular: %[5]s}
  scope: Cluster
  versions:
  - name: %[2]s
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
            default:
              conditions:
              - {type: Ready, status: "True", reason: Ready, lastTransitionTime: "2024-01-01T01:01:01Z", message: ""}
`, c.gvk.Group, c.gvk.Version, c.gvk.Kind, c.plural, c.singular)
}
