// Package gpus is what a scheduler plugin knows of the GPUs of nodes that are shared by annotation (sim/kube/gpushare):
// which are free to what part. It is worked out from what the API shows, the pods on a node and their annotations, and
// from what the plugins have reserved for pods whose binding is not through yet.
package gpus

import (
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"orrery/sim/kube/gpushare"
	"orrery/sim/units"
)

// Node is a node as a pod would find it. It is shared: read only.
type Node struct {
	Name    string
	Model   string           // of its GPUs
	CPULeft int64            // thousandths of a core that nobody requested
	Left    []units.MilliGPU // of each GPU, that nobody owns
	// Kinds are the different kinds of pods with GPUs that are there, sorted: see Kind.
	Kinds []string
}

// Fits returns how many GPUs have at least milli left.
func (n *Node) Fits(milli units.MilliGPU) int {
	count := 0
	for _, left := range n.Left {
		if left >= milli {
			count++
		}
	}
	return count
}

// TotalLeft is what is left of all GPUs together.
func (n *Node) TotalLeft() units.MilliGPU {
	var sum units.MilliGPU
	for _, left := range n.Left {
		sum += left
	}
	return sum
}

// Hosts reports whether the node's GPUs can take a request; CPU and memory are others' business.
func (n *Node) Hosts(r gpushare.Request) bool {
	return r.GPUs == 0 || r.Accepts(n.Model) && n.Fits(r.Milli) >= r.GPUs
}

// Kind tells requests apart by their GPUs: "" for none, "share" for a part of one, else the number.
func Kind(r gpushare.Request) string {
	switch {
	case r.GPUs == 0:
		return ""
	case r.Milli < units.GPU:
		return "share"
	}
	return gpushare.FormatIndex([]int{r.GPUs})
}

// Choose says which GPU of a node a pod gets that asks for a part of one. The node has at least one that fits.
type Choose func(n *Node, r gpushare.Request) int

// BestFit takes the tightest GPU that fits, the first of several.
func BestFit(n *Node, r gpushare.Request) int {
	best := -1
	for g, left := range n.Left {
		if left >= r.Milli && (best < 0 || left < n.Left[best]) {
			best = g
		}
	}
	return best
}

// Pick returns the GPUs that a request gets, ascending: whole GPUs the lowest-numbered free ones, a part of one the GPU
// that choose says, parts of several the tightest ones. Nil when the node cannot host it.
func (n *Node) Pick(r gpushare.Request, choose Choose) []int {
	if r.GPUs == 0 || !n.Hosts(r) {
		return nil
	}
	if r.GPUs == 1 && r.Milli < units.GPU {
		return []int{choose(n, r)}
	}
	var fit []int
	for g, left := range n.Left {
		if left >= r.Milli {
			fit = append(fit, g)
		}
	}
	slices.SortStableFunc(fit, func(a, b int) int { return int(n.Left[a] - n.Left[b]) })
	fit = fit[:r.GPUs]
	slices.Sort(fit)
	return fit
}

// Book holds what is reserved, and remembers what it worked out of each node until the node changes. One book serves
// all plugins of a scheduler. It is safe for concurrent use: binding runs beside scheduling.
type Book struct {
	mu       sync.Mutex
	reserved map[types.UID][]int
	nodes    map[string]known
}

// known is a node as of a generation of its NodeInfo; upstream gives every change a new one.
type known struct {
	generation int64
	node       *Node
}

// NewBook returns an empty book.
func NewBook() *Book {
	return &Book{reserved: map[types.UID][]int{}, nodes: map[string]known{}}
}

// Node returns a node of the scheduler's snapshot, or of a trial.
func (b *Book) Node(info fwk.NodeInfo) *Node {
	name, generation := info.Node().Name, info.GetGeneration()
	b.mu.Lock()
	defer b.mu.Unlock()
	if k, ok := b.nodes[name]; ok && k.generation == generation {
		return k.node
	}
	n := b.work(info)
	b.nodes[name] = known{generation, n}
	return n
}

// work works a node out. A pod that has no GPUs yet although it is counted there (a member of a group that is being
// tried) is given some by best fit.
func (b *Book) work(info fwk.NodeInfo) *Node {
	node := info.Node()
	count := node.Status.Allocatable[gpushare.Count]
	n := &Node{Name: node.Name, Model: node.Labels[gpushare.Model],
		CPULeft: info.GetAllocatable().GetMilliCPU() - info.GetRequested().GetMilliCPU(),
		Left:    make([]units.MilliGPU, count.Value())}
	for g := range n.Left {
		n.Left[g] = units.GPU
	}
	var later []gpushare.Request
	for _, p := range info.GetPods() {
		r, err := gpushare.Parse(p.GetPod().Annotations)
		if err != nil || r.GPUs == 0 {
			continue // the kubelet refused it, or it has none
		}
		if kind := Kind(r); !slices.Contains(n.Kinds, kind) {
			n.Kinds = append(n.Kinds, kind)
		}
		if !n.take(b.gpusOf(p.GetPod()), r) {
			later = append(later, r)
		}
	}
	slices.Sort(n.Kinds)
	for _, r := range later {
		n.take(n.Pick(r, BestFit), r)
	}
	return n
}

// gpusOf returns a pod's GPUs: as reserved, until the API has it, then as the API has it. A pod whose binding has
// failed may come again with what was written down for the node it did not get to.
func (b *Book) gpusOf(pod *v1.Pod) []int {
	reserved, pending := b.reserved[pod.UID]
	gpus, err := gpushare.ParseIndex(pod.Annotations)
	if err != nil || gpus == nil || pending && !slices.Equal(gpus, reserved) {
		return reserved
	}
	delete(b.reserved, pod.UID)
	return gpus
}

// take counts a pod's GPUs as used. It reports false, and counts nothing, when there are none or they are not the
// node's.
func (n *Node) take(gpus []int, r gpushare.Request) bool {
	for _, g := range gpus {
		if g >= len(n.Left) || n.Left[g] < r.Milli {
			return false
		}
	}
	for _, g := range gpus {
		n.Left[g] -= r.Milli
	}
	return len(gpus) > 0
}

// Reserve notes that a pod which is counted on a node gets these of its GPUs.
func (b *Book) Reserve(pod *v1.Pod, node string, gpus []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved[pod.UID] = gpus
	delete(b.nodes, node)
}

// Unreserve forgets what was reserved for a pod.
func (b *Book) Unreserve(pod *v1.Pod, node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.reserved, pod.UID)
	delete(b.nodes, node)
}

// Reserved returns what is reserved for a pod.
func (b *Book) Reserved(pod *v1.Pod) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved[pod.UID]
}
