package crt

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"orrery/sim/engine"
	"orrery/sim/units"
)

// Params is what a manager needs.
type Params struct {
	Name   string // of the program, in diagnostics
	Engine *engine.Engine
	Client *rest.Config // through the engine's gate, which keeps the client's rate
	Mapper meta.RESTMapper
	Scheme *runtime.Scheme // types that the controllers use; they must be those of the API
	// Informer returns the informer on a resource, always the same, told by events of the engine.
	Informer func(schema.GroupVersionResource) (toolscache.SharedIndexInformer, error)
	// Warm are the kinds whose informers exist from the beginning.
	Warm []client.Object
	// Context is what reconcilers' contexts derive from. Nil = an empty one.
	Context context.Context
	// Event is told of the events that controllers record, on any goroutine. Nil = nobody.
	Event func(Event)
	// Background says which delays of a controller do not keep a run alive: failed is set for those of a reconcile that
	// failed. Nil = none.
	Background func(controller string, d units.Duration, failed bool) bool
	// Still says of a controller, by its name, that nothing which its reconciles look at has changed since a reconcile
	// that began at the given instant: one that only comes back to look again is put off then, as it would do nothing but
	// ask to come back. Nil = every reconcile is run.
	Still func(controller string, since units.Time) bool
	// Wrap puts something before the client. Nil = nothing.
	Wrap func(client.Client) client.Client
	// Workers bounds the workers of a controller. 0 = DefaultWorkers.
	Workers int
	// Webhooks takes the webhooks that controllers register. Nil = they are registered with a server that never starts.
	Webhooks webhook.Server
	// Log is where upstream logs. The zero value discards.
	Log logr.Logger
}

// DefaultWorkers is more than what controllers have that do not sleep in a reconcile.
const DefaultWorkers = 100

// Manager is a manager.Manager whose controllers run in lockstep.
type Manager struct {
	manager.Manager
	p      Params
	client client.Client
	ctx    context.Context
	cancel context.CancelFunc
	queues []interface{ ShutDown() }
	done   sync.WaitGroup
	mu     sync.Mutex
	failed error
}

// New builds a manager. It must be called on the driver goroutine, inside the bubble.
func New(p Params) (*Manager, error) {
	if p.Workers == 0 {
		p.Workers = DefaultWorkers
	}
	if p.Context == nil {
		p.Context = context.Background()
	}
	if p.Log.GetSink() == nil {
		p.Log = logr.Discard()
	}
	log.SetLogger(p.Log) // else controller-runtime complains after 30 s that nobody did
	m := &Manager{p: p}
	m.ctx, m.cancel = context.WithCancel(log.IntoContext(p.Context, p.Log))
	cfg := rest.CopyConfig(p.Client)
	cfg.QPS = -1
	cfg.ContentConfig = rest.ContentConfig{} // the client picks protobuf for the kinds that have it
	var err error
	m.Manager, err = ctrl.NewManager(cfg, m.options())
	if err != nil {
		m.cancel()
		return nil, fmt.Errorf("building the manager of %s: %w", p.Name, err)
	}
	m.client = newNaming(m.Manager.GetClient(), p.Engine)
	if p.Wrap != nil {
		m.client = p.Wrap(m.client)
	}
	for _, obj := range p.Warm {
		if _, err := m.GetCache().GetInformer(m.ctx, obj, cache.BlockUntilSynced(false)); err != nil {
			m.cancel()
			return nil, fmt.Errorf("%s: making the informer on %T: %w", p.Name, obj, err)
		}
	}
	return m, nil
}

// options are those of the upstream manager.
func (m *Manager) options() manager.Options {
	p := m.p
	return manager.Options{
		Scheme: p.Scheme, Logger: p.Log, LeaderElection: false, HealthProbeBindAddress: "0",
		Metrics:        metricsserver.Options{BindAddress: "0"},
		BaseContext:    func() context.Context { return m.ctx },
		WebhookServer:  p.Webhooks,
		Controller:     config.Controller{SkipNameValidation: ptr.To(true), RecoverPanic: ptr.To(false)},
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return p.Mapper, nil },
		NewCache: func(cfg *rest.Config, o cache.Options) (cache.Cache, error) {
			o.NewInformer = m.informer
			return cache.New(cfg, o)
		},
		// Nobody waits for the end of a program that is stopped with the run.
		GracefulShutdownTimeout: ptr.To[units.Duration](0),
	}
}

// Add implements manager.Manager: controllers get a queue in lockstep.
func (m *Manager) Add(r manager.Runnable) error {
	q, err := lockstep(r, m.p)
	if err != nil {
		return err
	}
	if q != nil {
		m.queues = append(m.queues, q)
	}
	return m.Manager.Add(r)
}

// GetClient implements manager.Manager.
func (m *Manager) GetClient() client.Client { return m.client }

// GetEventRecorderFor implements manager.Manager.
func (m *Manager) GetEventRecorderFor(name string) record.EventRecorder {
	return oldRecorder{m.p.Event, name}
}

// GetEventRecorder implements manager.Manager.
func (m *Manager) GetEventRecorder(name string) recorder.EventRecorder {
	return newRecorder{oldRecorder{m.p.Event, name}}
}

// Begin starts the manager. The controllers do nothing before the engine runs.
func (m *Manager) Begin() {
	m.done.Go(func() {
		if err := m.Manager.Start(m.ctx); err != nil && m.ctx.Err() == nil {
			m.mu.Lock()
			m.failed = fmt.Errorf("the manager of %s stopped: %w", m.p.Name, err)
			m.mu.Unlock()
		}
	})
}

// Err says why the manager has stopped, nil while it runs.
func (m *Manager) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// Context is what reconcilers' contexts derive from. It ends with Close.
func (m *Manager) Context() context.Context { return m.ctx }

// Close stops the controllers. The engine must be drained afterwards.
func (m *Manager) Close() {
	m.cancel()
	for _, q := range m.queues {
		q.ShutDown()
	}
}

var _ manager.Manager = (*Manager)(nil)
