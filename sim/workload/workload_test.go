package workload

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// bench is a cluster that does nothing by itself: a script says what becomes of the pods.
type bench struct {
	out    strings.Builder
	e      *engine.Engine
	t      *Tracker
	refuse bool
	timers map[*Pod]*engine.Event
	teams  map[string]*Team // by first pod
	paces  map[string]pace  // by job
}

type pace struct {
	prepare units.Duration
	speed   int64
}

// Begin implements Physics.
func (b *bench) Begin(t *Team) (units.Duration, int64) {
	p := t.Pods[0]
	b.printf("begin  %s with %d pods, %s saved, restart %v", p.Name, len(t.Pods), t.Saved, t.Restart)
	b.teams[p.Name] = t
	pace := b.paces[p.Job.Name]
	return pace.prepare, pace.speed
}

// Shrink implements Physics.
func (b *bench) Shrink(t *Team, p *Pod) { b.printf("shrink %s without %s", t.Pods[0].Name, p.Name) }

// End implements Physics.
func (b *bench) End(t *Team) { b.printf("stop   %s", t.Pods[0].Name) }

func (b *bench) printf(format string, args ...any) {
	fmt.Fprintf(&b.out, "%s  %s\n", b.e.Now(), fmt.Sprintf(format, args...))
}

func (b *bench) CreatePod(p *Pod) error {
	if b.refuse {
		b.printf("refuse %s", p.Name)
		return fmt.Errorf("exceeded quota")
	}
	if p.Group != nil {
		b.printf("create %s in %s", p.Name, p.Group.Name)
		return nil
	}
	b.printf("create %s", p.Name)
	return nil
}

func (b *bench) DeletePod(p *Pod, reason string) {
	b.printf("delete %s (%s)", p.Name, reason)
	b.e.Cancel(b.timers[p])
}

func (b *bench) CreateGroup(g *Group) error {
	if b.refuse {
		b.printf("refuse group %s", g.Name)
		return fmt.Errorf("exceeded quota")
	}
	b.printf("group  %s of %d", g.Name, g.Min)
	return nil
}

func (b *bench) ShrinkGroup(g *Group) { b.printf("shrink group %s to %d", g.Name, g.Min) }

func (b *bench) DeleteGroup(g *Group) { b.printf("delete group %s", g.Name) }

func (b *bench) SetWork(p *Pod, w Work) {
	b.e.Cancel(b.timers[p])
	if !w.Ends {
		b.printf("halt   %s", p.Name)
		return
	}
	b.printf("work   %s %s then %s", p.Name, w.Left, w.Outcome)
	b.timers[p] = b.e.After(w.Left, engine.PhaseRelease, "work", func() {
		phase := "Succeeded"
		if w.Outcome == journal.Failed {
			phase = "Failed"
		}
		b.t.PodEnded(p, phase, "")
	})
}

func (b *bench) record(body journal.Body) {
	switch r := body.(type) {
	case journal.JobRestart:
		b.printf("RESTART %s lost %s x %g GPU (%s) -> %s", r.Pod, r.Lost, r.GPUs.GPUs(), r.Reason, r.New)
	case journal.JobEnd:
		b.printf("END %s %s %s", r.Job, r.Outcome, r.Reason)
	default:
		b.printf("%s", body.Kind())
	}
}

// TestScripts runs testdata/*: "job" submits, "at" lets something happen to a pod, the output is what the tracker did.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "run" {
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			out, err := script(d)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			return out
		})
	})
}

func script(d *datadriven.TestData) (string, error) {
	var out string
	err := engine.Bubble(engine.Watchdog{}, func() error {
		e, err := engine.New(engine.Params{Epoch: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}, nil)
		if err != nil {
			return err
		}
		b := &bench{e: e, timers: map[*Pod]*engine.Event{}}
		pods := plan.Pods{Restart: plan.RestartAlways, StartTogether: d.HasArg("together")}
		if d.HasArg("never") {
			pods.Restart = plan.RestartNever
		}
		if d.HasArg("checkpoint") {
			var c string
			for _, a := range d.CmdArgs {
				if a.Key == "checkpoint" {
					c = a.Vals[0]
				}
			}
			if pods.CheckpointInterval, err = time.ParseDuration(c); err != nil {
				return err
			}
		}
		params := Params{Engine: e, Cluster: b, Groups: b, Record: b.record, Pods: pods}
		if d.HasArg("physics") {
			params.Physics, b.teams, b.paces = b, map[string]*Team{}, map[string]pace{}
		}
		b.t = New(params)
		for _, line := range strings.Split(d.Input, "\n") {
			if err := b.schedule(strings.Fields(line)); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
		if _, err := e.Run(-1); err != nil {
			return err
		}
		b.printf("%d jobs live", b.t.Live())
		out = b.out.String()
		return nil
	})
	return out, err
}

// schedule reads "<time> <verb> <args…>".
func (b *bench) schedule(f []string) error {
	at, err := time.ParseDuration(f[0])
	if err != nil {
		return err
	}
	pod := func() *Pod {
		p := b.t.Lookup("ns/" + f[2])
		if p == nil {
			panic("no live pod " + f[2])
		}
		return p
	}
	actions := map[string]func(){
		"submit": func() { b.submit(f[2:]) },
		"refuse": func() { b.refuse = true },
		"bind":   func() { b.t.PodBound(pod()) },
		"start":  func() { b.t.PodBound(pod()); b.t.PodStarted(pod()) },
		"stop":   func() { p := pod(); b.e.Cancel(b.timers[p]); b.t.PodStopped(p, f[3]) },
		"gone":   func() { b.t.PodGone(pod(), f[3]) },
		"done":   func() { p := pod(); b.e.Cancel(b.timers[p]); b.t.PodEnded(p, "Succeeded", "") },
		"reject": func() { b.t.PodEnded(pod(), "Failed", f[3]) },
		"drop":   func() { b.t.Drop(pod(), "does not fit") },
		"speed": func() {
			n, _ := strconv.ParseInt(f[3], 10, 64)
			b.t.SetSpeed(b.teams[f[2]], n)
		},
	}
	fn, ok := actions[f[1]]
	if !ok {
		return fmt.Errorf("unknown verb %s", f[1])
	}
	b.e.At(units.Time(at), engine.PhaseArrive, f[1], fn)
	return nil
}

// submit reads "<name> pods=<n> run=<d> [outcome=…] [gang=wait|restart]".
func (b *bench) submit(f []string) {
	j := plan.Job{Name: f[0], Namespace: "ns", Outcome: journal.Succeeded}
	n, p := 1, pace{speed: FullSpeed}
	for _, a := range f[1:] {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "pods":
			n, _ = strconv.Atoi(v)
		case "run":
			j.Run, _ = time.ParseDuration(v)
		case "outcome":
			j.Outcome = v
		case "gang":
			j.Gang = &plan.Gang{OnLoss: v}
		case "forever":
			j.Forever = true
		case "speed":
			p.speed, _ = strconv.ParseInt(v, 10, 64)
		case "prepare":
			p.prepare, _ = time.ParseDuration(v)
		}
	}
	if b.paces != nil {
		b.paces[j.Name] = p
	}
	for range n {
		j.Pods = append(j.Pods, plan.Pod{Slots: 1, GPUs: units.GPU})
	}
	if j.Gang != nil {
		j.Gang.Min = n
	}
	b.t.Submit(j)
}
