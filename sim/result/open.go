package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"orrery/sim/journal"
)

// Opened is a finished result folder.
type Opened struct {
	Dir     string
	Summary Summary
}

// required names the files without which a folder is no result. The report can be made again.
var required = []string{SummaryFile, JournalFile, ScenarioFile, JobsFile, PodsFile, NodesFile, SeriesFile}

// Open opens a result folder. It refuses one that is partial, lacks a file, or whose journal is not whole or not the
// one the summary names, saying everything that is wrong. It does not read the journal through: Verify does.
func Open(dir string) (*Opened, error) {
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %q; name a result folder, e.g. the --out of a run", dir)
	} else if err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file; name the result folder", dir)
	}
	o := &Opened{Dir: dir}
	var errs []error
	if IsPartial(dir) {
		errs = append(errs, fmt.Errorf("%s is what a failed or killed run left; run the scenario again", dir))
	}
	missing := map[string]bool{}
	for _, name := range required {
		if _, err := os.Stat(o.Path(name)); err != nil {
			missing[name] = true
			errs = append(errs, fmt.Errorf("%s has no %s", dir, name))
		}
	}
	if !missing[SummaryFile] {
		if err := o.readSummary(); err != nil {
			errs = append(errs, err)
		}
	}
	if !missing[JournalFile] {
		t, err := journal.ReadTrailer(o.Path(JournalFile))
		switch {
		case err != nil:
			errs = append(errs, err)
		case o.Summary.Schema != 0 && o.Summary.Journal != Journal{t.Records, t.Head}:
			errs = append(errs, fmt.Errorf("%s: %s is of another journal than %s", dir, SummaryFile, JournalFile))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("no whole result: %w", errors.Join(errs...))
	}
	return o, nil
}

// Path returns the path of a file of the folder.
func (o *Opened) Path(name string) string { return filepath.Join(o.Dir, filepath.FromSlash(name)) }

func (o *Opened) readSummary() error {
	b, err := os.ReadFile(o.Path(SummaryFile))
	if err != nil {
		return err
	}
	s, err := ParseSummary(b)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Path(SummaryFile), err)
	}
	o.Summary = *s
	return nil
}

// ParseSummary reads a result.json. It refuses newer schemas and fields it does not know.
func ParseSummary(b []byte) (*Summary, error) {
	var version struct {
		Schema int `json:"schema_version"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return nil, fmt.Errorf("no JSON summary: %w", err)
	}
	if version.Schema < 1 || version.Schema > SchemaVersion {
		return nil, fmt.Errorf("schema_version %d; this version reads 1 to %d", version.Schema, SchemaVersion)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var s Summary
	if err := dec.Decode(&s); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("text after the summary")
	}
	return &s, nil
}

// Journal opens the folder's journal.
func (o *Opened) Journal() (*journal.Reader, error) { return journal.Open(o.Path(JournalFile)) }

// Verify reads the whole journal and checks it against the summary.
func (o *Opened) Verify() error {
	return journal.Verify(o.Path(JournalFile), journal.Trailer{Records: o.Summary.Journal.Records,
		Head: o.Summary.Journal.SHA256})
}

// Scenario returns the resolved scenario.
func (o *Opened) Scenario() ([]byte, error) { return os.ReadFile(o.Path(ScenarioFile)) }

// RunInfo returns run.json.
func (o *Opened) RunInfo() (RunInfo, error) {
	var r RunInfo
	b, err := os.ReadFile(o.Path(RunFile))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// Jobs calls each with every row of tables/jobs.parquet, in the order in which jobs ended.
func (o *Opened) Jobs(each func(JobRow) error) error { return readTable(o.Path(JobsFile), each) }

// Pods calls each with every row of tables/pods.parquet, in the order in which pods ended.
func (o *Opened) Pods(each func(PodRow) error) error { return readTable(o.Path(PodsFile), each) }

// Nodes calls each with every row of tables/nodes.parquet, by name.
func (o *Opened) Nodes(each func(NodeRow) error) error { return readTable(o.Path(NodesFile), each) }

// Series calls each with every row of tables/series.parquet, by time.
func (o *Opened) Series(each func(SeriesRow) error) error { return readTable(o.Path(SeriesFile), each) }
