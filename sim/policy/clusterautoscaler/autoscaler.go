package clusterautoscaler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// Group is a node group.
type Group struct {
	Name                       string // of the pool that its machines belong to
	InstanceType, CapacityType string
	Min, Max                   int
	// Template is a node of it whose devices are ready.
	Template *corev1.Node
	GPU      corev1.ResourceName // extended resource of its GPUs; "" = none
	Price    float64             // USD per hour of a machine; 0 = not known
}

// Params is what the model needs. Everything is called on the driver goroutine.
type Params struct {
	Engine *engine.Engine
	Store  *kube.Store
	Cloud  cloud.Cloud
	Flags  plan.ClusterAutoscaler
	Groups []Group // in the plan's order
	Random *rng.Source
	Record func(journal.Body)
	// Promised reports whether the cloud will have one more machine of a group: now, or when a stock-out ends. It does not
	// guide the autoscaler, only whether a run that waits for it goes on.
	Promised func(group string) bool
	Fail     func(error) // ends the run
}

// By is how the journal names the autoscaler.
const By = "ClusterAutoscaler/cluster-autoscaler"

// Constants of the real one that are no flags of the plan.
const (
	resetBackoff   = 3 * time.Hour    // --node-group-backoff-reset-timeout
	deleteDelay    = 5 * time.Second  // --node-delete-delay-after-taint
	maxPerScaleUp  = 1000             // --max-nodes-per-scaleup
	maxDrains      = 1                // --max-drain-parallelism
	evictionRetry  = 10 * time.Second // EvictionRetryTime
	evictionTime   = 2 * time.Minute  // MaxPodEvictionTime
	evictionBuffer = 30 * time.Second // PodEvictionHeadroom
	drainPoll      = 5 * time.Second  // between looks at pods that are to go
	expendable     = -10              // --expendable-pods-priority-cutoff
)

// keepsAlive is after how many failures in a row, of machines that came too late, a group no longer keeps a run alive
// that has no end of its own: the real autoscaler would try for ever.
const keepsAlive = 5

// Autoscaler is the running model.
type Autoscaler struct {
	p      Params
	groups []*group
	random *rand.Rand
	told   map[types.UID]string // what was said of a pod last
	class  map[types.UID]string // of pods, see classOf
	known  map[string]bool      // machines that have become ready, by ID
	late   map[string]bool      // machines that were too late, by ID

	lastAdd, lastDelete, lastFailure units.Time
	unneeded                         map[string]units.Time // by node: since when
	deleting                         map[string]bool       // by node; true = it is drained
	stuck                            map[string]units.Time // nodes whose pods found no place, until when
	serial                           map[string]int        // by group
	priorities                       string                // text of the ConfigMap that was found bad
	version                          uint64                // of the API at the last scan
	quiet                            bool                  // the last scan left nothing to wait for
}

// group is a node group and what happened to it.
type group struct {
	Group
	backoff  units.Duration
	until    units.Time // backed off until then
	failed   units.Time // the latest failure
	failures int        // in a row, without those for want of machines
	machines []cloud.Machine
	upcoming int // machines that are expected
}

// size is the group's target size.
func (g *group) size() int { return len(g.machines) }

// Start begins to scan.
func Start(p Params) *Autoscaler {
	const never = units.Time(-1 << 50) // long ago, but no overflow
	a := &Autoscaler{p: p, random: p.Random.Stream("cluster-autoscaler/expander"), told: map[types.UID]string{},
		class: map[types.UID]string{}, known: map[string]bool{}, late: map[string]bool{}, lastAdd: never,
		lastDelete: never, lastFailure: never, unneeded: map[string]units.Time{}, deleting: map[string]bool{},
		stuck: map[string]units.Time{}, serial: map[string]int{}}
	for _, g := range p.Groups {
		a.groups = append(a.groups, &group{Group: g, failed: never})
	}
	a.next(false)
	return a
}

