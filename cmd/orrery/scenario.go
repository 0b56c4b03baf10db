package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"orrery/scenarios"
)

// load reads a scenario and applies the flags that every verb on scenarios has.
func load(name string, sets []string) (*scenarios.Scenario, error) {
	s, err := scenarios.Load(name, sets)
	if err != nil {
		return nil, usageError{err}
	}
	return s, nil
}

// count says how many of a thing there are.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func newScenario() *cobra.Command {
	c := &cobra.Command{
		Use:   "scenario",
		Short: "List, show and validate scenarios",
		Example: `  orrery scenario list
  orrery scenario show demo --resolved > my.yaml    # runs anywhere
  orrery scenario validate my.yaml`,
	}
	c.AddCommand(newScenarioList(), newScenarioShow(), newScenarioValidate())
	return c
}

func newScenarioList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the scenarios that are built in",
		Example: "  orrery scenario list",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, wide := scenarios.List(), 0
			for _, e := range list {
				wide = max(wide, len(e.Name))
			}
			for _, e := range list {
				fmt.Fprintf(c.OutOrStdout(), "%-*s %s\n", wide, e.Name, strings.Join(strings.Fields(e.Description), " "))
				for _, need := range e.Needs {
					fmt.Fprintf(c.OutOrStdout(), "%-*s   needs --set %s=FILE\n", wide, "", need)
				}
			}
			return nil
		},
	}
}

func newScenarioShow() *cobra.Command {
	var sets []string
	var resolved bool
	c := &cobra.Command{
		Use:   "show SCENARIO",
		Short: "Print a scenario's text, or with --resolved every default and every inlined file",
		Long: `Prints a scenario's text, with its comments. Files that the text names, such as files/binpack.yaml of built-in ones,
are not in it: with --resolved they are inlined and every default is written out, so that the copy runs anywhere.`,
		Example: `  orrery scenario show topology-on
  orrery scenario show demo --resolved > my.yaml
  orrery scenario show demo --resolved --set cluster.pools.h100.nodes=4`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !resolved && len(sets) == 0 {
				text, err := os.ReadFile(args[0])
				if errors.Is(err, fs.ErrNotExist) {
					text, err = scenarios.Source(args[0])
				}
				if err != nil {
					return usageError{err}
				}
				_, err = c.OutOrStdout().Write(text)
				return err
			}
			s, err := load(args[0], sets)
			if err != nil {
				return err
			}
			text, err := s.Resolved()
			if err != nil {
				return usageError{err}
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().StringArrayVar(&sets, "set", nil, "override as path=value, e.g. cluster.pools.a100.nodes=32; repeatable")
	c.Flags().BoolVar(&resolved, "resolved", false, "print all defaults and inlined files")
	return c
}

func newScenarioValidate() *cobra.Command {
	var sets []string
	c := &cobra.Command{
		Use:     "validate SCENARIO",
		Short:   "Check a scenario and every file it names; report all problems at once",
		Example: "  orrery scenario validate my.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := load(args[0], sets)
			if err != nil {
				return err
			}
			p, w, err := survey(c.Context(), s)
			if err != nil {
				return err
			}
			what := count(int(w.jobs), "job")
			if n := len(p.Services); n > 0 {
				what += ", " + count(n, "service") + " with " + count(int(w.requests), "request")
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: valid: %s in %s, %s\n", args[0], count(len(p.Nodes), "node"),
				count(len(p.Pools), "pool"), what)
			return nil
		},
	}
	c.Flags().StringArrayVar(&sets, "set", nil, "override as path=value; repeatable")
	return c
}
