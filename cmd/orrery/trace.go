package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orrery/traces"
	"orrery/traces/formats"
)

// traceFlags are the flags that say how to read a trace.
type traceFlags struct {
	format  string
	set     []string
	skipBad bool
}

func (f *traceFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.format, "format", "",
		"format of the input; found out by itself when empty (see `orrery trace formats`)")
	c.Flags().StringArrayVar(&f.set, "option", nil, "option of the format as name=value, e.g. kalos=true; repeatable")
	c.Flags().BoolVar(&f.skipBad, "skip-bad", false, "leave malformed rows out, and count them, instead of failing")
}

func (f *traceFlags) options() (traces.Options, error) {
	o := formats.Options()
	o.Format, o.SkipBad = f.format, f.skipBad
	for _, kv := range f.set {
		name, value, ok := strings.Cut(kv, "=")
		if !ok {
			return o, usageError{fmt.Errorf("--option %q: write it as name=value", kv)}
		}
		if o.Set == nil {
			o.Set = map[string]string{}
		}
		o.Set[name] = value
	}
	return o, nil
}

func newTrace() *cobra.Command {
	c := &cobra.Command{
		Use:   "trace",
		Short: "Import, describe, validate and convert job traces",
		Long: `A trace is a stream of jobs. Orrery's own format is one JSON object a line, optionally compressed (.zst, .gz); importers
read public datasets as they are published.`,
		Example: `  orrery trace describe openb_pod_list_default.csv
  orrery trace import philly_jobs.csv --out philly.ndjson.zst`,
	}
	c.AddCommand(newTraceImport("import"), newTraceImport("convert"), newTraceDescribe(), newTraceValidate(),
		newTraceFormats())
	return c
}

func newTraceImport(verb string) *cobra.Command {
	var f traceFlags
	var out string
	var overwrite bool
	c := &cobra.Command{
		Use: verb + " INPUT --out OUTPUT",
		Short: map[string]string{
			"import":  "Read a dataset's file and write a canonical trace",
			"convert": "Rewrite a trace, e.g. compressed"}[verb],
		Example: map[string]string{
			"import":  "  orrery trace import openb_pod_list_default.csv.gz --out openb.ndjson.zst",
			"convert": "  orrery trace convert jobs.ndjson --out jobs.ndjson.zst"}[verb],
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			if out == "" {
				return usageError{fmt.Errorf("--out is missing: name the file to write, e.g. --out trace.ndjson.zst")}
			}
			done, err := traces.Convert(args[0], out, traces.ConvertOptions{Options: o, Overwrite: overwrite})
			if err != nil {
				return usageError{err}
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d jobs\n", out, done.Jobs)
			for _, s := range done.Header.Skipped {
				fmt.Fprintf(c.ErrOrStderr(), "skipped %d rows: %s (first: %s)\n", s.Rows, s.Reason, s.First)
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().StringVar(&out, "out", "", "file to write; its ending chooses the compression (.zst, .gz or none)")
	c.Flags().BoolVar(&overwrite, "overwrite", false, "replace an existing output")
	return c
}

func newTraceDescribe() *cobra.Command {
	var f traceFlags
	var asJSON bool
	c := &cobra.Command{
		Use:     "describe INPUT",
		Short:   "Say what is in a trace: sizes, durations, tenants, load, burstiness",
		Example: "  orrery trace describe philly_jobs.csv --json | jq .gpu_hours",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			src, err := traces.Open(args[0], o)
			if err != nil {
				return usageError{err}
			}
			defer src.Close()
			d, err := traces.Describe(src)
			if err != nil {
				return usageError{err}
			}
			if asJSON {
				return d.JSON(c.OutOrStdout())
			}
			return d.Text(c.OutOrStdout())
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newTraceValidate() *cobra.Command {
	var f traceFlags
	c := &cobra.Command{
		Use:     "validate INPUT",
		Short:   "Read a whole trace and report everything that is wrong with it",
		Example: "  orrery trace validate jobs.ndjson.zst",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			if err := traces.Validate(args[0], o); err != nil {
				return usageError{err}
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: valid\n", args[0])
			return nil
		},
	}
	f.add(c)
	return c
}

func newTraceFormats() *cobra.Command {
	return &cobra.Command{
		Use:     "formats",
		Short:   "List the formats that can be read",
		Example: "  orrery trace formats",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintf(c.OutOrStdout(), "%-12s %s\n", traces.Canonical, "Orrery's own format")
			for _, f := range formats.All() {
				info := f.Info()
				fmt.Fprintf(c.OutOrStdout(), "%-12s %s\n", info.Name, info.Summary)
				for _, o := range info.Options {
					fmt.Fprintf(c.OutOrStdout(), "%-12s   --option %s=…  %s\n", "", o.Key, o.Meaning)
				}
			}
			return nil
		},
	}
}
