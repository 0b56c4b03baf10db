package sim

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kwok"
	"orrery/sim/model/startup"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// starts brings served pods from their binding to readiness, stage by stage. What pods download at one time shares the
// links to it.
type starts struct {
	c        *cluster
	moving   startup.Transfers
	registry startup.Link
	object   startup.Link
	nodes    map[string]*store
	byPod    map[string]*start
	seen     map[string]int // starts of a pod of that name
	done     map[*startup.Transfer]func()
	timer    *engine.Event
}

// store is what a node has on its disk, and the links to it.
type store struct {
	network, disk startup.Link
	all           bool            // every image
	images        map[string]bool // and weights, and what was compiled, by their keys
	pulls         map[string]*pull
}

// pull is a download of an image to a node, for all of the node's pods that need it.
type pull struct {
	since    units.Time
	transfer *startup.Transfer // nil while it unpacks
	unpack   *engine.Event
	users    []*start // in the order in which they came
}

// start is a pod on its way to readiness.
type start struct {
	pod   *corev1.Pod
	key   string
	node  *store
	spec  plan.ReplicaStart
	draw  *rand.Rand
	ready func()

	since    units.Time // of the stage
	loaded   float64    // GiB of weights in the memory of its devices
	timer    *engine.Event
	transfer *startup.Transfer
	pulling  *pull
	waits    bool // for pulling
}

func newStarts(c *cluster) *starts {
	s := &starts{c: c, nodes: map[string]*store{}, byPod: map[string]*start{}, seen: map[string]int{},
		done: map[*startup.Transfer]func(){}}
	s.registry, s.object = s.moving.Link(c.plan.Registry.ImageGBs), s.moving.Link(c.plan.Registry.ObjectGBs)
	for _, n := range c.plan.Nodes {
		s.store(n.Name).all = c.plan.Registry.ImagesCached
	}
	return s
}

// store returns what a node has.
func (s *starts) store(node string) *store {
	n := s.nodes[node]
	if n == nil {
		r := s.c.plan.Registry
		n = &store{network: s.moving.Link(r.NodeGBs), disk: s.moving.Link(r.NodeDiskGBs), images: map[string]bool{},
			pulls: map[string]*pull{}}
		s.nodes[node] = n
	}
	return n
}

// beginStart takes a served pod, which has just been bound, through its start: its containers run when the image is
// there, it is Ready when the server answers, and ready is called right after that. A pod that is deleted, or whose
// node goes, is never ready. It only schedules events; it may be called while a commit is told.
func (c *cluster) beginStart(pod *corev1.Pod, spec plan.ReplicaStart, ready func()) {
	s, key := c.starts, podKey(pod)
	s.cancel(key)
	c.kubelet.Hold(pod.Namespace, pod.Name)
	s.seen[key]++
	x := &start{pod: pod, key: key, node: s.store(pod.Spec.NodeName), spec: spec, ready: ready, since: c.engine.Now(),
		draw: c.streams.Stream("start/" + key + "/" + strconv.Itoa(s.seen[key]))}
	s.byPod[key] = x
	x.timer = c.engine.After(0, engine.PhaseStart, "sandbox of "+key, func() {
		prepared := max(c.kubelet.Prepared(pod.Namespace, pod.Name), c.engine.Now())
		s.wait(x, prepared.Sub(c.engine.Now())+s.span(x, spec.Sandbox), "sandbox of ", func() {
			s.end(x, journal.StageSandbox, "")
			s.image(x)
		})
	})
}

// span draws a stage's length.
func (s *starts) span(x *start, of plan.Spread) units.Duration {
	return kwok.Triangular(of, x.draw.Float64())
}

// wait schedules what comes after d.
func (s *starts) wait(x *start, d units.Duration, what string, next func()) {
	x.timer = s.c.engine.After(d, engine.PhaseStart, what+x.key, next)
}

// end records that a stage has ended; the next begins.
func (s *starts) end(x *start, stage, detail string) {
	now := s.c.engine.Now()
	s.c.record(journal.PodStage{Pod: x.key, Stage: stage, Took: now.Sub(x.since), Detail: detail})
	x.since = now
}

