package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"orrery/sim/policy/plugins"
)

func newPolicy() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "List scheduler plugins, and test a policy on scenarios with bounds",
		Example: `  orrery policy list
  orrery policy test regressions/ --jobs 2
  orrery policy test regressions/ --config new-scheduler.yaml`,
	}
	c.AddCommand(newPolicyList(), newPolicyTest())
	return c
}

func newPolicyList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the scheduler plugins that are compiled in beside kube-scheduler's own",
		Long: `Lists the scheduler plugins that are compiled in beside kube-scheduler's own, with the extension points at which a
KubeSchedulerConfiguration can enable them. sim/policy/plugins/README.md says how to write one: a folder and a line.`,
		Example: "  orrery policy list",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, p := range plugins.List() {
				fmt.Fprintf(c.OutOrStdout(), "%-14s %s\n%-14s   at %s\n", p.Name, p.Summary, "", strings.Join(p.Points, ", "))
			}
			return nil
		},
	}
}

func newPolicyTest() *cobra.Command {
	var f suiteFlags
	c := &cobra.Command{
		Use:   "test [DIR | SCENARIO]...",
		Short: "Run scenarios and say which of their bounds hold",
		Long: `Runs every scenario that has bounds (expect:) and says which hold: a regression test for a scheduling policy. Name folders,
whose scenario files are all run, scenario files, or built-in scenarios; without a name all built-in ones run that need
no files of yours. Each runs in a process of its own. Result folders are kept only with --out.

With --config one KubeSchedulerConfiguration takes the place of each scenario's own, so that a new policy meets all the
old promises. Exit code 3: a bound was missed. 1: a scenario could not be run.`,
		Example: `  orrery policy test regressions/ --jobs 2
  orrery policy test quickstart-small fgd-small          # built-in scenarios by name
  orrery policy test regressions/ --config new-scheduler.yaml
  orrery policy test regressions/ -o junit > junit.xml   # for a CI system`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error { return testPolicy(c, args, f) },
	}
	c.Flags().StringVar(&f.config, "config", "", "KubeSchedulerConfiguration in place of each scenario's own")
	c.Flags().IntVar(&f.jobs, "jobs", runtime.NumCPU(), "scenarios run at once")
	c.Flags().StringVarP(&f.output, "output", "o", "table", "table, json or junit")
	c.Flags().StringVar(&f.out, "out", "", "keep the result folders below this folder, which must not exist")
	c.Flags().StringArrayVar(&f.sets, "set", nil, "override of every scenario as path=value, as for run; repeatable")
	return c
}
