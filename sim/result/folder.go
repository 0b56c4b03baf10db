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
	"strings"

	"orrery/sim/journal"
)

// Names of the files in a result folder.
const (
	SummaryFile  = "result.json"
	JournalFile  = "journal.ndjson.zst"
	ScenarioFile = "scenario.yaml"
	ReportFile   = "report.html"
	RunFile      = "run.json"
	TablesDir    = "tables"
	JobsFile     = "tables/jobs.parquet"
	PodsFile     = "tables/pods.parquet"
	NodesFile    = "tables/nodes.parquet"
	SeriesFile   = "tables/series.parquet"
	ServicesFile = "tables/services.parquet" // where there are services
	RequestsFile = "tables/requests.parquet" // where the scenario asks for them
	ReplicasFile = "tables/replicas.parquet" // where there are services
	ScalingsFile = "tables/scalings.parquet" // where replicas were changed
	MachinesFile = "tables/machines.parquet" // where machines came or went
)

// partialMark is in the name of every folder that is not finished.
const partialMark = ".partial-"

// RunInfo is run.json: what differs between two runs of one scenario. Everything else in a folder is the same.
type RunInfo struct {
	Command      []string `json:"command,omitempty"`
	Started      string   `json:"started"` // RFC 3339, wall clock
	WallSeconds  float64  `json:"wall_seconds"`
	PeakRSSBytes int64    `json:"peak_rss_bytes"`
	Binary       string   `json:"binary,omitempty"` // version of orrery
	Go           string   `json:"go,omitempty"`     // version of the toolchain
	OS           string   `json:"os,omitempty"`
	Arch         string   `json:"arch,omitempty"`
	CPUs         int      `json:"cpus,omitempty"`
	Host         string   `json:"host,omitempty"`
	JournalHash  string   `json:"journal_sha256,omitempty"` // to compare runs by their run.json alone
}

// Parts are the parts of a folder that the caller makes.
type Parts struct {
	Run RunInfo
	// Report writes report.html. nil leaves the file out.
	Report func(w io.Writer, d *Data) error
}

// Folder is a result folder being written. It is written under a temporary name beside the final one and renamed when
// it is whole; a run that fails or is killed leaves no folder of the final name.
type Folder struct {
	out, dir string
	journal  *os.File
	jobs     *table[JobRow]
	pods     *table[PodRow]
	requests *table[RequestRow] // nil until there is one
	done     bool
}

// Create starts the folder out. It refuses a path that exists.
func Create(out string) (*Folder, error) {
	out, err := filepath.Abs(out)
	if err != nil {
		return nil, err
	}
	if err := absent(out); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), filepath.Base(out)+partialMark)
	if err != nil {
		return nil, err
	}
	f := &Folder{out: out, dir: dir}
	if err := f.open(); err != nil {
		return nil, errors.Join(err, f.Abort())
	}
	return f, nil
}

