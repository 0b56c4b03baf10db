package karpenter

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	overlayv1alpha1 "sigs.k8s.io/karpenter/pkg/apis/v1alpha1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	"sigs.k8s.io/karpenter/pkg/controllers"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeoverlay"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/operator/options"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/policy/cloud"
	"orrery/sim/policy/crt"
	"orrery/sim/units"
)

// Version is Karpenter's.
const Version = "v1.14.1"

// Defaults of Karpenter's flags (pkg/operator/options of v1.14.1).
const (
	DefaultBatchIdle = time.Second
	DefaultBatchMax  = 10 * time.Second
	DefaultQPS       = 200
	DefaultBurst     = 300
)

// Params is what Karpenter needs.
type Params struct {
	Engine *engine.Engine
	Client *rest.Config // through the engine's gate, which keeps the client's rate
	Mapper meta.RESTMapper
	// Informer returns the informer on a resource, told by events of the engine.
	Informer func(schema.GroupVersionResource) (toolscache.SharedIndexInformer, error)
	Cloud    cloud.Cloud
	Flags    plan.Karpenter // zero values are the flags' defaults
	Record   func(journal.Body)
	// Promised reports whether the cloud will have one more machine of a pool: now, or when a stock-out ends. It does not
	// guide Karpenter, only whether a run that waits for it goes on. Nil = always.
	Promised func(pool string) bool
	// EveryLook has Karpenter look at an unchanged cluster as often as upstream has it. It finds the same, and costs more.
	EveryLook bool
	// Error is told of what upstream logs as an error and copes with. Nil = nobody.
	Error func(message string, err error)
}

// Controller is running Karpenter.
type Controller struct {
	m        *crt.Manager
	e        *engine.Engine
	every    bool // Params.EveryLook
	promised func(pool string) bool
	provider *provider
	recorder *recorder
	caches   []janitor
	clock    *crt.Clock

	reads   map[schema.GroupResource]bool // what Karpenter reads of the API
	calm    units.Duration                // without a change, and it may be let sleep
	changes atomic.Uint64                 // writes to what it reads, and what else may change a decision
	changed atomic.Int64                  // units.Time of the last

	mu          sync.Mutex
	interrupted map[string]bool // NodeClaims, by name
	failures    int             // of launches since the last success
	hold        *engine.Event   // driver only
}

// Start builds Karpenter and starts it. It must be called on the driver goroutine, inside the bubble, before the run.
func Start(p Params) (*Controller, error) {
	addForeign(clientgoscheme.Scheme) // upstream looks up kinds in client-go's scheme, where its own types are
	opts, err := flags(p.Flags)
	if err != nil {
		return nil, err
	}
	c := &Controller{e: p.Engine, every: p.EveryLook, promised: p.Promised, provider: newProvider(p.Engine, p.Cloud),
		recorder: newRecorder(p.Engine, p.Record), interrupted: map[string]bool{},
		calm: max(calm, 3*opts.BatchMaxDuration)}
	kinds := append(warm(), &overlayv1alpha1.NodeOverlay{})
	if c.reads, err = resources(kinds, clientgoscheme.Scheme, p.Mapper); err != nil {
		return nil, fmt.Errorf("karpenter: %w", err)
	}
	c.provider.why, c.provider.failed, c.provider.changed = c.why, c.failed, c.Changed
	ctx := options.ToContext(context.Background(), opts)
	c.m, err = crt.New(crt.Params{Name: "karpenter", Engine: p.Engine, Client: p.Client, Mapper: p.Mapper,
		Scheme: clientgoscheme.Scheme, Informer: p.Informer, Warm: warm(), Context: ctx,
		Background: background, Still: c.still, Log: logr.New(&sink{tell: p.Error}),
		Wrap: func(c client.Client) client.Client { return writer{c} }})
	if err != nil {
		return nil, err
	}
	if err := c.build(opts); err != nil {
		c.Close()
		return nil, err
	}
	c.m.Begin()
	return c, nil
}

// build makes upstream's controllers.
func (c *Controller) build(opts *options.Options) error {
	ctx := c.m.Context()
	if err := indexes(ctx, c.m.GetFieldIndexer()); err != nil {
		return fmt.Errorf("karpenter: %w", err)
	}
	clk := crt.NewClock(c.e)
	c.clock = clk
	clk.Idle = func(d units.Duration, others int) bool {
		// The batcher waits a second for the first pod, and then again: pkg/controllers/provisioning/batcher.go.
		return d == time.Second && others == 0
	}
	kube := c.m.GetClient()
	overlays := nodeoverlay.NewInstanceTypeStore()
	if opts.FeatureGates.NodeOverlay {
		c.provider.overlay = overlays.ApplyAll
	}
	decorated := overlay.Decorate(c.provider, kube, overlays)
	cluster := state.NewCluster(clk, kube, decorated)
	all := controllers.NewControllers(ctx, c.m, clk, kube, c.recorder, decorated, c.provider, cluster, overlays)
	found := false
	var roots []any
	for _, one := range all {
		if d, ok := one.(*disruption.Controller); ok {
			found = true
			var err error
			if one, err = newDisruptor(c, d, cluster); err != nil {
				return err
			}
		}
		if err := one.Register(ctx, c.m); err != nil {
			return fmt.Errorf("karpenter: registering controller %T: %w", one, err)
		}
		roots = append(roots, one)
	}
	c.caches = janitors(roots)
	if !found {
		return errors.New("karpenter: this version has no disruption controller")
	}
	return nil
}

