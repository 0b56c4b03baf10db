package kwok

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"

	"orrery/sim/engine"
	"orrery/sim/fleet"
	"orrery/sim/rng"
	"orrery/sim/units"
)

// Clock is the part of engine.Engine the controller needs.
type Clock interface {
	Now() units.Time
	// At runs fn at t, which is not in the past, in the given phase; name is for diagnostics.
	At(t units.Time, p engine.Phase, name string, fn func()) *engine.Event
	// Cancel withdraws an event; one that is nil, done or cancelled is ignored.
	Cancel(ev *engine.Event)
}

// API is the part of the in-memory Kubernetes API the controller writes to. It is called on the driver goroutine, only
// from events of Clock, never from inside OnCommit; a call may call OnCommit before it returns. Objects handed over
// and returned are shared and must not be changed afterwards. A write that changes nothing must commit nothing.
type API interface {
	// Update replaces the object, or with sub "status" its status, if the resourceVersion is current. It may take obj
	// over.
	Update(obj runtime.Object, sub string) (runtime.Object, error)
	// Patch applies a JSON, merge or strategic merge patch to the object or its subresource.
	Patch(gvr schema.GroupVersionResource, ns, name string, pt types.PatchType, data []byte, sub string,
		o metav1.PatchOptions) (runtime.Object, error)
	// Delete begins or completes deletion, as grace period and finalizers demand.
	Delete(gvr schema.GroupVersionResource, ns, name string, o *metav1.DeleteOptions) error
}

// Params configures a Controller. Clock, API, Stages, Fleet and Random are required.
type Params struct {
	Clock  Clock
	API    API
	Stages *Set
	Fleet  *fleet.Fleet // nodes are added and removed by their maker, before a pod can be bound to them
	Random *rng.Source
	Epoch  time.Time // what objects carry at units.Time(0)
	// Hidden returns annotations that stages see on an object and nobody else, e.g. how long the pod's work takes. It
	// is asked again on every change of the object and by Reevaluate; the same object must get the same answer.
	// nil = none.
	//
	// A duration counts from when the stage began to wait (for pod-complete: from when the pod runs), an RFC 3339
	// instant stands for itself.
	Hidden func(obj runtime.Object) map[string]string
	// StopTime is how long containers of a running pod take to stop once the pod is deleted; the grace period cuts it
	// short. nil = as the pod-delete stage says. It is given to the stage as hidden annotations.
	StopTime *units.Duration
	// KWOKTiming follows KWOK v0.8.0's controllers to the letter: see the package comment.
	KWOKTiming bool
	// General evaluates the shipped stages through jq and templates, too.
	General bool
	// Claims are those of dynamic resource allocation; nil = there is none.
	Claims *Claims
	Hooks  Hooks
}

// Controller moves objects through their stages and is every fake node's kubelet.
type Controller struct {
	p       Params
	objects map[objectKey]*object
	nodes   map[string]*nodeState
	waiting map[string][]*object // pods bound to nodes that do not exist yet, by node name
	// unclaimed are pods bound to nodes with claims that are not theirs yet; nobody but a user can bind such a pod.
	unclaimed map[*object]bool
	holds     map[objectKey]bool // pods whose start is not left to stages
	addr      addresses
	render    *renderer
	playing   string // name of the object whose stage is being played

	requests map[*corev1.Container]amounts // of pods, by their first container; never changed
}

type objectKey struct {
	kind     reflect.Type
	ns, name string
}

// object is what is known about one object that has stages.
type object struct {
	key     objectKey
	cycle   *cycle // nil: no stages for this kind
	obj     runtime.Object
	pending *pending
	draws   int        // stages that began to wait, for naming random streams
	pod     *podState  // pods bound to a managed node
	node    *nodeState // managed nodes
}

// pending is a stage that waits to be played.
type pending struct {
	stage   *stage
	n       int        // which one of the object's, from 0
	since   units.Time // when it began to wait
	u       float64    // the delay's draw; -1 = not drawn yet
	due     units.Time
	ev      *engine.Event
	obj     runtime.Object // as it was when the stage was chosen
	step    int            // first step not done yet
	retries int
}

// New returns a controller that knows no objects yet.
func New(p Params) *Controller {
	c := &Controller{p: p, objects: map[objectKey]*object{}, nodes: map[string]*nodeState{},
		waiting: map[string][]*object{}, unclaimed: map[*object]bool{}, holds: map[objectKey]bool{}, addr: newAddresses()}
	c.render = newRenderer(c.funcs())
	return c
}

