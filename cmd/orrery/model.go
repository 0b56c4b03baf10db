package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orrery/sim"
	"orrery/sim/model/serving"
	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/strict"
)

func newModel() *cobra.Command {
	c := &cobra.Command{
		Use:   "model",
		Short: "Show the models that speeds come from, and how far to believe them",
		Long: `The speed of a job or of an inference server is computed, not measured: from what its GPUs reach, how its
ranks talk, and the links between them. Every such model has a card: formula, sources, what was fitted on what, its
error against published figures, and what it leaves out; so have controllers whose code cannot be linked. A scenario
switches speeds of jobs on with workload.training; services always have them.`,
		Example: `  orrery model list                    # cards, and models that a scenario can name
  orrery model show training           # formula, sources, error, predicted against published
  orrery model show serving            # the same for inference servers
  orrery model show llama-3-70b        # what is known of a neural network`,
	}
	c.AddCommand(newModelList(), newModelShow())
	return c
}

func newModelList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the models of the simulator, and the neural networks that it knows",
		Example: "  orrery model list",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w, wide := c.OutOrStdout(), 18
			for _, m := range training.Models() {
				wide = max(wide, len(m.Name))
			}
			fmt.Fprintln(w, "Cards, for `orrery model show`:")
			for _, k := range sim.Cards() {
				fmt.Fprintf(w, "  %-*s %s\n", wide, k.Name, k.Question)
			}
			fmt.Fprintln(w, "\nNeural networks that can be trained or served (model: NAME):")
			for _, m := range training.Models() {
				fmt.Fprintf(w, "  %-*s %s\n", wide, m.Name, shortModel(m))
			}
			return nil
		},
	}
}

// shortModel is a neural network in one line.
func shortModel(m plan.Model) string {
	s := fmt.Sprintf("%.4g B parameters, %d layers, hidden size %d", m.Params/1e9, m.Layers, m.Hidden)
	if m.Experts > 0 {
		s += fmt.Sprintf(", %d of %d experts, %.3g B active", m.TopK, m.Experts, m.Active/1e9)
	}
	return s
}

func newModelShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Print a model's card with its validation, or what is known of a neural network",
		Example: "  orrery model show training\n  orrery model show deepseek-v3",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w := c.OutOrStdout()
			var names []string
			for _, k := range sim.Cards() {
				if strings.EqualFold(k.Name, args[0]) {
					_, err := fmt.Fprint(w, k.Markdown(1))
					return err
				}
				names = append(names, k.Name)
			}
			m, err := training.Lookup(args[0])
			if err == nil {
				return printModel(c, m)
			}
			for _, m := range training.Models() {
				names = append(names, m.Name)
			}
			return usageError{fmt.Errorf("no model %q; %s; see `orrery model list`", args[0],
				strict.Suggest(args[0], names))}
		},
	}
}

func printModel(c *cobra.Command, m plan.Model) error {
	w := c.OutOrStdout()
	fmt.Fprintf(w, "%s: %s\n", m.Name, shortModel(m))
	fmt.Fprintf(w, "  query heads %d, key-value heads %d wide; vocabulary %d\n", m.Query, m.KV, m.Vocabulary)
	fmt.Fprintf(w, "  a checkpoint has %.3g TB\n", training.CheckpointBytes(&m)/1e12)
	fmt.Fprintf(w, "  its KV cache has %.4g KiB a token in half precision", serving.TokenBytes(&m, 2)/1024)
	if m.Context > 0 {
		fmt.Fprintf(w, "; made for %d tokens", m.Context)
	}
	fmt.Fprintln(w)
	if m.Kernels != plan.KernelsNow {
		fmt.Fprintf(w, "  trained with older software: attention kernels %q\n", m.Kernels)
	}
	_, err := fmt.Fprintf(w, "  source: %s\n", m.Source)
	return err
}
