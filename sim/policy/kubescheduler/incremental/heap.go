package incremental

import (
	"math/bits"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Upstream picks the node at the top of a heap that container/heap's Init makes of the list of scored nodes. Without
// extenders it draws no random number: of several nodes with the highest score, the shape of the heap decides. Init
// moves a child above its parent only when its score is strictly higher, and prefers the left child unless the right
// one is strictly higher. So the highest score that comes first in the pre-order of the list seen as a binary tree ends
// up at the top.

// before reports whether index i of a heap's list comes before index j in pre-order, for i > j.
func before(i, j int) bool {
	a, b := uint(i)+1, uint(j)+1
	a >>= bits.Len(a) - bits.Len(b) // i's ancestor, or i itself, on the level of j
	return a < b
}

// best keeps the top of such a heap while scores come in, in the list's order.
type best struct {
	score int64
	index int // in the list
	node  int // position of the node in the snapshot
}

func (b *best) take(score int64, index, node int) {
	if index == 0 || score > b.score || score == b.score && before(index, b.index) {
		*b = best{score, index, node}
	}
}

// remaining is what upstream keeps of a list of scored nodes for the next pod of the same signature: all but the chosen
// one, as a heap. It is made when somebody looks at it, which is seldom.
type remaining struct {
	scores []fwk.NodePluginScores
	heap   framework.SortedScoredNodes
}

func (r *remaining) made() framework.SortedScoredNodes {
	if r.heap == nil {
		r.heap = framework.NewSortedScoredNodes(r.scores)
		r.heap.Pop() // the node that was chosen
		r.scores = nil
	}
	return r.heap
}

// Len is that of upstream's heap.
func (r *remaining) Len() int {
	if r.heap == nil {
		return len(r.scores) - 1
	}
	return r.heap.Len()
}

// Pop is that of upstream's heap.
func (r *remaining) Pop() fwk.NodePluginScores { return r.made().Pop() }

// UnorderedList is that of upstream's heap.
func (r *remaining) UnorderedList() []fwk.NodePluginScores { return r.made().UnorderedList() }