// image gets the pod's image.
func (s *starts) image(x *start) {
	n, spec := x.node, x.spec
	if n.all || n.images[spec.Image] || spec.ImageGiB <= 0 {
		s.end(x, journal.StageImage, "cached on the node")
		s.run(x)
		return
	}
	p := n.pulls[spec.Image]
	shared := p != nil
	if !shared {
		p = s.pull(x)
	}
	p.users = append(p.users, x)
	x.pulling, x.waits = p, !spec.LazyPull
	if spec.LazyPull {
		s.wait(x, s.span(x, spec.LazyStart), "lazy start of ", func() {
			s.end(x, journal.StageImage, "started before the image was there")
			s.run(x)
		})
	}
}

// pull begins the download of an image.
func (s *starts) pull(x *start) *pull {
	n, name := x.node, x.spec.Image
	p := &pull{since: s.c.engine.Now()}
	n.pulls[name] = p
	unpack := units.Duration(float64(s.span(x, x.spec.Unpack)) * x.spec.ImageGiB)
	p.transfer = s.move(x.spec.ImageGiB, 0, func() {
		p.transfer = nil
		p.unpack = s.c.engine.After(unpack, engine.PhaseStart, "unpack "+name, func() {
			delete(n.pulls, name)
			n.images[name] = true
			for _, u := range slices.Clone(p.users) {
				u.pulling = nil
				if !u.waits {
					continue
				}
				detail := fmt.Sprintf("%.3g GiB", u.spec.ImageGiB)
				if u.since > p.since {
					detail += ", begun for another pod"
				}
				s.end(u, journal.StageImage, detail)
				s.run(u)
			}
		})
	}, s.registry, n.network)
	return p
}

// move begins a transfer.
func (s *starts) move(gib, limit float64, done func(), links ...startup.Link) *startup.Transfer {
	t := s.moving.Begin(s.c.engine.Now(), float64(gib*startup.GiB), limit, links...)
	s.done[t] = done
	s.schedule()
	return t
}

// stop breaks a transfer off.
func (s *starts) stop(t *startup.Transfer) {
	if t != nil {
		s.moving.End(s.c.engine.Now(), t)
		delete(s.done, t)
		s.schedule()
	}
}

// schedule sets the timer to the end of the next transfer.
func (s *starts) schedule() {
	t, at := s.moving.Next()
	if t != nil && s.timer.Pending() && s.timer.At() == at {
		return
	}
	s.c.engine.Cancel(s.timer)
	if t == nil {
		return
	}
	s.timer = s.c.engine.At(max(at, s.c.engine.Now()), engine.PhaseRelease, "transfer", func() {
		t, _ := s.moving.Next()
		done := s.done[t]
		s.stop(t)
		done()
	})
}

// run starts the pod's containers and loads what the server needs.
func (s *starts) run(x *start) {
	if !s.told(x, s.c.kubelet.Start(x.pod.Namespace, x.pod.Name)) {
		return
	}
	spec := x.spec
	if spec.Snapshot {
		s.load(x, "snapshot/"+serverKey(&spec), spec.SnapshotGiB, spec.RestoreGBs, func(detail string) {
			s.wait(x, s.span(x, spec.Restore), "restore of ", func() {
				s.end(x, journal.StageSnapshot, detail)
				x.loaded = spec.WeightsGiB
				s.join(x)
			})
		})
		return
	}
	if spec.WeightsGiB <= 0 {
		s.engine(x)
		return
	}
	s.load(x, "weights/"+spec.WeightsKey, spec.WeightsGiB, spec.LoadGBs, func(detail string) {
		s.end(x, journal.StageWeights, detail)
		x.loaded = spec.WeightsGiB
		s.engine(x)
	})
}

// serverKey names what is kept of a server that has started.
func serverKey(spec *plan.ReplicaStart) string {
	return cmp.Or(spec.ServerKey, spec.WeightsKey, spec.Image)
}

