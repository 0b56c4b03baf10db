package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"orrery/sim/rng"
	"orrery/traces/requests"
	"orrery/traces/requests/gen"
	"orrery/traces/requests/transform"
)

// changeFlags are the flags that change a trace of requests.
type changeFlags struct{ steps transform.Steps }

// changes are their names.
var changes = []string{"services", "tenants", "from", "to", "rate", "share", "seed", "max-input", "max-output",
	"after"}

func (f *changeFlags) add(c *cobra.Command) {
	p := &f.steps
	const of = "of request traces: "
	c.Flags().StringSliceVar(&p.Services, "services", nil, of+"keep the requests to these services")
	c.Flags().StringSliceVar(&p.Tenants, "tenants", nil, of+"keep the requests of these tenants")
	c.Flags().DurationVar(&p.From, "from", 0, of+"keep what comes from here on; it becomes time zero")
	c.Flags().DurationVar(&p.To, "to", 0, of+"keep what comes before, e.g. 20m; 0 = to the end")
	c.Flags().Float64Var(&p.Rate, "rate", 0, of+"multiply the rate by this; lengths stay")
	c.Flags().Float64Var(&p.Share, "share", 0, of+"keep each request, conversations as a whole, with this probability")
	c.Flags().Uint64Var(&p.Seed, "seed", 1, "of --share")
	c.Flags().IntVar(&p.MaxInput, "max-input", 0, of+"cut longer prompts to so many tokens")
	c.Flags().IntVar(&p.MaxOutput, "max-output", 0, of+"cut longer answers to so many tokens")
	c.Flags().DurationVar(&p.After, "after", 0, of+"move all requests later")
}

// used names a flag that was given, or nothing.
func (f *changeFlags) used(c *cobra.Command) string {
	for _, name := range changes {
		if c.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

func addOutput(c *cobra.Command, out *string, overwrite *bool) {
	c.Flags().StringVarP(out, "out", "o", "", "file to write; its ending chooses the compression (.zst, .gz or none)")
	c.Flags().BoolVar(overwrite, "overwrite", false, "replace an existing output")
}

func newTraceGenerate() *cobra.Command {
	var out string
	var overwrite bool
	var seed uint64
	c := &cobra.Command{
		Use:   "generate SPEC --out OUTPUT",
		Short: "Write a trace of requests from a specification",
		Long: `SPEC is a YAML file: rates, shapes over the day, flash crowds, lengths, conversations, tenants; traces/README.md
has every field. It needs an end: span or requests. A scenario makes the same requests by itself from the same seed when
its service has the specification's name, and the specification under requests.generate.`,
		Example: "  orrery trace generate spec.yaml --seed 7 --out requests.ndjson.zst",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usageError{fmt.Errorf("--out is missing: name the file to write, e.g. --out requests.ndjson.zst")}
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return usageError{err}
			}
			spec, err := gen.Parse(args[0], text)
			if err != nil {
				return usageError{err}
			}
			if spec.Span == 0 && spec.Requests == 0 {
				return usageError{fmt.Errorf("%s: the trace would have no end; add e.g. span: 1d or requests: 100000", args[0])}
			}
			src, err := gen.New(spec, rng.New(seed), "requests/"+spec.Name)
			if err != nil {
				return usageError{err}
			}
			n, err := requests.WriteFile(out, src.Header(), src, overwrite)
			if err = errors.Join(err, src.Close()); err != nil {
				return usageError{err}
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d requests\n", out, n)
			return nil
		},
	}
	addOutput(c, &out, &overwrite)
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the random numbers")
	return c
}

func convertRequests(c *cobra.Command, in, out string, o requests.ConvertOptions) error {
	done, err := requests.Convert(in, out, o)
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %d requests\n", out, done.Requests)
	showSkipped(c, done.Header.Skipped)
	return nil
}

func describeRequests(c *cobra.Command, path string, o requests.Options, asJSON bool) error {
	src, err := requests.Open(path, o)
	if err != nil {
		return usageError{err}
	}
	defer func() { _ = src.Close() }() // it was only read
	d, err := requests.Describe(src)
	if err != nil {
		return usageError{err}
	}
	if asJSON {
		return d.JSON(c.OutOrStdout())
	}
	return d.Text(c.OutOrStdout())
}