// OnCommit tells the controller of a committed write. It must be called for every write to pods, nodes and any kind
// that stages refer to, in the order of commits. With the verb "delete" the object is gone, and new is its last state
// or nil (then old is). It calls hooks and schedules events, and neither reads nor writes the API.
func (c *Controller) OnCommit(verb string, old, new runtime.Object) {
	obj, gone := new, verb == "delete" || new == nil
	if obj == nil {
		obj = old
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		c.podCommitted(o, gone)
		return
	case *corev1.Node:
		c.nodeCommitted(o, gone)
		return
	case *resourcev1.ResourceClaim:
		c.claimCommitted(o)
	}
	t := reflect.TypeOf(obj)
	cyc := c.p.Stages.cycle[t]
	if cyc == nil {
		return
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		c.warn("kwok-object", "a %T has no metadata: %v", obj, err)
		return
	}
	o := c.object(objectKey{t, m.GetNamespace(), m.GetName()})
	o.obj = obj
	if gone {
		c.forget(o)
		return
	}
	c.evaluate(o)
}

// Reevaluate looks at an object's pending stage again because Hidden has new answers for it: the stage keeps its
// draw and the moment since when it waits, and moves to its new due time.
func (c *Controller) Reevaluate(obj runtime.Object) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	if o, ok := c.objects[objectKey{reflect.TypeOf(obj), m.GetNamespace(), m.GetName()}]; ok {
		c.evaluate(o)
	}
}

// object returns the state of an object, a new one the first time.
func (c *Controller) object(k objectKey) *object {
	o := c.objects[k]
	if o == nil {
		o = &object{key: k, cycle: c.p.Stages.cycle[k.kind]}
		c.objects[k] = o
	}
	return o
}

func (c *Controller) forget(o *object) {
	c.drop(o)
	delete(c.objects, o.key)
	delete(c.unclaimed, o)
	delete(c.holds, o.key)
}

// drop withdraws the pending stage.
func (c *Controller) drop(o *object) {
	if o.pending != nil {
		c.p.Clock.Cancel(o.pending.ev)
		o.pending = nil
	}
}

// managed reports whether stages apply to the object at all.
func (o *object) managed() bool {
	switch o.obj.(type) {
	case *corev1.Pod:
		return o.pod != nil && !o.pod.rejected
	case *corev1.Node:
		return o.node != nil
	}
	return true
}

// evaluate chooses the object's next stage and when it is due.
func (c *Controller) evaluate(o *object) {
	if o.cycle == nil || !o.managed() || c.held(o) {
		return
	}
	v, err := c.view(o, o.obj)
	if err != nil {
		c.warn("kwok-object", "%s: %v", o.key, err)
		return
	}
	list, err := o.cycle.candidates(v)
	if err != nil {
		c.warn("kwok-stage", "choosing a stage for %s: %v", o.key, err)
		return
	}
	if len(list) == 0 {
		if !c.p.KWOKTiming {
			c.drop(o)
		}
		return
	}
	p := o.pending
	if p != nil && c.p.KWOKTiming && version(p.obj) == version(o.obj) {
		return
	}
	if p == nil || c.p.KWOKTiming || !slices.Contains(list, p.stage) {
		s, err := pick(list, v, func(n int64) int64 { return c.stream(o, "weight", o.draws).Int64N(n) })
		if err != nil {
			c.warn("kwok-stage", "choosing a stage for %s: %v", o.key, err)
			return
		}
		c.drop(o)
		p = &pending{stage: s, n: o.draws, since: c.p.Clock.Now(), u: -1}
		o.draws++
		o.pending = p
	}
	p.obj = o.obj
	c.schedule(o, v)
}

// version returns the object's resourceVersion.
func version(obj runtime.Object) string {
	m, err := meta.Accessor(obj)
	if err != nil {
		return ""
	}
	return m.GetResourceVersion()
}

// schedule computes when the pending stage is due and sets its event.
func (c *Controller) schedule(o *object, v *view) {
	p := o.pending
	v.since = c.instant(p.since)
	d, err := p.stage.delay(v)
	if err != nil { // KWOK plays the stage at once
		c.warn("kwok-stage", "%s: %v", o.key, err)
	}
	if p.u < 0 && d.random() {
		p.u = c.stream(o, p.stage.name, p.n).Float64()
	}
	due := max(p.since.Add(d.draw(p.u)).RoundUp(), c.p.Clock.Now())
	if p.ev != nil && p.due == due {
		return
	}
	c.p.Clock.Cancel(p.ev)
	p.due = due
	p.ev = c.p.Clock.At(due, p.stage.phase(o), p.stage.name, func() { c.play(o, p) })
}

// phase is when in an instant a stage is played: what ends before what begins.
func (s *stage) phase(o *object) engine.Phase {
	if pod, ok := o.obj.(*corev1.Pod); ok && pod.Status.Phase == corev1.PodPending && pod.DeletionTimestamp == nil {
		return engine.PhaseStart
	}
	return engine.PhaseRelease
}

