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
		Use:   "explain RESULT_DIR pod/NAMESPACE/NAME|job/NAME|service/NAME|node/NAME|hpa/NAME|request/SERVICE/NUMBER",
		Short: "Why did it wait, or scale? Every attempt and change, in the controllers' own words",
		Long: `Tells what the journal knows of one thing, in the order of time:

  pod/NAMESPACE/NAME      each attempt, the scheduler's own words, what freed the place, the stages of its start
  job/NAME                the same of all its pods
  service/NAME            its replicas, changes of their number, and when it fell below its objective
  hpa/NAME, deployment/NAME, leaderworkerset/NAME, scaledobject/NAME
                          who changed the replicas when and why, and what the autoscaler said of itself
  node/NAME               its life as a machine of a cloud, and the pods on it
  request/SERVICE/NUMBER  one request; the scenario must say journal: {requests: true}`,
		Example: `  orrery explain out/demo job/demo-0000017
  orrery explain out/chat service/chat
  orrery explain out/chat hpa/chat
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
