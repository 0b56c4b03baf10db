package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"orrery/reports/html"
	reportterm "orrery/reports/term"
	"orrery/scenarios"
	"orrery/sim"
	"orrery/sim/engine"
	"orrery/sim/plan"
	"orrery/sim/result"
	"orrery/sim/strict"
	"orrery/sim/units"
	"orrery/traces"
)

// runFlags are what may differ between two runs of one scenario.
type runFlags struct {
	trace, format, out string
	seed               uint64
	sets               []string
	quiet              bool
	profile            string
	exact              bool
}

func newRun() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run SCENARIO",
		Short: "Simulate a scenario and write a result folder",
		Long: `Simulates a scenario file, or a built-in one by name, and writes a result folder: result.json, report.html, the journal,
Parquet tables, and the resolved scenario. A short table goes to stdout, progress to stderr. The folder appears whole
or not at all.

A scheduling cycle of kube-scheduler looks at every node; here it looks at those that changed, and comes to the same
decision. --exact-upstream leaves the cycle as it is: the journals of both runs are equal, and the hash of each stands
in its result.json, so that you can see for yourself.`,
		Example: `  orrery run demo --out out/demo
  orrery run my.yaml --trace jobs.ndjson.zst --seed 7
  orrery run demo --set 'cluster.pools.h100.nodes=4' --set horizon=2d
  orrery run burst-hpa-queue --set 'services.chat.requests={file: AzureLLMInferenceTrace_conv.csv}'
  orrery run my.yaml --quiet --out out/a                 # for scripts: all figures are in out/a/result.json
  orrery run my.yaml --exact-upstream --out out/exact    # then compare journal.sha256 in both result.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return run(c, args[0], f) },
	}
	c.Flags().StringVar(&f.trace, "trace", "", "trace file in place of the scenario's own")
	c.Flags().StringVar(&f.format, "trace-format", "", "format of --trace; found out by itself when empty")
	c.Flags().Uint64Var(&f.seed, "seed", 0, "seed of all random streams (default the scenario's own)")
	c.Flags().StringVar(&f.out, "out", "", "result folder; must not exist (default out/<scenario>-seed<seed>)")
	c.Flags().StringArrayVar(&f.sets, "set", nil, "override as path=value, e.g. cluster.pools.a100.nodes=32; repeatable")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "no progress on stderr")
	c.Flags().StringVar(&f.profile, "cpuprofile", "", "write a CPU profile of the run to this file")
	c.Flags().BoolVar(&f.exact, "exact-upstream", false,
		"run kube-scheduler's own scheduling cycle, many times slower: the journal must be the same, byte for byte")
	return c
}

// overrides turns the flags into overrides of the scenario.
func (f runFlags) overrides(c *cobra.Command) ([]string, error) {
	var sets []string
	if f.trace != "" {
		if info, err := os.Stat(f.trace); err != nil {
			return nil, usageError{fmt.Errorf("--trace %s: there is no such file, or it cannot be read; correct the path",
				f.trace)}
		} else if !info.Mode().IsRegular() {
			return nil, usageError{fmt.Errorf("--trace %s: this is no regular file; name one", f.trace)}
		}
		path, err := filepath.Abs(f.trace) // relative to where the user stands, not to the scenario
		if err != nil {
			return nil, err
		}
		spec := "file: " + strconv.Quote(path)
		if f.format != "" {
			spec += ", format: " + strconv.Quote(f.format)
		}
		sets = append(sets, "trace={"+spec+"}")
	} else if f.format != "" {
		return nil, usageError{errors.New("--trace-format needs --trace")}
	}
	if c.Flags().Changed("seed") {
		sets = append(sets, "seed="+strconv.FormatUint(f.seed, 10))
	}
	return append(sets, f.sets...), nil
}

func run(c *cobra.Command, name string, f runFlags) error {
	sets, err := f.overrides(c)
	if err != nil {
		return err
	}
	s, err := load(name, sets)
	if err != nil {
		return err
	}
	if f.out == "" {
		f.out = filepath.Join("out", fmt.Sprintf("%s-seed%d", s.Name, s.Seed))
	}
	if err := free(f.out); err != nil {
		return err
	}
	data, err := simulate(c, s, f)
	if err != nil {
		return err
	}
	if err := reportterm.Short(c.OutOrStdout(), data); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "\nreport: %s\n", filepath.Join(f.out, result.ReportFile))
	return missed(data)
}

// free holds that a result folder can get the name path.
func free(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return usageError{fmt.Errorf("%s exists: choose another --out, or remove it", path)}
	case errors.Is(err, syscall.ENOTDIR):
		return usageError{fmt.Errorf("--out %s: a part of the path is a file; choose another", path)}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// workload is how much a run has to do, as far as it is known before.
type workload struct {
	jobs     int64 // that will be submitted
	requests int64 // of services
	steps    int64 // submissions, and ends of the jobs that end
}

// survey checks everything a run will read, the jobs to the last, and counts those that a run sees: a bad row at the
// end of a trace is better found now than after hours of simulation.
func survey(ctx context.Context, s *scenarios.Scenario) (p *plan.Plan, w workload, err error) {
	p, jobs, err := s.Plan()
	if err != nil {
		return nil, w, usageError{err}
	}
	defer jobs.Close()
	if err := sim.Check(p); err != nil {
		return nil, w, usageError{err}
	}
	for ctx.Err() == nil {
		j, err := jobs.Next()
		if errors.Is(err, io.EOF) {
			w.requests, err = surveyRequests(ctx, s, p)
			return p, w, err
		}
		if err != nil {
			return nil, w, usageError{err}
		}
		if p.Horizon > 0 && j.Submit > units.Time(p.Horizon) {
			continue
		}
		w.jobs++
		w.steps++
		if !j.Forever {
			w.steps++
		}
	}
	return nil, w, errors.New("interrupted while reading the jobs: nothing is written")
}

// surveyRequests reads the requests of all services to the last and counts those that the run sees.
func surveyRequests(ctx context.Context, s *scenarios.Scenario, p *plan.Plan) (n int64, err error) {
	sources, err := s.Requests()
	if err != nil {
		return 0, usageError{err}
	}
	defer closeAll(sources)
	for _, src := range sources {
		for ctx.Err() == nil {
			r, err := src.Next()
			if errors.Is(err, io.EOF) || err == nil && p.Horizon > 0 && r.At > units.Time(p.Horizon) {
				break
			}
			if err != nil {
				return 0, usageError{err}
			}
			n++
		}
	}
	if ctx.Err() != nil {
		return 0, errors.New("interrupted while reading the requests: nothing is written")
	}
	return n, nil
}

func closeAll(sources []plan.RequestSource) {
	for _, src := range sources {
		_ = src.Close() // they were only read
	}
}

// simulate runs the scenario into the result folder, with progress on stderr and an eye on interrupts.
func simulate(c *cobra.Command, s *scenarios.Scenario, f runFlags) (*result.Data, error) {
	_, load, err := survey(c.Context(), s)
	if err != nil {
		return nil, err
	}
	p, jobs, err := s.Plan() // again: a stream can be read once
	if err != nil {
		return nil, usageError{err}
	}
	defer jobs.Close()
	asked, err := s.Requests()
	if err != nil {
		return nil, usageError{err}
	}
	defer closeAll(asked)
	var stop atomic.Bool
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-c.Context().Done():
			stop.Store(true)
		case <-ended:
		}
	}()
	progress := new(sim.Progress)
	talk := io.Discard
	if !f.quiet {
		talk = c.ErrOrStderr()
	}
	stopProfile, err := startProfile(f.profile)
	if err != nil {
		return nil, err
	}
	defer stopProfile()
	bar := startProgress(talk, progress, p.Horizon, load)
	data, err := sim.Execute(sim.Execution{Plan: p, Jobs: jobs, Requests: asked, Book: s.Book(), Out: f.out,
		Report: html.Render, ExactUpstream: f.exact, Command: os.Args, Progress: progress, Stop: &stop,
		Between: betweenEvents()})
	bar.stop()
	var hang *engine.HangError
	if errors.As(err, &hang) {
		return nil, fmt.Errorf("%w\n\n%s", err, hang.Stacks)
	}
	if errors.Is(err, sim.ErrStopped) {
		return nil, fmt.Errorf("interrupted: %s is not written", f.out)
	}
	return data, classify(err)
}

// startProfile begins a CPU profile, outside of the run's bubble.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// classify tells bad input found on the way (a broken trace, a refused manifest) from failures of the program.
func classify(err error) error {
	var refused *sim.InputError
	var trace *traces.Errors
	var problem traces.Problem
	var document *strict.Error
	if errors.As(err, &refused) || errors.As(err, &trace) || errors.As(err, &problem) || errors.As(err, &document) {
		return usageError{err}
	}
	return err
}

// missed returns an error that lists the expectations that were not met.
func missed(d *result.Data) error {
	var m []string
	for _, e := range d.Summary.Expectations {
		if !e.Met {
			m = append(m, bound(e))
		}
	}
	if m == nil {
		return nil
	}
	return missedError{m}
}

// bound writes an expectation with what came out.
func bound(e result.Expectation) string {
	var want []string
	if e.Min != nil {
		want = append(want, fmt.Sprintf("at least %g", *e.Min))
	}
	if e.Max != nil {
		want = append(want, fmt.Sprintf("at most %g", *e.Max))
	}
	return fmt.Sprintf("%s = %g, expected %s", e.Path, e.Value, strings.Join(want, " and "))
}
