package crt

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"orrery/sim/engine"
	"orrery/sim/kube"
	"orrery/sim/units"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a store, an engine and a manager over them.
type world struct {
	*engine.Engine
	*kube.Store
	m     *Manager
	clock *Clock
	log   []string // of the API's writes
	// changed is when something was written last that pollers look at.
	changed units.Time
	event   []string
}

func (w *world) gate(call kube.Call, fn func()) { w.Call(call.String(), 10*time.Millisecond, fn) }

// play runs setup and then the engine until until.
func play(t *testing.T, until units.Time, setup func(*world) error) *world {
	t.Helper()
	w := &world{}
	err := engine.Bubble(engine.Watchdog{}, func() error {
		var err error
		if w.Engine, err = engine.New(engine.Params{Epoch: epoch}, nil); err != nil {
			return err
		}
		if w.Store, err = kube.New(kube.Options{Now: w.Engine.Clock, OnCommit: func(c kube.Commit) {
			m := c.New.(metav1.Object)
			w.log = append(w.log, fmt.Sprintf("%s %s %s/%s %v", w.Engine.Now(), c.Verb, c.GVR.Resource, m.GetName(),
				m.GetLabels()))
		}}); err != nil {
			return err
		}
		w.log = nil
		cfg := w.RESTConfig(w.gate)
		cs, err := kubernetes.NewForConfig(cfg)
		if err != nil {
			return err
		}
		f := w.InformerFactory(cs, kube.AllPods(), kube.Deliver(func(fn func()) {
			w.After(0, engine.PhaseObserve, "watch", fn)
		}))
		w.clock = NewClock(w.Engine)
		w.m, err = New(Params{Name: "test", Engine: w.Engine, Client: cfg, Mapper: w.RESTMapper(), Scheme: clientgoscheme.Scheme,
			Informer: func(gvr schema.GroupVersionResource) (toolscache.SharedIndexInformer, error) {
				g, err := f.ForResource(gvr)
				if err != nil {
					return nil, err
				}
				return g.Informer(), nil
			},
			Warm:       []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}},
			Event:      func(e Event) { w.event = append(w.event, e.Reason+": "+e.Message) },
			Background: func(_ string, _ units.Duration, failed bool) bool { return !failed },
			Still: func(name string, since units.Time) bool {
				return name == "poller" && since >= w.changed
			},
		})
		if err != nil {
			return err
		}
		if err := setup(w); err != nil {
			return err
		}
		w.m.Begin()
		_, err = w.Engine.Run(until)
		w.m.Close()
		w.Engine.Drain()
		return err
	})
	if err == nil {
		err = w.m.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// copier makes three Secrets for each ConfigMap, all at once, looks again every minute, and sleeps meanwhile.
type copier struct{ w *world }

func (c copier) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	var cm corev1.ConfigMap
	if err := c.w.m.GetClient().Get(ctx, r.NamespacedName, &cm); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	var have corev1.SecretList
	if err := c.w.m.GetClient().List(ctx, &have, client.MatchingLabels{"of": cm.Name}); err != nil {
		return reconcile.Result{}, err
	}
	if len(have.Items) > 0 {
		return reconcile.Result{RequeueAfter: time.Minute}, nil
	}
	done := make(chan error)
	for i := range 3 {
		go func() {
			done <- c.w.m.GetClient().Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default",
				GenerateName: cm.Name + "-", Labels: map[string]string{"of": cm.Name, "part": fmt.Sprint(i)}}})
		}()
	}
	var err error
	for range 3 {
		if e := <-done; e != nil {
			err = e
		}
	}
	c.w.m.GetEventRecorderFor("copier").Event(&cm, "Normal", "Copied", cm.Name)
	c.w.clock.Sleep(time.Second)
	return reconcile.Result{RequeueAfter: time.Minute}, err
}

func copies(w *world) error {
	for _, name := range []string{"c", "a", "b"} {
		if _, err := w.Store.Create(configMap(name)); err != nil {
			return err
		}
	}
	w.At(units.Time(90*time.Second), engine.PhaseArrive, "create", func() { _, _ = w.Store.Create(configMap("d")) })
	return ctrl.NewControllerManagedBy(w.m).Named("copier").For(&corev1.ConfigMap{}).Owns(&corev1.Secret{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: 8}).Complete(copier{w})
}