// load reads weights or a snapshot: from the node's disk when they are kept there, else from the object store.
func (s *starts) load(x *start, key string, gib, limit float64, next func(detail string)) {
	n := x.node
	links, from := []startup.Link{s.object, n.network}, "the object store"
	if x.spec.KeepWeights && n.images[key] {
		links, from = []startup.Link{n.disk}, "the node's disk"
	}
	began := s.c.engine.Now()
	x.transfer = s.move(gib, limit, func() {
		x.transfer = nil
		if x.spec.KeepWeights {
			n.images[key] = true
		}
		detail := fmt.Sprintf("%.4g GiB from %s", gib, from)
		if took := s.c.engine.Now().Sub(began).Seconds(); took > 0 {
			detail += fmt.Sprintf(" at %.3g GB/s", float64(gib*startup.GiB)/1e9/took)
		}
		next(detail)
	}, links...)
}

// engine initialises the server.
func (s *starts) engine(x *start) {
	takes, detail, key := x.spec.Engine, "", "compiled/"+serverKey(&x.spec)
	if x.spec.KeepCompiled && x.node.images[key] {
		takes, detail = x.spec.Compiled, "compiled before on the node"
	}
	s.wait(x, s.span(x, takes), "engine of ", func() {
		if x.spec.KeepCompiled {
			x.node.images[key] = true
		}
		s.end(x, journal.StageEngine, detail)
		s.join(x)
	})
}

// join has the ranks of a replica of several pods find each other.
func (s *starts) join(x *start) {
	if x.spec.Join == (plan.Spread{}) {
		s.finish(x)
		return
	}
	s.wait(x, s.span(x, x.spec.Join), "join of ", func() {
		s.end(x, journal.StageJoin, "")
		s.finish(x)
	})
}

// finish makes the pod ready.
func (s *starts) finish(x *start) {
	if s.told(x, s.c.kubelet.Ready(x.pod.Namespace, x.pod.Name)) {
		delete(s.byPod, x.key)
		x.ready()
	}
}

// told reports whether the API has taken a pod's new status. If not, the pod is not what it was; its start is over.
func (s *starts) told(x *start, err error) bool {
	if err == nil {
		return s.byPod[x.key] == x
	}
	s.cancel(x.key)
	if !apierrors.IsNotFound(err) {
		s.c.upstream.add("cold-start", err.Error())
	}
	return false
}

// loaded returns what a pod on its way to readiness has brought into the memory of its devices, GiB. A snapshot gets
// there all at once.
func (s *starts) loaded(key string) float64 {
	x := s.byPod[key]
	switch {
	case x == nil:
		return 0
	case x.transfer != nil && !x.spec.Snapshot:
		return x.spec.WeightsGiB - s.moving.Left(s.c.engine.Now(), x.transfer)/startup.GiB
	}
	return x.loaded
}

// cancel breaks off the start of a pod, if it has one, and frees the links.
func (s *starts) cancel(key string) {
	x := s.byPod[key]
	if x == nil {
		return
	}
	delete(s.byPod, key)
	s.c.engine.Cancel(x.timer)
	s.stop(x.transfer)
	s.leavePull(x)
}

// leavePull ends a pull that nobody needs any more.
func (s *starts) leavePull(x *start) {
	p := x.pulling
	if p == nil {
		return
	}
	p.users = slices.DeleteFunc(p.users, func(u *start) bool { return u == x })
	if len(p.users) == 0 {
		s.c.engine.Cancel(p.unpack)
		s.stop(p.transfer)
		delete(x.node.pulls, x.spec.Image)
	}
}

// forget drops what is known of a node that is gone; its pods are gone, too.
func (s *starts) forget(node string) {
	n := s.nodes[node]
	if n == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(n.pulls)) { // of pods that run from a lazily pulled image
		s.c.engine.Cancel(n.pulls[name].unpack)
		s.stop(n.pulls[name].transfer)
	}
	delete(s.nodes, node)
}
