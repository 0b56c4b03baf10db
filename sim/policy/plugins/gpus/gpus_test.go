package gpus

import (
	"fmt"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"orrery/sim/kube/gpushare"
	"orrery/sim/units"
)

func pod(name string, r gpushare.Request, index ...int) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Annotations: r.Annotations()},
		Spec: v1.PodSpec{Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
			v1.ResourceCPU: resource.MustParse("2")}}}}}}
	if index != nil {
		p.Annotations[gpushare.Index] = gpushare.FormatIndex(index)
	}
	return p
}

func share(milli units.MilliGPU) gpushare.Request { return gpushare.Request{GPUs: 1, Milli: milli} }

// TestBook follows a node through reservations, the API's own word for them, trials and releases.
func TestBook(t *testing.T) {
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{gpushare.Model: "t4"}},
		Status: v1.NodeStatus{Allocatable: v1.ResourceList{gpushare.Count: resource.MustParse("2"),
			v1.ResourceCPU: resource.MustParse("16")}}}
	info := framework.NewNodeInfo(pod("a", share(400), 1))
	info.SetNode(node)
	b := NewBook()
	hold := func(step string, kinds []string, cpu int64, left ...units.MilliGPU) {
		t.Helper()
		if n := b.Node(info); !slices.Equal(n.Left, left) || n.CPULeft != cpu || n.Model != "t4" || !slices.Equal(n.Kinds, kinds) {
			t.Fatalf("%s: %+v, want %v and %d CPU", step, n, left, cpu)
		}
	}
	hold("as written", []string{"share"}, 14_000, 1000, 600)
	x := pod("x", share(500))
	info.AddPod(x)
	b.Reserve(x, "n", []int{0})
	hold("reserved", []string{"share"}, 12_000, 500, 600)
	b.Unreserve(x, "n")
	hold("without reservation a pod is where it fits best", []string{"share"}, 12_000, 1000, 100)
	if err := info.RemovePod(klog.Background(), x); err != nil {
		t.Fatal(err)
	}
	hold("gone", []string{"share"}, 14_000, 1000, 600)
	again := pod("y", share(500), 1) // its binding failed after this was written
	info.AddPod(again)
	b.Reserve(again, "n", []int{0})
	hold("what is reserved holds until the API has it", []string{"share"}, 12_000, 500, 600)
	if err := info.RemovePod(klog.Background(), again); err != nil {
		t.Fatal(err)
	}
	bound := pod("y", share(500), 0)
	info.AddPod(bound)
	hold("the API has it", []string{"share"}, 12_000, 500, 600)
	if b.Reserved(bound) != nil {
		t.Fatal("a reservation outlives what the API has")
	}
	if err := info.RemovePod(klog.Background(), bound); err != nil {
		t.Fatal(err)
	}
	whole := pod("w", gpushare.Request{GPUs: 1, Milli: 1000}, 0)
	info.AddPod(whole)
	hold("a whole one", []string{"1", "share"}, 12_000, 0, 600)
	info.AddPod(pod("bad", share(700), 5))
	hold("what is not the node's counts for nothing", []string{"1", "share"}, 10_000, 0, 600)
}

// TestPick compares with a search by hand.
func TestPick(t *testing.T) {
	n := &Node{Left: []units.MilliGPU{300, 1000, 500, 1000, 500}}
	for _, tc := range []struct {
		r    gpushare.Request
		want []int
	}{
		{share(300), []int{0}}, {share(301), []int{2}}, {share(500), []int{2}}, {share(501), []int{1}},
		{gpushare.Request{GPUs: 1, Milli: 1000}, []int{1}}, {gpushare.Request{GPUs: 2, Milli: 1000}, []int{1, 3}},
		{gpushare.Request{GPUs: 3, Milli: 1000}, nil}, {gpushare.Request{GPUs: 3, Milli: 400}, []int{1, 2, 4}},
		{gpushare.Request{}, nil}, {gpushare.Request{GPUs: 1, Milli: 10, Models: []string{"a10"}}, nil},
	} {
		if got := n.Pick(tc.r, BestFit); fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%+v: GPUs %v, want %v", tc.r, got, tc.want)
		}
	}
}
