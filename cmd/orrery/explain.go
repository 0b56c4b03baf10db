package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"orrery/sim/account"
	"orrery/sim/journal"
	"orrery/sim/result"
)

func newExplain() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain RESULT_DIR pod/NAMESPACE/NAME|job/NAME",
		Short: "Why did it wait? Each attempt, the scheduler's own words, what freed the place",
		Example: `  orrery explain out/demo job/demo-0000017
  orrery explain out/demo pod/language/demo-0000017-0 --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			opened, err := result.Open(args[0])
			if err != nil {
				return usageError{err}
			}
			r, err := journal.Open(filepath.Join(opened.Dir, result.JournalFile))
			if err != nil {
				return usageError{err}
			}
			defer r.Close()
			e, err := account.Explain(r, args[1])
			if err != nil {
				return usageError{err}
			}
			if asJSON {
				return result.WriteJSON(c.OutOrStdout(), e)
			}
			return e.Text(c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