// flags are upstream's options. Every flag is given, as its defaults come from the environment.
func flags(k plan.Karpenter) (*options.Options, error) {
	if k.BatchIdle == 0 {
		k.BatchIdle = DefaultBatchIdle
	}
	if k.BatchMax == 0 {
		k.BatchMax = DefaultBatchMax
	}
	if err := knownGates(k.FeatureGates); err != nil {
		return nil, err
	}
	opts := &options.Options{}
	fs := &options.FlagSet{FlagSet: flag.NewFlagSet("karpenter", flag.ContinueOnError)}
	opts.AddFlags(fs)
	err := opts.Parse(fs, "--karpenter-service=", "--cpu-requests=1000", "--memory-limit=-1", "--log-level=info",
		"--batch-max-duration="+k.BatchMax.String(), "--batch-idle-duration="+k.BatchIdle.String(),
		"--preference-policy=Respect", "--min-values-policy=Strict", "--ignore-dra-requests=true",
		"--feature-gates="+k.FeatureGates, "--disable-cluster-state-observability=true", "--disable-leader-election=true",
		"--enable-profiling=false", "--disable-controller-warmup=true")
	if err != nil {
		return nil, fmt.Errorf("karpenter: %w", err)
	}
	return opts, nil
}

// gates are the names of Karpenter's feature gates. Upstream takes any.
var gates = []string{"CapacityBuffer", "NodeOverlay", "NodeRepair", "ReservedCapacity", "SpotToSpotConsolidation",
	"StaticCapacity"}

func knownGates(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		name, _, _ := strings.Cut(part, "=")
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(gates, name) {
			return fmt.Errorf("karpenter: there is no feature gate %q; write some of %s", name, strings.Join(gates, ", "))
		}
	}
	on, err := options.ParseFeatureGates(text)
	if err != nil {
		return fmt.Errorf("karpenter: feature gates %q: %w", text, err)
	}
	if on.CapacityBuffer {
		return errors.New("karpenter: feature gate CapacityBuffer: CapacityBuffers are not served here; leave it out")
	}
	return nil
}

// warm are the kinds that Karpenter may ask for: an informer made while it holds a lock would stop time.
func warm() []client.Object {
	out := []client.Object{&corev1.Pod{}, &corev1.Node{}, &v1.NodePool{}, &v1.NodeClaim{}, &appsv1.DaemonSet{},
		&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &appsv1.StatefulSet{}, &policyv1.PodDisruptionBudget{},
		&corev1.Namespace{}, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &storagev1.StorageClass{},
		&storagev1.CSINode{}, &storagev1.VolumeAttachment{}, &schedulingv1.PriorityClass{},
		&resourcev1.ResourceClaim{}, &resourcev1.ResourceSlice{}, &resourcev1.DeviceClass{}}
	for _, class := range nodeClasses() {
		out = append(out, class)
	}
	return out
}

// indexes are those of operator.setupIndexers, which is not exported.
func indexes(ctx context.Context, ix client.FieldIndexer) error {
	var errs []error
	add := func(obj client.Object, name string, of func(client.Object) string) {
		errs = append(errs, ix.IndexField(ctx, obj, name, func(o client.Object) []string { return []string{of(o)} }))
	}
	add(&corev1.Pod{}, "spec.nodeName", func(o client.Object) string { return o.(*corev1.Pod).Spec.NodeName })
	add(&corev1.Node{}, "spec.providerID", func(o client.Object) string { return o.(*corev1.Node).Spec.ProviderID })
	add(&storagev1.VolumeAttachment{}, "spec.nodeName", func(o client.Object) string {
		return o.(*storagev1.VolumeAttachment).Spec.NodeName
	})
	add(&v1.NodeClaim{}, "status.providerID", func(o client.Object) string { return o.(*v1.NodeClaim).Status.ProviderID })
	for _, f := range []struct {
		name string
		of   func(*v1.NodeClassReference) string
	}{
		{"group", func(r *v1.NodeClassReference) string { return r.Group }},
		{"kind", func(r *v1.NodeClassReference) string { return r.Kind }},
		{"name", func(r *v1.NodeClassReference) string { return r.Name }},
	} {
		add(&v1.NodeClaim{}, "spec.nodeClassRef."+f.name, func(o client.Object) string {
			return f.of(o.(*v1.NodeClaim).Spec.NodeClassRef)
		})
		add(&v1.NodePool{}, "spec.template.spec.nodeClassRef."+f.name, func(o client.Object) string {
			return f.of(o.(*v1.NodePool).Spec.Template.Spec.NodeClassRef)
		})
	}
	return errors.Join(errs...)
}

// patience is the longest wait after a failure that keeps a run alive.
const patience = time.Minute

// background says which delays do not keep a run alive: those that a controller asks for to look again, and long ones
// after failures.
func background(_ string, d units.Duration, failed bool) bool { return !failed || d >= patience }

// Err says why Karpenter has stopped, nil while it runs.
func (c *Controller) Err() error { return c.m.Err() }

// Close stops Karpenter. The engine must be drained afterwards.
func (c *Controller) Close() {
	c.m.Close()
	if c.clock != nil {
		c.clock.Close()
	}
	for _, j := range c.caches {
		j.stop()
	}
}
