package karpenter

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/karpenter/kwok/apis/v1alpha1"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"orrery/sim/kube"
)

const goodPool = `apiVersion: karpenter.sh/v1
kind: NodePool
metadata:
  name: gpu
spec:
  template:
    metadata:
      labels: {team: ml}
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
      requirements:
      - {key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}
  limits: {cpu: 1000, nvidia.com/gpu: 64}
---
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {name: default}
spec:
  amiSelectorTerms: [{alias: al2023@latest}]
  role: nodes
---
apiVersion: karpenter.kwok.sh/v1alpha1
kind: KWOKNodeClass
metadata: {name: default}
`

func customs(t *testing.T) *kube.Customs {
	t.Helper()
	c, err := kube.NewCustoms(Definitions()...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func decode(t *testing.T, text string) ([]runtime.Object, error) {
	t.Helper()
	return kube.Decoding{Schemes: []*runtime.Scheme{Scheme()}, Customs: customs(t)}.Manifests("pools.yaml", []byte(text))
}

// TestManifests: what users write is taken as it is, with the defaults of Karpenter's CustomResourceDefinition.
func TestManifests(t *testing.T) {
	objects, err := decode(t, goodPool)
	if err != nil || len(objects) != 3 {
		t.Fatal(err)
	}
	store, err := kube.New(kube.Options{Now: func() time.Time { return time.Unix(0, 0) },
		Schemes: []*runtime.Scheme{Scheme()}, Customs: customs(t)})
	if err != nil {
		t.Fatal(err)
	}
	for i, obj := range objects {
		if objects[i], err = store.Create(obj); err != nil {
			t.Fatal(err)
		}
	}
	np := objects[0].(*v1.NodePool)
	d := np.Spec.Disruption
	if d.ConsolidationPolicy != v1.ConsolidationPolicyWhenEmptyOrUnderutilized || *d.ConsolidateAfter.Duration != 0 ||
		len(d.Budgets) != 1 || d.Budgets[0].Nodes != "10%" || *np.Spec.Template.Spec.ExpireAfter.Duration != 720*time.Hour ||
		np.Generation != 1 || np.Namespace != "" {
		t.Errorf("NodePool: %+v", np)
	}
	class := objects[1].(*NodeClass[aws])
	if !strings.Contains(string(class.Spec.raw), "al2023@latest") || !class.StatusConditions().Root().IsTrue() {
		t.Errorf("EC2NodeClass: %s %+v", class.Spec.raw, class.Status)
	}
	if k := objects[2].(*v1alpha1.KWOKNodeClass); !k.StatusConditions().Root().IsTrue() {
		t.Errorf("KWOKNodeClass: %+v", k.Status)
	}
	changed := np.DeepCopy()
	changed.Spec.Disruption.Budgets[0].Nodes = "many"
	if _, err := store.Update(changed, ""); err == nil || !strings.Contains(err.Error(), "spec.disruption.budgets[0].nodes") {
		t.Errorf("update: %v", err)
	}
	changed = np.DeepCopy()
	changed.Labels = map[string]string{"a": "b"}
	got, err := store.Update(changed, "")
	if err != nil || got.(metav1.Object).GetGeneration() != 1 {
		t.Errorf("update: %v %v", got, err)
	}
}

// TestBadManifests: mistakes are told in the API's words, with their lines.
func TestBadManifests(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"  limits: {", "  limit: {", `pools.yaml:13: unknown field "spec.limit"`},
		{"operator: In, values: [spot, on-demand]", "operator: Is, values: [spot]",
			`pools.yaml:12: spec.template.spec.requirements[0].operator: Unsupported value: "Is"`},
		{"operator: In, values: [spot, on-demand]", "operator: In, values: []",
			"requirements with operator 'In' must have a value defined"},
		{"labels: {team: ml}", "labels: {karpenter.sh/nodepool: x}",
			`pools.yaml:8: spec.template.metadata.labels: Invalid value: label "karpenter.sh/nodepool" is restricted`},
		{"nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}", "taints: []",
			"spec.template.spec.nodeClassRef: Required value"},
	} {
		if !strings.Contains(goodPool, tc.from) {
			t.Fatalf("%q is not in the manifest", tc.from)
		}
		_, err := decode(t, strings.Replace(goodPool, tc.from, tc.to, 1))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s:\n got %v\nwant %s", tc.to, err, tc.want)
		}
	}
}