// absent holds that nothing is at path.
func absent(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return fmt.Errorf("%s exists: results are never overwritten; name another folder or remove it", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func (f *Folder) open() (err error) {
	if err = os.Chmod(f.dir, 0o755); err != nil { // MkdirTemp makes it private, a result is not
		return err
	}
	if err = os.Mkdir(f.path(TablesDir), 0o755); err != nil {
		return err
	}
	if f.journal, err = os.Create(f.path(JournalFile)); err != nil {
		return err
	}
	if f.jobs, err = createTable[JobRow](f.path(JobsFile)); err != nil {
		return err
	}
	f.pods, err = createTable[PodRow](f.path(PodsFile))
	return err
}

func (f *Folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// Journal returns the file for the journal's writer.
func (f *Folder) Journal() io.Writer { return f.journal }

// AddJob appends a row to tables/jobs.parquet.
func (f *Folder) AddJob(row JobRow) error { return f.jobs.add(row) }

// AddPod appends a row to tables/pods.parquet.
func (f *Folder) AddPod(row PodRow) error { return f.pods.add(row) }

// AddRequest appends a row to tables/requests.parquet, which only runs that were asked for it have.
func (f *Folder) AddRequest(row RequestRow) (err error) {
	if f.requests == nil {
		if f.requests, err = createTable[RequestRow](f.path(RequestsFile)); err != nil {
			return err
		}
	}
	return f.requests.add(row)
}

// Commit writes the rest and gives the folder its name. The journal's writer must be closed and d.Summary.Journal be
// what it returned. On an error nothing of the final name exists, and Abort is still to be called.
func (f *Folder) Commit(d *Data, p Parts) error {
	if f.done {
		return errors.New("result: folder committed or aborted twice")
	}
	if err := f.checkJournal(d); err != nil {
		return err
	}
	err := errors.Join(f.jobs.close(), f.pods.close(), syncClose(f.journal))
	if f.requests != nil {
		err = errors.Join(err, f.requests.close())
	}
	f.jobs, f.pods, f.requests, f.journal = nil, nil, nil, nil
	if err != nil {
		return err
	}
	if err := f.servingTables(d); err != nil {
		return err
	}
	if err := writeRows(f.path(NodesFile), nodeRows(d)); err != nil {
		return err
	}
	if err := writeRows(f.path(SeriesFile), seriesRows(d)); err != nil {
		return err
	}
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{SummaryFile, func(w io.Writer) error { return WriteJSON(w, &d.Summary) }},
		{ScenarioFile, func(w io.Writer) error { _, err := io.WriteString(w, d.Config); return err }},
		{RunFile, func(w io.Writer) error { return WriteJSON(w, &p.Run) }},
		{ReportFile, report(p.Report, d)},
	} {
		if file.write == nil {
			continue
		}
		if err := writeFile(f.path(file.name), file.write); err != nil {
			return fmt.Errorf("writing %s: %w", file.name, err)
		}
	}
	return f.publish()
}

// servingTables writes the tables of services, each where there is something to say.
func (f *Folder) servingTables(d *Data) error {
	if len(d.Services) > 0 {
		if err := errors.Join(writeRows(f.path(ServicesFile), serviceRows(d)),
			writeRows(f.path(ReplicasFile), d.Replicas)); err != nil {
			return err
		}
	}
	if len(d.Scalings) > 0 {
		if err := writeRows(f.path(ScalingsFile), scalingRows(d)); err != nil {
			return err
		}
	}
	if len(d.Machines) > 0 {
		return writeRows(f.path(MachinesFile), d.Machines)
	}
	return nil
}

// checkJournal holds that the journal in the folder is the one the summary was folded from.
func (f *Folder) checkJournal(d *Data) error {
	t, err := journal.ReadTrailer(f.path(JournalFile))
	if err != nil {
		return err
	}
	if got := (Journal{t.Records, t.Head}); got != d.Summary.Journal {
		return fmt.Errorf("result: summary of journal %+v, the folder holds %+v", d.Summary.Journal, got)
	}
	return nil
}

func report(write func(io.Writer, *Data) error, d *Data) func(io.Writer) error {
	if write == nil {
		return nil
	}
	return func(w io.Writer) error { return write(w, d) }
}

// publish forces the folder to the disk and renames it.
func (f *Folder) publish() error {
	if err := errors.Join(syncDir(f.path(TablesDir)), syncDir(f.dir), absent(f.out)); err != nil {
		return err
	}
	if err := os.Rename(f.dir, f.out); err != nil {
		return err
	}
	f.done = true
	return syncDir(filepath.Dir(f.out))
}

// Abort removes what was written. After Commit it does nothing, so it can be deferred.
func (f *Folder) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	f.jobs.abandon()
	f.pods.abandon()
	f.requests.abandon()
	if f.journal != nil {
		f.journal.Close()
	}
	return os.RemoveAll(f.dir)
}

func writeRows[T any](path string, rows []T) error {
	t, err := createTable[T](path)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if t.add(row) != nil {
			break // close reports it
		}
	}
	return t.close()
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	return syncClose(f)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return syncClose(d)
}

// WriteJSON writes v the way result.json is written: indented, keys in the order of the struct and sorted in maps, the
// shortest form of each number that reads back the same.
func WriteJSON(w io.Writer, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// IsPartial reports whether path names a folder that was never finished.
func IsPartial(path string) bool { return strings.Contains(filepath.Base(path), partialMark) }
