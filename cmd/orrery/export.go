package main

import (
	"github.com/spf13/cobra"

	"orrery/sim"
)

func newExport() *cobra.Command {
	c := &cobra.Command{
		Use:     "export",
		Short:   "Write parts of a scenario as Kubernetes manifests",
		Example: "  orrery export nodes demo | kubectl apply -f -",
	}
	var sets []string
	nodes := &cobra.Command{
		Use:     "nodes SCENARIO",
		Short:   "The Node objects, ready for `kubectl apply` to a KWOK cluster",
		Example: "  orrery export nodes demo | kubectl apply -f -",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := load(args[0], sets)
			if err != nil {
				return err
			}
			p, jobs, err := s.Plan()
			if err != nil {
				return usageError{err}
			}
			defer jobs.Close()
			text, err := sim.ExportNodes(p)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	nodes.Flags().StringArrayVar(&sets, "set", nil, "override as path=value; repeatable")
	c.AddCommand(nodes)
	return c
}
