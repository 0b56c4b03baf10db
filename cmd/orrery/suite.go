package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"orrery/scenarios"
	"orrery/sim/result"
)

// suiteFlags are those of policy test.
type suiteFlags struct {
	config, output, out string
	jobs                int
	sets                []string
}

// verdict is what came of one scenario.
type verdict struct {
	Scenario     string               `json:"scenario"`
	Met          bool                 `json:"met"`
	Expectations []result.Expectation `json:"expectations"`
	Seconds      float64              `json:"seconds"`
	Error        string               `json:"error,omitempty"`
}

func testPolicy(c *cobra.Command, args []string, f suiteFlags) error {
	write, ok := map[string]func(io.Writer, []verdict) error{"table": writeTable, "json": writeVerdicts,
		"junit": writeJUnit}[f.output]
	switch {
	case !ok:
		return usageError{fmt.Errorf("--output %s: write table, json or junit", f.output)}
	case f.jobs < 1:
		return usageError{fmt.Errorf("--jobs %d: write at least 1", f.jobs)}
	}
	if err := f.absolute(); err != nil {
		return err
	}
	names, err := suite(args, f.sets)
	if err != nil {
		return err
	}
	results, clean, err := f.folder()
	if err != nil {
		return err
	}
	defer clean()
	list := judgeAll(c.Context(), names, f, results, c.ErrOrStderr())
	if err := write(c.OutOrStdout(), list); err != nil {
		return err
	}
	return failures(list)
}

// failures is the error that the exit code is made of.
func failures(list []verdict) error {
	var broken, missed []string
	for _, v := range list {
		switch {
		case v.Error != "":
			broken = append(broken, v.Scenario+": "+v.Error)
		case !v.Met:
			for _, e := range v.Expectations {
				if !e.Met {
					missed = append(missed, v.Scenario+": "+bound(e))
				}
			}
		}
	}
	switch {
	case len(broken) > 0:
		return errors.New(strings.Join(broken, "\n"))
	case len(missed) > 0:
		return missedError{missed}
	}
	return nil
}

// absolute makes the configuration's path independent of the scenario's folder, and holds that the file is there.
func (f *suiteFlags) absolute() error {
	if f.config == "" {
		return nil
	}
	path, err := filepath.Abs(f.config)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return usageError{fmt.Errorf("--config %s: there is no such file; correct the path", f.config)}
	}
	f.sets = append(slices.Clone(f.sets), "scheduler.config="+strconv.Quote(path))
	return nil
}

// folder is where the result folders go, and what removes it afterwards unless they are to be kept.
func (f suiteFlags) folder() (string, func(), error) {
	if f.out != "" {
		if err := free(f.out); err != nil {
			return "", nil, err
		}
		return f.out, func() {}, os.MkdirAll(f.out, 0o755)
	}
	dir, err := os.MkdirTemp("", "orrery-policy-")
	return dir, func() { _ = os.RemoveAll(dir) }, err // a folder for what is not kept
}

// suite lists the scenarios with bounds that the arguments name.
func suite(args, sets []string) ([]string, error) {
	var names []string
	if len(args) == 0 {
		for _, e := range scenarios.List() {
			if len(e.Needs) == 0 {
				names = append(names, e.Name)
			}
		}
	}
	for _, a := range args {
		info, err := os.Stat(a)
		if err != nil || !info.IsDir() {
			names = append(names, a)
			continue
		}
		found, err := scenarioFiles(a)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	var out []string
	for _, name := range names {
		s, err := load(name, sets)
		if err != nil {
			return nil, err
		}
		if len(s.Expect) > 0 {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, usageError{errors.New("no scenario with bounds is named; add expect: to one, see scenarios/README.md")}
	}
	return out, nil
}

// scenarioFiles lists the files of a folder that say they are scenarios.
func scenarioFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if ext := filepath.Ext(path); e.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var head struct {
			Kind string `yaml:"kind"`
		}
		// A file that is no YAML says nothing of itself, unless it looks like a scenario: then running it says why.
		if err := yaml.Unmarshal(text, &head); err == nil && head.Kind == "Scenario" ||
			err != nil && strings.Contains(string(text), "kind: Scenario") {
			out = append(out, path)
		}
	}
	return out, nil
}

