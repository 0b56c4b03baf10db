package kube

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/google/go-cmp/cmp"
)

const goodManifests = `# a comment only
---
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
apiVersion: v1
kind: List
items:
- apiVersion: scheduling.k8s.io/v1
  kind: PriorityClass
  metadata: {name: high}
  value: 1000
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: a}}
---
{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
`

const badManifests = `apiVersion: v1
kind: Pod
metadata:
  name: a
  lables: {x: y}
spec:
  containers:
  - name: c
    image: i
    imagePolicy: Always
---
kind: Pod
---
apiVersion: v9
kind: Pod
---
- a
---
apiVersion: v1
kind: ConfigMap
data:
  a: "1"
  a: "2"
---
apiVersion: v1
 kind: Pod
---
apiVersion: v1
kind: Pod
spec:
  containers: none
---
apiVersion: apps/v1
kind: Deployment
metadata:
  labels: {a: 1, example.com/b: true, c: y}
spec:
  replicas: two
  paused: 1
  minReadySeconds: 9999999999
  template:
    spec:
      containers:
      - name: [c]
        resources: {limits: {cpu: 1, nvidia.com/gpu: nan, memory: "1 GB"}}
  strateggy: x
`

func TestDecodeManifests(t *testing.T) {
	objs, err := DecodeManifests("good.yaml", []byte(goodManifests))
	if err != nil || len(objs) != 4 {
		t.Fatalf("%d objects, %v", len(objs), err)
	}
	if objs[0].(*corev1.Namespace).Kind != "Namespace" || objs[2].(*appsv1.Deployment).Namespace != "a" {
		t.Errorf("%+v", objs)
	}
	objs, err = DecodeManifests("bad.yaml", []byte(badManifests))
	if err == nil || len(objs) != 0 {
		t.Fatalf("%v %v", objs, err)
	}
	where := strings.Split(err.Error(), "\n")
	want := []string{
		`bad.yaml:5: unknown field "metadata.lables"`,
		`bad.yaml:10: unknown field "spec.containers[0].imagePolicy"`,
		`bad.yaml:12: apiVersion and kind are required`,
		`bad.yaml:15: unknown kind "Pod" in "v9": write a kind and apiVersion of Kubernetes 1.37`,
		`bad.yaml:17: a Kubernetes object must be a mapping with apiVersion and kind`,
		`bad.yaml:23: key "a" already set in map`,
		`bad.yaml:26: mapping values are not allowed in this context`,
		`bad.yaml:31: spec.containers: want a list, found the text "none"`,
		`bad.yaml:36: metadata.labels.a: want text, found the number 1; put it in quotes: "1"`,
		`bad.yaml:36: metadata.labels["example.com/b"]: want text, found the truth value true; put it in quotes: "true"`,
		`bad.yaml:36: metadata.labels.c: want text, found the truth value y; put it in quotes: "y"`,
		`bad.yaml:38: spec.replicas: want a whole number, found the text "two"`,
		`bad.yaml:39: spec.paused: want true or false, found the number 1`,
		`bad.yaml:40: spec.minReadySeconds: want a whole number of at most 32 bits, found the number 9999999999`,
		`bad.yaml:44: spec.template.spec.containers[0].name: want text, found a list`,
		`bad.yaml:45: spec.template.spec.containers[0].resources.limits["nvidia.com/gpu"]: want a quantity like 500m or ` +
			`16Gi, found the text "nan"`,
		`bad.yaml:45: spec.template.spec.containers[0].resources.limits.memory: want a quantity like 500m or 16Gi, ` +
			`found the text "1 GB"`,
		`bad.yaml:46: unknown field "spec.strateggy"`,
	}
	if len(where) < len(want) {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, where); d != "" {
		t.Error(d)
	}
}

func FuzzDecodeManifests(f *testing.F) {
	f.Add([]byte(goodManifests))
	f.Add([]byte(badManifests))
	f.Add([]byte("a: &x [*x]"))
	f.Add([]byte("---\n---\n"))
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [null, 3, {}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objs, err := DecodeManifests("f", data)
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				if line == "" {
					t.Errorf("an empty problem in %q", err)
				}
			}
		}
		for _, o := range objs {
			if o.GetObjectKind().GroupVersionKind().Empty() {
				t.Errorf("%T without type meta", o)
			}
		}
	})
}