// stream is the random stream of one draw. It depends on the object and on how many stages it has seen, not on other
// objects.
func (c *Controller) stream(o *object, what string, n int) interface {
	Int64N(int64) int64
	Float64() float64
} {
	return c.p.Random.Stream("kwok/" + o.key.String() + "/" + what + "/" + strconv.Itoa(n))
}

// String returns kind, namespace and name.
func (k objectKey) String() string {
	return cmp.Or(k.kind.Elem().Name(), "object") + "/" + k.ns + "/" + k.name
}

// view returns the object with its hidden annotations.
func (c *Controller) view(o *object, obj runtime.Object) (*view, error) {
	var hidden map[string]string
	if c.p.Hidden != nil {
		hidden = c.p.Hidden(obj)
	}
	if pod, ok := obj.(*corev1.Pod); ok && c.p.StopTime != nil && pod.DeletionTimestamp != nil {
		hidden = stopAnnotations(pod, *c.p.StopTime, hidden)
	}
	v, err := o.cycle.view(obj, hidden)
	if err != nil {
		return nil, err
	}
	v.general = c.p.General
	return v, nil
}

// play does the steps of a stage whose time has come.
func (c *Controller) play(o *object, p *pending) {
	if o.pending != p {
		return
	}
	obj := o.obj
	if c.p.KWOKTiming {
		obj = p.obj
	}
	v, err := c.view(o, obj)
	if err != nil {
		c.warn("kwok-object", "%s: %v", o.key, err)
		return
	}
	o.pending = nil // the steps commit, and commits come back through OnCommit
	c.playing = o.key.name
	var result runtime.Object
	if p.stage.native != nil && !v.general {
		err = p.stage.native.play(c, v)
	} else {
		result, err = c.steps(o, p, v)
	}
	switch {
	case err != nil && retriable(err):
		c.retry(o, p)
	case err != nil && !apierrors.IsNotFound(err):
		c.warn("kwok-stage", "stage %s of %s: %v", p.stage.name, o.key, err)
	case err == nil && p.stage.immediate && result != nil && c.objects[o.key] == o:
		o.obj = result
		c.evaluate(o)
	}
}

// steps does the steps from p.step on by KWOK's own code; it leaves the first step that failed in p.step and returns
// the object after the last patch.
func (c *Controller) steps(o *object, p *pending, v *view) (result runtime.Object, err error) {
	obj := v.merged()
	ns, name := v.meta.GetNamespace(), v.meta.GetName()
	defer func() { c.render.object, c.render.tree = nil, nil }()
	remain, err := p.stage.upstream.DoSteps(p.step, v.meta.GetFinalizers(), obj, c.render,
		func(e *internalversion.StageEvent) error {
			if c.p.Hooks.Event != nil {
				c.p.Hooks.Event(v.object, e.Type, e.Reason, e.Message)
			}
			return nil
		},
		func() error {
			result = nil
			return c.p.API.Delete(o.cycle.gvr, ns, name, metav1.NewDeleteOptions(0))
		},
		func(patch *lifecycle.Patch) (err error) {
			result, err = c.p.API.Patch(o.cycle.gvr, ns, name, patch.Type, patch.Data, patch.Subresource,
				metav1.PatchOptions{})
			return err
		},
		func(*lifecycle.Apply) error { return fmt.Errorf("apply is not supported") }, // refused by Load
	)
	p.step = max(remain, 0)
	return result, err
}

// retriable are the errors after which KWOK tries again (controllers/utils.go, shouldRetry).
func retriable(err error) bool {
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsTooManyRequests(err)
}

// retry plays the stage again after KWOK's back-off (1 s, doubled each time, at most 32 min), less its jitter, unless
// a commit of the failed attempt has chosen another stage.
func (c *Controller) retry(o *object, p *pending) {
	if o.pending != nil || c.objects[o.key] != o {
		return
	}
	d := units.Duration(min(float64(time.Second)*math.Pow(2, float64(p.retries)), float64(32*time.Minute)))
	p.retries++
	o.pending = p
	p.due = c.p.Clock.Now().Add(d).RoundUp()
	p.ev = c.p.Clock.At(p.due, p.stage.phase(o), p.stage.name, func() { c.play(o, p) })
}

// instant is t as objects carry it.
func (c *Controller) instant(t units.Time) time.Time { return c.p.Epoch.Add(units.Duration(t)).UTC() }

// now is the current instant as objects carry it.
func (c *Controller) now() time.Time { return c.instant(c.p.Clock.Now()) }

func (c *Controller) warn(code, format string, args ...any) {
	if c.p.Hooks.Warn != nil {
		c.p.Hooks.Warn(code, fmt.Sprintf(format, args...))
	}
}
