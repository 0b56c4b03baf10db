// Package sim runs a plan: it is the only place where the engine, the in-memory API, the fake nodes, the policies and
// the workload meet. Run plays a plan into a journal; Execute plays it into a result folder.
package sim

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/kube"
	"orrery/sim/kwok"
	"orrery/sim/plan"
	"orrery/sim/policy/hpa"
	"orrery/sim/policy/kubescheduler"
	"orrery/sim/policy/plugins"
	"orrery/sim/units"
)

// Params is one run.
type Params struct {
	Plan *plan.Plan
	Jobs plan.JobSource
	// Requests are the sources that Plan.Services name by index.
	Requests []plan.RequestSource
	Sink     journal.Sink
	// Progress may be read from outside while the run goes on. Optional.
	Progress *Progress
	// Stop ends the run at the next event when set; Run returns ErrStopped. Optional.
	Stop *atomic.Bool
	// SinkErr is asked between events whether the sink has failed (a full disk). Optional.
	SinkErr func() error
	// ExactUpstream runs kube-scheduler's own scheduling cycle instead of the incremental one. The journal is the same.
	ExactUpstream bool
	// Between is called before every event, when nothing else of the run goes on: a good moment to collect garbage.
	// Optional.
	Between func()

	watch func(kube.Commit) // sees every write of the API; tests only
	// metrics are the metrics APIs, instead of those of the run; tests only.
	metrics func(now func() time.Time) hpa.Metrics
	built   func(*cluster) // before time begins; tests only
}

// Progress is what a progress bar shows.
type Progress struct {
	engine.Progress
	Submitted atomic.Int64 // jobs
	Ended     atomic.Int64 // jobs
	Attempts  atomic.Int64 // of the scheduler
	Requests  atomic.Int64 // of services that have ended, up to the last window
}

// ErrStopped says that a run was stopped from outside before its end.
var ErrStopped = errors.New("stopped before the end of the run")

// parts are the user's files, read.
type parts struct {
	config    *config.KubeSchedulerConfiguration
	stages    *kwok.Set
	manifests []manifest
}

// Check reads the plan's files (scheduler configuration, feature gates, stages, manifests) as a run would, tries the
// manifests on the API, and returns every problem found, each with file and line.
func Check(p *plan.Plan) error {
	x, err := read(p)
	if err != nil {
		return err
	}
	return errors.Join(checkRules(p), checkTargets(x.manifests, p), admit(x.manifests, p))
}

func read(p *plan.Plan) (*parts, error) {
	var x parts
	var errs []error
	name, text := p.Scheduler.Config.Name, p.Scheduler.Config.Data
	if len(text) == 0 {
		name, text = "default KubeSchedulerConfiguration", []byte(kubescheduler.DefaultConfig)
	}
	restore, err := kubescheduler.SetFeatureGates(p.Scheduler.FeatureGates)
	if err != nil {
		errs = append(errs, err)
	} else {
		defer restore()
	}
	if x.config, err = kubescheduler.LoadConfig(name, text, outside()...); err != nil {
		errs = append(errs, err)
	}
	stages := p.Stages
	if len(stages) == 0 {
		stages = kwok.Shipped()
	}
	if x.stages, err = kwok.Load(stages); err != nil {
		errs = append(errs, err)
	}
	for _, f := range p.Manifests {
		objs, err := readManifests(f, servesSets(p))
		if err != nil {
			errs = append(errs, err)
		}
		x.manifests = append(x.manifests, objs...)
	}
	return &x, errors.Join(errs...)
}

// outside are the compiled-in plugins as a scheduler configuration may name them.
func outside() (out []kubescheduler.Outside) {
	for _, p := range plugins.List() {
		out = append(out, kubescheduler.Outside{Name: p.Name, Args: func(args runtime.Object) error {
			_, err := p.Decode(args)
			return err
		}})
	}
	return out
}

// Outcome is what Run knows besides the journal.
type Outcome struct {
	End    units.Time
	Events uint64
}

// Run plays the plan. One process runs one plan at a time: upstream's feature gates, metrics and random generator are
// global. When it fails, what the sink holds is not a whole journal.
func Run(p Params) (Outcome, error) {
	x, err := read(p.Plan)
	if err != nil {
		return Outcome{}, err
	}
	restore, err := kubescheduler.SetFeatureGates(p.Plan.Scheduler.FeatureGates)
	if err != nil {
		return Outcome{}, err
	}
	defer restore()
	if p.Progress == nil {
		p.Progress = new(Progress)
	}
	var out Outcome
	err = engine.Bubble(engine.Watchdog{Progress: &p.Progress.Progress}, func() error {
		e, err := engine.New(engine.Params{Epoch: p.Plan.Epoch, Between: p.Between}, &p.Progress.Progress)
		if err != nil {
			return err
		}
		c := &cluster{p: p, plan: p.Plan, parts: x, engine: e}
		defer c.close()
		if err := c.build(); err != nil {
			return err
		}
		if p.built != nil {
			p.built(c)
		}
		if err := c.play(); err != nil {
			return err
		}
		out = Outcome{End: e.Now(), Events: e.Events()}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("running %s: %w", p.Plan.Name, err)
	}
	return out, nil
}
