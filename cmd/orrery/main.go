// Command orrery answers, before the money is spent, what a GPU cluster would do: it replays traces of jobs and of
// requests against fake GPU nodes under real Kubernetes controllers, in virtual time, and reports utilization,
// queueing, latencies and cost.
//
// This package reads arguments and prints; every decision is made below it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, as documented in `orrery --help`.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitMissed = 3
)

// usageError is a mistake in the arguments or the input files: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// missedError says that the run went through but an expectation of the scenario was missed: exit code 3.
type missedError struct{ missed []string }

func (e missedError) Error() string {
	s := fmt.Sprintf("%d expectation(s) of the scenario missed:", len(e.missed))
	for _, m := range e.missed {
		s += "\n  " + m
	}
	return s
}

func main() {
	paceCollector()
	// One thing happens after the other in a run; a second processor is only woken up for nothing at every hand-over.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	// A reader that goes away (| head) must not kill a run half-way: writing to it fails, and the run goes on.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt kills
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and returns the exit code. stdout takes results, stderr takes talk.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if !errors.Is(err, syscall.EPIPE) {
		complain(stderr, err)
	}
	var usage usageError
	var missed missedError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &missed):
		return exitMissed
	}
	return exitFailed
}

// complain prints an error: several problems one a line, each beginning with its place, as editors and scripts expect.
func complain(stderr io.Writer, err error) {
	text := strings.TrimRight(err.Error(), "\n")
	if strings.Contains(text, "\n") {
		fmt.Fprintf(stderr, "orrery: failed:\n%s\n", text)
		return
	}
	fmt.Fprintf(stderr, "orrery: %s\n", text)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "orrery",
		Short: "What would this GPU cluster do?",
		Long: `Orrery replays traces of GPU jobs, and of requests to language models, against fake GPU nodes under the real
kube-scheduler and the real autoscalers, in virtual time, and reports utilization, queueing, latencies and cost. The
same scenario, trace and seed give the same result, byte for byte.

A scenario is a YAML file: see orrery scenario list for those to start from, and scenarios/README.md for your own.

Results go to stdout and to the result folder, talk goes to stderr.
Exit codes: 0 done · 1 failed · 2 bad usage or input · 3 an expectation of the scenario was missed.`,
		Example: `  orrery run demo                                  # the embedded default, no files needed
  orrery run my.yaml --set cluster.pools.a100.nodes=48
  orrery explain out/demo pod/language/demo-0000017-0 # why did it wait?
  orrery run burst-hpa-queue --out out/burst       # a chat service, its autoscaler, ten times the requests at once
  orrery explain out/burst service/chat            # who changed its replicas, when, and when users waited
  orrery report out/demo                           # the same figures, without simulating again`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
	})
	root.AddCommand(newRun(), newTrace(), newScenario(), newPolicy(), newReport(), newExplain(), newExport(),
		newTopology(), newCatalog(), newModel(), newVersion())
	markUsage(root)
	return root
}

// markUsage makes every argument error of the tree a usage error, and unknown verbs too.
func markUsage(c *cobra.Command) {
	check := c.Args
	if check == nil && c.HasSubCommands() {
		check = cobra.NoArgs
		if c.RunE == nil {
			c.RunE = func(c *cobra.Command, args []string) error { return c.Help() }
		}
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(cmd, args); err != nil {
			if cmd.HasSubCommands() {
				return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
			}
			return usageError{fmt.Errorf("%w; write `%s`, see `%s --help`", err, cmd.UseLine(), cmd.CommandPath())}
		}
		return nil
	}
	for _, sub := range c.Commands() {
		markUsage(sub)
	}
}
