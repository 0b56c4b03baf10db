package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"orrery/traces"
	"orrery/traces/formats"
	"orrery/traces/requests"
	requestformats "orrery/traces/requests/formats"
)

// traceFlags are the flags that say how to read a trace.
type traceFlags struct {
	format  string
	set     []string
	skipBad bool
	reorder int
}

func (f *traceFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.format, "format", "",
		"format of the input; found out by itself when empty (orrery trace formats lists them)")
	c.Flags().StringArrayVar(&f.set, "option", nil, "option of the format as name=value, e.g. kalos=true; repeatable")
	c.Flags().BoolVar(&f.skipBad, "skip-bad", false, "leave malformed rows out, and count them, instead of failing")
	c.Flags().IntVar(&f.reorder, "reorder", 0,
		"of request traces: rows to hold back to put rows in order that are not; 0 = such rows are errors")
}

func (f *traceFlags) options() (map[string]string, error) {
	var set map[string]string
	for _, kv := range f.set {
		name, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--option %q: write it as name=value", kv)}
		}
		if set == nil {
			set = map[string]string{}
		}
		set[name] = value
	}
	return set, nil
}

// kind returns how to open the file as a trace of requests, or nil and how to open it as one of jobs.
func (f *traceFlags) kind(path string) (*requests.Options, traces.Options, error) {
	set, err := f.options()
	if err != nil {
		return nil, traces.Options{}, err
	}
	of := requestformats.Options()
	of.Format, of.SkipBad, of.Set, of.Reorder = f.format, f.skipBad, set, f.reorder
	o := formats.Options()
	o.Format, o.SkipBad, o.Set = f.format, f.skipBad, set
	for _, r := range requestformats.All() {
		o.Also = append(o.Also, r.Info().Name)
	}
	found, err := requests.Recognise(path, of)
	switch {
	case err != nil:
		return nil, o, usageError{err}
	case found:
		return &of, o, nil
	case f.reorder != 0:
		return nil, o, usageError{fmt.Errorf("--reorder: %s is no trace of requests; jobs are put in order anyway", path)}
	}
	return nil, o, nil
}

func newTrace() *cobra.Command {
	c := &cobra.Command{
		Use:   "trace",
		Short: "Import, generate, describe, validate and convert traces of jobs and of inference requests",
		Long: `A trace is a stream of jobs of a training cluster, or of requests to inference services. Which of the two a file holds
is told from its first lines. Orrery's own formats are one JSON object a line, optionally compressed (.zst, .gz);
importers read public datasets as they are published.`,
		Example: `  orrery trace describe openb_pod_list_default.csv
  orrery trace describe AzureLLMInferenceTrace_code.csv
  orrery trace import philly_jobs.csv --out philly.ndjson.zst
  orrery trace generate spec.yaml --out requests.ndjson.zst`,
	}
	c.AddCommand(newTraceImport("import"), newTraceImport("convert"), newTraceGenerate(),
		newTraceDescribe(), newTraceValidate(), newTraceFormats())
	return c
}

func newTraceImport(verb string) *cobra.Command {
	var f traceFlags
	var change changeFlags
	var out string
	var overwrite bool
	c := &cobra.Command{
		Use: verb + " INPUT --out OUTPUT",
		Short: map[string]string{
			"import":  "Read a dataset's file and write a canonical trace",
			"convert": "Rewrite a trace, e.g. compressed, or a part of one of requests"}[verb],
		Example: map[string]string{
			"import": "  orrery trace import openb_pod_list_default.csv.gz --out openb.ndjson.zst",
			"convert": "  orrery trace convert jobs.ndjson --out jobs.ndjson.zst\n" +
				"  orrery trace convert BurstGPT_1.csv --out burstgpt.ndjson.zst\n" +
				"  orrery trace convert AzureLLMInferenceTrace_conv.csv --to 20m --rate 2 --out busy.ndjson.zst"}[verb],
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usageError{fmt.Errorf("--out is missing: name the file to write, e.g. --out trace.ndjson.zst")}
			}
			of, o, err := f.kind(args[0])
			if err != nil {
				return err
			}
			if of != nil {
				return convertRequests(c, args[0], out, requests.ConvertOptions{Options: *of, Overwrite: overwrite,
					Change: change.steps.Apply})
			}
			if name := change.used(c); name != "" {
				return usageError{fmt.Errorf("--%s: %s is no trace of requests; change jobs by trace.transform of a scenario",
					name, args[0])}
			}
			done, err := traces.Convert(args[0], out, traces.ConvertOptions{Options: o, Overwrite: overwrite})
			if err != nil {
				return usageError{err}
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d jobs\n", out, done.Jobs)
			showSkipped(c, done.Header.Skipped)
			return nil
		},
	}
	f.add(c)
	change.add(c)
	addOutput(c, &out, &overwrite)
	return c
}

func newTraceDescribe() *cobra.Command {
	var f traceFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "describe INPUT",
		Short: "Say what is in a trace: sizes, durations or tokens, tenants, load, burstiness",
		Example: "  orrery trace describe philly_jobs.csv --json | jq .gpu_hours\n" +
			"  orrery trace describe conversation_trace.jsonl --option smooth=none",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			of, o, err := f.kind(args[0])
			if err != nil {
				return err
			}
			if of != nil {
				return describeRequests(c, args[0], *of, asJSON)
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
			of, o, err := f.kind(args[0])
			if err != nil {
				return err
			}
			if of != nil {
				err = requests.Validate(args[0], *of)
			} else {
				err = traces.Validate(args[0], o)
			}
			if err != nil {
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
			out := c.OutOrStdout()
			fmt.Fprintf(out, "Of jobs:\n%-14s %s\n", traces.Canonical, "Orrery's own format")
			for _, f := range formats.All() {
				showFormat(out, f.Info())
			}
			fmt.Fprintf(out, "\nOf inference requests:\n%-14s %s\n", requests.Canonical, "Orrery's own format")
			for _, f := range requestformats.All() {
				showFormat(out, f.Info())
			}
			return nil
		},
	}
}

func showFormat(out io.Writer, info traces.Info) {
	fmt.Fprintf(out, "%-14s %s\n", info.Name, info.Summary)
	for _, o := range info.Options {
		fmt.Fprintf(out, "%-14s   --option %s=…  %s\n", "", o.Key, o.Meaning)
	}
}

func showSkipped(c *cobra.Command, skipped []traces.Skip) {
	for _, s := range skipped {
		fmt.Fprintf(c.ErrOrStderr(), "skipped %d rows: %s (first: %s)\n", s.Rows, s.Reason, s.First)
	}
}
