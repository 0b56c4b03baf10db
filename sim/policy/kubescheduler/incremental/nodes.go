package incremental

import (
	"encoding/binary"
	"sync"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/util"
)

// touched is kube-scheduler's cache with a note of the nodes whose NodeInfo may have changed. A note is made before the
// change: no scheduling cycle may run between the two, as the lockstep sees to.
type touched struct {
	internalcache.Cache
	mu    sync.Mutex // a failed binding comes from a goroutine of its own
	names []string
	all   bool

	groups map[string]int64 // priorities of the pod groups that exist
	again  bool             // nodes must be measured again: the priority of a group of pods that are placed has changed
}

func (t *touched) touch(node string) {
	if node == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.names) == touchedMax { // nobody has asked for long
		t.names, t.all = t.names[:0], true
	}
	t.names = append(t.names, node)
}

const touchedMax = 1 << 16

// take returns the nodes noted since the last call. all says that there were too many to note.
func (t *touched) take(into []string) (names []string, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	into, all = append(into[:0], t.names...), t.all
	t.names, t.all = t.names[:0], false
	return into, all
}

// AddPodGroup implements internalcache.Cache.
func (t *touched) AddPodGroup(group *schedulingv1beta1.PodGroup) {
	t.Cache.AddPodGroup(group)
	t.groupIs(group)
}

// UpdatePodGroup implements internalcache.Cache.
func (t *touched) UpdatePodGroup(logger klog.Logger, oldGroup, newGroup *schedulingv1beta1.PodGroup) {
	t.Cache.UpdatePodGroup(logger, oldGroup, newGroup)
	t.groupIs(newGroup)
}

// RemovePodGroup implements internalcache.Cache.
func (t *touched) RemovePodGroup(logger klog.Logger, group *schedulingv1beta1.PodGroup) {
	t.Cache.RemovePodGroup(logger, group)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.groups, groupKey(group.Namespace, group.Name))
}

