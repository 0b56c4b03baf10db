package incremental

import (
	"fmt"
	"math/rand/v2"
	"testing"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// TestBestIsTopOfHeap compares the node taken with the top of upstream's heap, on lists with many equal scores.
func TestBestIsTopOfHeap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		n, scores := 1+r.IntN(70), 1+r.IntN(4)
		var top best
		list := make([]fwk.NodePluginScores, n)
		for i := range list {
			list[i] = fwk.NodePluginScores{Name: fmt.Sprint(i), TotalScore: int64(r.IntN(scores))}
			top.take(list[i].TotalScore, i, i)
		}
		if want := framework.NewSortedScoredNodes(list).Pop().Name; want != fmt.Sprint(top.node) {
			t.Fatalf("of %d nodes with %d scores we take %d, upstream %s", n, scores, top.node, want)
		}
	}
}