// next schedules the next scan. Only one that may help a pod keeps the run alive.
func (a *Autoscaler) next(hope bool) {
	e := a.p.Engine
	at, schedule := e.Now().Add(a.p.Flags.ScanInterval), e.Background
	if hope {
		schedule = e.At
	}
	schedule(at, engine.PhaseDecide, "cluster-autoscaler", func() {
		hope, err := a.scan()
		if err != nil {
			a.p.Fail(fmt.Errorf("the cluster autoscaler: %w", err))
			return
		}
		a.next(hope)
	})
}

// scan is one iteration of the main loop. It reports whether there are pods that a later scan may help.
func (a *Autoscaler) scan() (hope bool, err error) {
	if version := a.p.Store.ResourceVersion(); a.quiet && version == a.version && !a.recheck() {
		return false, nil
	}
	w, err := a.look()
	if err != nil {
		return false, err
	}
	a.watchMachines(w)
	added, hope := a.scaleUp(w)
	if !added && a.p.Flags.ScaleDown {
		a.scaleDown(w)
	}
	a.version = a.p.Store.ResourceVersion()
	a.quiet = !added && !w.young && len(w.pending) == 0 && len(a.unneeded) == 0 && len(a.deleting) == 0 &&
		!slices.ContainsFunc(a.groups, func(g *group) bool { return g.upcoming > 0 })
	return hope, nil
}

// recheck reports whether it is time to look again at a node whose pods could not be moved.
func (a *Autoscaler) recheck() bool {
	now := a.p.Engine.Now()
	for _, until := range a.stuck { // in no order
		if until <= now {
			return true
		}
	}
	return false
}

// watchMachines counts what is on its way, and gives up what is too late.
func (a *Autoscaler) watchMachines(w *world) {
	now := a.p.Engine.Now()
	for _, g := range a.groups {
		g.machines, g.upcoming = nil, 0
	}
	alive := map[string]bool{}
	for _, m := range a.p.Cloud.Machines() {
		g := a.group(m.Pool)
		if g == nil || m.State == cloud.Terminating {
			continue
		}
		alive[m.ID] = true
		age := now.Sub(m.Ordered)
		switch {
		case a.ready(w, g, m):
			if !a.known[m.ID] {
				a.known[m.ID] = true
				g.backoff, g.until, g.failures = 0, 0, 0
			}
		case a.known[m.ID]: // it was ready once: an unready node
		case age < a.p.Flags.MaxProvision:
			g.upcoming++
		case m.State == cloud.Pending:
			a.fail(g, now)
			g.failures++
			reason := fmt.Sprintf("not registered within %s", a.p.Flags.MaxProvision)
			if err := a.p.Cloud.Terminate(m.ID, reason); err != nil {
				a.p.Fail(err)
			}
			continue
		case !a.late[m.ID]: // registered, without its GPUs: scale-down of unready nodes ends it
			a.late[m.ID] = true
			a.fail(g, now)
			g.failures++
		}
		g.machines = append(g.machines, m)
	}
	for _, list := range []map[string]bool{a.known, a.late} {
		for id := range list {
			if !alive[id] {
				delete(list, id)
			}
		}
	}
}

// ready reports whether a machine's node is there, ready, and offers its GPUs.
func (a *Autoscaler) ready(w *world, g *group, m cloud.Machine) bool {
	n := w.byName[m.Node]
	return n != nil && ready(n.node, g.GPU)
}

// group returns the group of a pool, or nil.
func (a *Autoscaler) group(name string) *group {
	for _, g := range a.groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// fail backs a group off.
func (a *Autoscaler) fail(g *group, now units.Time) {
	if now.Sub(g.failed) > resetBackoff {
		g.backoff = 0
	}
	g.backoff = min(max(2*g.backoff, a.p.Flags.BackoffInitial), a.p.Flags.BackoffMax)
	g.until, g.failed = now.Add(g.backoff), now
}