// TestRepeats runs a controller with concurrent reconciles and concurrent writes at several settings of Go's scheduler.
func TestRepeats(t *testing.T) {
	var want string
	for _, procs := range []int{1, 2, 8, 1, 2, 8} {
		old := runtime.GOMAXPROCS(procs)
		w := play(t, units.Time(10*time.Minute), copies)
		runtime.GOMAXPROCS(old)
		got := strings.Join(w.log, "\n") + "\n" + strings.Join(w.event, "\n")
		if len(w.event) != 4 || strings.Count(got, "create secrets/") != 12 {
			t.Fatalf("log:\n%s", got)
		}
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("GOMAXPROCS %d:\n%s\nbefore:\n%s", procs, got, want)
		}
	}
	if !strings.Contains(want, "10ms create secrets/a-") || !strings.Contains(want, "10ms create secrets/c-") {
		t.Errorf("reconciles do not overlap while the API is asked:\n%s", want)
	}
}

// TestDrains: what only looks again does not keep a run alive.
func TestDrains(t *testing.T) {
	w := play(t, -1, copies)
	if now := w.Engine.Now(); now < units.Time(91*time.Second) || now > units.Time(92*time.Second) {
		t.Errorf("the run ended at %s", now)
	}
}

// failing fails a few times.
type failing struct {
	w     *world
	times []units.Time
}

func (f *failing) Reconcile(context.Context, reconcile.Request) (reconcile.Result, error) {
	f.times = append(f.times, f.w.Engine.Now())
	if len(f.times) < 5 {
		return reconcile.Result{}, fmt.Errorf("failure %d", len(f.times))
	}
	return reconcile.Result{}, nil
}

// TestBackoff: a failed reconcile comes again after upstream's delays, and those keep the run alive.
func TestBackoff(t *testing.T) {
	var f *failing
	play(t, -1, func(w *world) error {
		f = &failing{w: w}
		if _, err := w.Store.Create(configMap("x")); err != nil {
			return err
		}
		return ctrl.NewControllerManagedBy(w.m).Named("failing").For(&corev1.ConfigMap{}).Complete(f)
	})
	var gaps []units.Duration
	for i := 1; i < len(f.times); i++ {
		gaps = append(gaps, f.times[i].Sub(f.times[i-1]))
	}
	ms := time.Millisecond
	if want := []units.Duration{5 * ms, 10 * ms, 20 * ms, 40 * ms}; !slices.Equal(gaps, want) {
		t.Errorf("gaps %v, want %v", gaps, want)
	}
}

// poller looks every minute.
type poller struct {
	w     *world
	times []units.Time
}

func (p *poller) Reconcile(context.Context, reconcile.Request) (reconcile.Result, error) {
	p.times = append(p.times, p.w.Engine.Now())
	return reconcile.Result{RequeueAfter: time.Minute}, nil
}

// TestStill: of the looks at what has not changed none is taken, and the others come when they would have come.
func TestStill(t *testing.T) {
	for _, name := range []string{"poller", "other"} {
		var p *poller
		play(t, units.Time(10*time.Minute), func(w *world) error {
			p = &poller{w: w}
			if _, err := w.Store.Create(configMap("x")); err != nil {
				return err
			}
			w.At(units.Time(200*time.Second), engine.PhaseArrive, "change", func() { w.changed = w.Engine.Now() })
			w.At(units.Time(400*time.Second), engine.PhaseArrive, "write", func() {
				cm := configMap("x")
				cm.Data = map[string]string{"a": "b"}
				_, _ = w.Store.Update(cm, "")
			})
			return ctrl.NewControllerManagedBy(w.m).Named(name).For(&corev1.ConfigMap{}).Complete(p)
		})
		var got []string
		for _, at := range p.times {
			got = append(got, fmt.Sprint(at.Sub(0)))
		}
		want := "0s 4m0s 6m40s"
		if name == "other" {
			want = "0s 1m0s 2m0s 3m0s 4m0s 5m0s 6m0s 6m40s 7m0s 8m0s 9m0s 10m0s"
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s looked at %v, want %s", name, got, want)
		}
	}
}

// TestClock: timers of one instant end in the order in which they were set; stopped ones do not end.
func TestClock(t *testing.T) {
	var got []string
	play(t, units.Time(time.Minute), func(w *world) error {
		note := func(s string) { got = append(got, fmt.Sprint(w.Engine.Now(), " ", s)) }
		w.clock.Idle = func(d units.Duration, others int) bool { return d == 7*time.Second && others == 0 }
		go func() {
			idle := w.clock.NewTimer(7 * time.Second)
			first, second := w.clock.NewTimer(5*time.Second), w.clock.NewTimer(7*time.Second)
			if !idle.Stop() {
				note("the idle timer had ended")
			}
			<-first.C()
			note("first")
			first.Reset(3 * time.Second)
			<-second.C()
			note("second")
			if !first.Stop() {
				note("the first timer had ended")
			}
			<-w.clock.After(time.Second)
			note("after")
			select {
			case <-first.C():
				note("a stopped timer ended")
			case <-idle.C():
				note("the idle timer ended")
			default:
			}
		}()
		return nil
	})
	if want := []string{"5s first", "7s second", "8s after"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