// judgeAll runs the scenarios, some at once, and tells on talk when one is done.
func judgeAll(ctx context.Context, names []string, f suiteFlags, results string, talk io.Writer) []verdict {
	out := make([]verdict, len(names))
	next := make(chan int)
	var wait sync.WaitGroup
	var mu sync.Mutex
	for range min(f.jobs, len(names)) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range next {
				out[i] = judge(ctx, names[i], f.sets, filepath.Join(results, fmt.Sprintf("%03d", i+1)))
				mu.Lock()
				fmt.Fprintf(talk, "%s: %s, %.1f s\n", out[i].Scenario, out[i].summary(), out[i].Seconds)
				mu.Unlock()
			}
		}()
	}
	for i := range names {
		next <- i
	}
	close(next)
	wait.Wait()
	return out
}

// judge runs one scenario in a process of its own: what upstream keeps globally is new in each.
func judge(ctx context.Context, name string, sets []string, out string) verdict {
	v := verdict{Scenario: name, Expectations: []result.Expectation{}}
	self, err := os.Executable()
	if err != nil {
		v.Error = err.Error()
		return v
	}
	args := []string{"run", name, "--quiet", "--out", out}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	started := time.Now()
	text, err := exec.CommandContext(ctx, self, args...).CombinedOutput()
	v.Seconds = time.Since(started).Seconds()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != exitMissed) {
		v.Error = strings.TrimSpace(string(text))
		if v.Error == "" {
			v.Error = err.Error()
		}
		return v
	}
	data, err := result.Open(out)
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Expectations = data.Summary.Expectations
	v.Met = !slices.ContainsFunc(v.Expectations, func(e result.Expectation) bool { return !e.Met })
	return v
}

func (v verdict) summary() string {
	met := 0
	for _, e := range v.Expectations {
		if e.Met {
			met++
		}
	}
	if v.Error != "" {
		return "could not be run"
	}
	return fmt.Sprintf("%d of %d met", met, len(v.Expectations))
}

// writeTable writes a line for every bound.
func writeTable(out io.Writer, list []verdict) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIO\tBOUNDS\tVALUE\tTIME")
	for _, v := range list {
		name, time := v.Scenario, fmt.Sprintf("%.1f s", v.Seconds)
		if v.Error != "" {
			fmt.Fprintf(w, "%s\tcould not be run\t\t%s\n", name, time)
			continue
		}
		for _, e := range v.Expectations {
			say := "met"
			if !e.Met {
				say = "MISSED"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, say, bound(e), time)
			name, time = "", ""
		}
	}
	return w.Flush()
}

func writeVerdicts(out io.Writer, list []verdict) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(list)
}

// writeJUnit writes what CI systems read: a test suite whose cases are the scenarios.
func writeJUnit(out io.Writer, list []verdict) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    string   `xml:"time,attr"`
		Failure *failure `xml:"failure,omitempty"`
		Error   *failure `xml:"error,omitempty"`
	}
	type testsuite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	s := testsuite{Name: "orrery policy test", Tests: len(list)}
	for _, v := range list {
		c := testcase{Name: v.Scenario, Class: "orrery", Time: fmt.Sprintf("%.3f", v.Seconds)}
		switch err := failures([]verdict{v}); {
		case v.Error != "":
			s.Errors++
			c.Error = &failure{"the scenario could not be run", v.Error}
		case err != nil:
			s.Failures++
			c.Failure = &failure{"a bound was missed", err.Error()}
		}
		s.Cases = append(s.Cases, c)
	}
	text, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s%s\n", xml.Header, text)
	return err
}
