package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"orrery/sim"
)

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "The version of Orrery and of the upstream code inside",
		Example: "  orrery version --json | jq '.\"k8s.io/kubernetes\"'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := sim.Versions()
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(v)
			}
			for _, name := range slices.Sorted(maps.Keys(v)) {
				fmt.Fprintf(c.OutOrStdout(), "%-32s %s\n", name, v[name])
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