// groupIs notes a group's priority. It is the group's for ever; but a group can come after its pods, or again.
func (t *touched) groupIs(group *schedulingv1beta1.PodGroup) {
	key := groupKey(group.Namespace, group.Name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.groups[key]; known {
		return
	}
	if state, err := t.Cache.PodGroupStates().Get(group.Namespace, group.Name); err == nil &&
		state.ScheduledPodsCount() > 0 {
		t.again = true
	}
	if t.groups == nil {
		t.groups = map[string]int64{}
	}
	t.groups[key] = int64(util.PodGroupPriority(group))
}

func groupKey(namespace, name string) string { return namespace + "/" + name }

// priority returns the priority that a pod has as a victim, anybody when that is not sure to last: that of its group,
// which is its own where the scheduler has placed it.
func (t *touched) priority(pod *v1.Pod) int64 {
	own := int64(corev1helpers.PodPriority(pod))
	if pod.Spec.SchedulingGroup == nil {
		return own
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.groups[groupKey(pod.Namespace, *pod.Spec.SchedulingGroup.PodGroupName)]; !ok || p != own {
		return anybody
	}
	return own
}

// remeasure reports whether nodes must be measured again, once.
func (t *touched) remeasure() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	again := t.again
	t.again = false
	return again
}

func (t *touched) AssumePod(logger klog.Logger, pod *v1.Pod) error {
	t.touch(pod.Spec.NodeName)
	return t.Cache.AssumePod(logger, pod)
}

func (t *touched) ForgetPod(logger klog.Logger, pod *v1.Pod) error {
	t.touch(pod.Spec.NodeName)
	return t.Cache.ForgetPod(logger, pod)
}

func (t *touched) RemoveAssumedPod(logger klog.Logger, pod *v1.Pod) error {
	t.touch(pod.Spec.NodeName)
	return t.Cache.RemoveAssumedPod(logger, pod)
}

func (t *touched) AddPod(logger klog.Logger, pod *v1.Pod) error {
	// A pod that was assumed on another node moves from there.
	if old, err := t.Cache.GetPod(pod); err == nil {
		t.touch(old.Spec.NodeName)
	}
	t.touch(pod.Spec.NodeName)
	return t.Cache.AddPod(logger, pod)
}

func (t *touched) UpdatePod(logger klog.Logger, oldPod, newPod *v1.Pod) error {
	if old, err := t.Cache.GetPod(oldPod); err == nil {
		t.touch(old.Spec.NodeName)
	}
	t.touch(oldPod.Spec.NodeName)
	t.touch(newPod.Spec.NodeName)
	return t.Cache.UpdatePod(logger, oldPod, newPod)
}

func (t *touched) RemovePod(logger klog.Logger, pod *v1.Pod) error {
	if old, err := t.Cache.GetPod(pod); err == nil {
		t.touch(old.Spec.NodeName)
	}
	t.touch(pod.Spec.NodeName)
	return t.Cache.RemovePod(logger, pod)
}

func (t *touched) AddNode(logger klog.Logger, node *v1.Node) {
	t.touch(node.Name)
	t.Cache.AddNode(logger, node)
}

func (t *touched) UpdateNode(logger klog.Logger, oldNode, newNode *v1.Node) {
	t.touch(newNode.Name)
	t.Cache.UpdateNode(logger, oldNode, newNode)
}

func (t *touched) RemoveNode(logger klog.Logger, node *v1.Node) error {
	t.touch(node.Name)
	return t.Cache.RemoveNode(logger, node)
}

// nodes follows the scheduler's snapshot: which node stands where, and which have changed since when.
type nodes struct {
	cache   *touched
	list    []fwk.NodeInfo // the snapshot's own list; a new one when nodes come or go
	version uint64         // of list
	moves   []move         // to the latest versions
	index   map[string]int32
	names   []string

	generation []int64  // of each NodeInfo when it was last seen
	changed    []uint64 // clock of the latest change of each node
	clock      uint64   // counts changes
	log        []int32  // the latest changes; the last one is that of clock

	lowest    []int64       // priority of each node's least important pod
	lowestOf  map[int64]int // nodes by lowest
	members   []bool        // the node has members of pod groups
	hosts     int           // nodes that have members
	images    []bool
	hasImages int // nodes that have images

	// Nominated pods, which a node must also bear that it may be given to a pod of no higher priority.
	nominations map[string]nomination
	nominees    map[types.UID]int32 // where each is nominated; nil when it must be found out
	moments     []int32             // nodes to which members of pod groups are nominated, see followNominated
	round       uint64              // of followNominated
	scribble    []byte

	scratch  []string
	overlook int // changes that shall go unnoticed

	guests     []guest
	guestCycle int64
}

// nobody is the priority of a pod on a node that has none, anybody that of one whose priority is not known here.
const (
	nobody  = int64(1) << 40
	anybody = -nobody
)

// follow brings n up to date with the snapshot's list. cycle is the number of the scheduling cycle.
func (n *nodes) follow(list []fwk.NodeInfo, cycle int64) {
	var all bool
	n.scratch, all = n.cache.take(n.scratch)
	if len(list) != len(n.list) || unsafe.SliceData(list) != unsafe.SliceData(n.list) {
		n.rebuild(list)
	}
	if all {
		for i := range n.list {
			n.look(int32(i))
		}
	}
	for _, name := range n.scratch {
		if i, ok := n.index[name]; ok {
			n.look(i)
		}
	}
	n.recall(cycle)
	if n.cache.remeasure() {
		for i := range n.list {
			n.measure(int32(i))
		}
	}
}

// guest is a node on which a member of a pod group may have been assumed in the snapshot only.
type guest struct {
	node int32
	pods int // there when the node was last looked at
}

// expect notes that a member of a pod group was given a node in a cycle. If upstream assumes it, the snapshot's
// NodeInfo changes without a new generation, and again when the group's pods are forgotten.
func (n *nodes) expect(i int, cycle int64) {
	n.guests = append(n.guests, guest{int32(i), len(n.list[i].GetPods())})
	n.guestCycle = cycle
}

// recall notes the nodes as changed on which members were assumed, or forgotten.
func (n *nodes) recall(cycle int64) {
	if cycle == n.guestCycle {
		for k := range n.guests {
			g := &n.guests[k]
			if pods := len(n.list[g.node].GetPods()); pods != g.pods {
				g.pods = pods
				n.change(g.node)
				n.measure(g.node)
			}
		}
		return
	}
	for _, g := range n.guests { // the cycle is over: they have been forgotten
		n.change(g.node)
		n.measure(g.node)
	}
	n.guests = n.guests[:0]
}

// move says where the nodes of a list stood in the list before it.
type move struct {
	version uint64  // of the new list
	from    []int32 // position in the old list, -1 for a node that is new
}

// movesKept is how many lists back a class can follow; one that was not used for longer starts anew.
const movesKept = 8

// rebuild takes over a new list, as the snapshot makes one when nodes come or go. What is known of the others stays.
func (n *nodes) rebuild(list []fwk.NodeInfo) {
	old := *n
	n.list, n.version = list, n.version+1
	n.index, n.names = make(map[string]int32, len(list)), make([]string, len(list))
	n.generation, n.changed = make([]int64, len(list)), make([]uint64, len(list))
	n.lowest, n.images, n.members = make([]int64, len(list)), make([]bool, len(list)), make([]bool, len(list))
	n.lowestOf, n.hasImages, n.hosts, n.log, n.nominees = map[int64]int{}, 0, 0, n.log[:0], nil
	n.clock++ // the log holds nothing from before
	m := move{n.version, make([]int32, len(list))}
	for i, info := range list {
		name := info.Node().Name
		n.index[name], n.names[i] = int32(i), name
		n.generation[i] = info.GetGeneration()
		n.lowest[i] = nobody
		n.lowestOf[nobody]++
		n.measure(int32(i))
		m.from[i] = -1
		if j, ok := old.index[name]; ok && old.list[j] == info {
			m.from[i], n.changed[i] = j, old.changed[j]
			if old.generation[j] == n.generation[i] {
				continue
			}
		}
		n.changed[i] = n.clock
	}
	for _, g := range old.guests { // what was said of these held for a moment only
		if i, ok := n.index[old.names[g.node]]; ok {
			n.changed[i] = n.clock
		}
	}
	n.guests = n.guests[:0]
	if n.moves = append(n.moves, m); len(n.moves) > movesKept {
		n.moves = n.moves[1:]
	}
}

// movesFrom returns the moves from a version of the list to the present one, false if they are not known any more.
func (n *nodes) movesFrom(version uint64) ([]move, bool) {
	for i := range n.moves {
		if n.moves[i].version == version+1 {
			return n.moves[i:], true
		}
	}
	return nil, false
}

// look notes a node as changed if it did.
func (n *nodes) look(i int32) {
	if g := n.list[i].GetGeneration(); g != n.generation[i] {
		n.generation[i] = g
		if n.overlook > 0 {
			n.overlook--
			return
		}
		n.change(i)
		n.measure(i)
	}
}

func (n *nodes) change(i int32) {
	n.clock++
	n.changed[i] = n.clock
	if len(n.log) >= 2*len(n.list)+64 {
		n.log = append(n.log[:0], n.log[len(n.log)/2:]...)
	}
	n.log = append(n.log, i)
}

// measure notes what the cycle asks of a node besides what plugins say.
func (n *nodes) measure(i int32) {
	lowest, members := nobody, false
	for _, p := range n.list[i].GetPods() {
		members = members || p.GetPod().Spec.SchedulingGroup != nil
		lowest = min(lowest, n.cache.priority(p.GetPod()))
	}
	if members != n.members[i] {
		n.members[i] = members
		if members {
			n.hosts++
		} else {
			n.hosts--
		}
	}
	if old := n.lowest[i]; old != lowest {
		if n.lowestOf[old]--; n.lowestOf[old] == 0 {
			delete(n.lowestOf, old)
		}
		n.lowest[i] = lowest
		n.lowestOf[lowest]++
	}
	if has := len(n.list[i].GetImageStates()) > 0; has != n.images[i] {
		n.images[i] = has
		if has {
			n.hasImages++
		} else {
			n.hasImages--
		}
	}
}

// leastPriority returns the lowest priority of a pod on any node, nobody if there is none.
func (n *nodes) leastPriority() int64 {
	least := nobody
	for p := range n.lowestOf {
		least = min(least, p)
	}
	return least
}

// since calls fn for every node that changed after clock t.
func (n *nodes) since(t uint64, fn func(i int32)) {
	behind := n.clock - t
	if behind > uint64(len(n.log)) || behind > uint64(len(n.list)/4+64) {
		for i, at := range n.changed {
			if at > t {
				fn(int32(i))
			}
		}
		return
	}
	for _, i := range n.log[uint64(len(n.log))-behind:] {
		fn(i)
	}
}

// nomination is who is nominated to a node.
type nomination struct {
	who   string // identities and generations of the pods, in their order
	round uint64 // in which it was seen last
}

// followNominated notes the nodes as changed whose nominated pods are others than when it was called last. generation
// returns a pod's. Upstream looks a nominated pod up in its queue, and takes one that it does not find there for a pod
// that asks for nothing. Members of a group are not there while their group is tried: what is said of their nodes holds
// for a moment only.
func (n *nodes) followNominated(h hidden, generation func(namespace, name string) int64) {
	n.moments = n.moments[:0]
	if len(n.nominations) == 0 && h.nominated.Len() == 0 {
		return
	}
	if n.nominations == nil {
		n.nominations = map[string]nomination{}
	}
	n.round++
	h.eachNominated(func(node string, pods []nominee) {
		b, member := n.scribble[:0], false
		for _, p := range pods {
			member = member || p.member
			b = append(append(b, p.uid...), '/')
			b = binary.LittleEndian.AppendUint64(b, uint64(generation(p.namespace, p.name)))
		}
		n.scribble = b
		if i, ok := n.index[node]; ok && member {
			n.moments = append(n.moments, i)
		}
		x := n.nominations[node]
		if x.who != string(b) {
			x.who = string(b)
			n.renominated(node)
		}
		x.round = n.round
		n.nominations[node] = x
	})
	for node, x := range n.nominations {
		if x.round != n.round {
			delete(n.nominations, node)
			n.renominated(node)
		}
	}
	if n.nominees == nil {
		n.nominees = map[types.UID]int32{}
		h.eachNominated(func(node string, pods []nominee) {
			for _, p := range pods {
				if i, ok := n.index[node]; ok {
					n.nominees[p.uid] = i
				}
			}
		})
	}
}

// momentary calls fn for the nodes of which what is said to a pod holds for this attempt only: the one where it is
// nominated itself, which does not count against it, and those of moments.
func (n *nodes) momentary(pod types.UID, fn func(i int32)) {
	if i, ok := n.nominees[pod]; ok {
		fn(i)
	}
	for _, i := range n.moments {
		fn(i)
	}
}

func (n *nodes) renominated(node string) {
	n.nominees = nil
	if i, ok := n.index[node]; ok {
		n.change(i)
	}
}
