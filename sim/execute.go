package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"orrery/sim/account"
	"orrery/sim/cost"
	"orrery/sim/journal"
	"orrery/sim/plan"
	"orrery/sim/result"
)

// Execution is one run into a result folder.
type Execution struct {
	Plan *plan.Plan
	Jobs plan.JobSource // closed by the caller
	// Requests are those that the plan's services name; closed by the caller.
	Requests []plan.RequestSource
	Book     *cost.Book
	// Out is the result folder. It must not exist; it appears whole or not at all.
	Out string
	// Report writes report.html.
	Report   func(io.Writer, *result.Data) error
	Command  []string     // for run.json
	Progress *Progress    // optional
	Stop     *atomic.Bool // optional
	// ExactUpstream is that of Params.
	ExactUpstream bool
	Between       func() // that of Params
}

// Execute runs the plan, folds its journal as it is written, and leaves a whole result folder.
func Execute(x Execution) (*result.Data, error) {
	started := time.Now()
	folder, err := result.Create(x.Out)
	if err != nil {
		return nil, err
	}
	data, err := x.execute(folder, started)
	if err != nil {
		return nil, errors.Join(err, folder.Abort())
	}
	return data, nil
}

func (x Execution) execute(folder *result.Folder, started time.Time) (*result.Data, error) {
	writer := journal.NewWriter(folder.Journal())
	fold := account.New(account.Options{OnJob: folder.AddJob, OnPod: folder.AddPod,
		OnRequest: folder.AddRequest, Description: x.Plan.Description,
		Config: string(x.Plan.Resolved), Repeatable: repeatable(x.Plan)})
	out, err := Run(Params{Plan: x.Plan, Jobs: x.Jobs, Requests: x.Requests, Sink: journal.Multi{writer, fold},
		Progress: x.Progress, Stop: x.Stop, ExactUpstream: x.ExactUpstream, Between: x.Between,
		SinkErr: func() error { return errors.Join(writer.Err(), fold.Err()) }})
	if err != nil {
		return nil, err
	}
	data, err := fold.Finish(out.End)
	if err != nil {
		return nil, fmt.Errorf("the books do not balance, which is a defect of the simulator: %w", err)
	}
	records, head, err := writer.Close()
	if err != nil {
		return nil, fmt.Errorf("writing the journal: %w", err)
	}
	data.Summary.Journal = result.Journal{Records: records, SHA256: head}
	if err := Settle(data, x.Plan, x.Book); err != nil {
		return nil, err
	}
	return data, folder.Commit(data, result.Parts{Run: x.runInfo(started, head), Report: x.Report})
}

// Settle prices an account, names the models behind it and checks the plan's expectations. It can be applied again to
// re-price an old run.
func Settle(data *result.Data, p *plan.Plan, book *cost.Book) error {
	if err := cost.Apply(data, book, cost.Basis(p.Pricing.Basis)); err != nil {
		return fmt.Errorf("pricing the run: %w", err)
	}
	data.Summary.Models = modelCards(p)
	return expect(data, p.Expect)
}

// Refold makes the account of an existing result folder again, from its journal.
func Refold(dir string, p *plan.Plan, book *cost.Book) (*result.Data, error) {
	opened, err := result.Open(dir)
	if err != nil {
		return nil, err
	}
	r, err := journal.Open(filepath.Join(opened.Dir, result.JournalFile))
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	data, err := account.FromJournal(r, account.Options{Description: p.Description, Config: string(p.Resolved),
		Repeatable: opened.Summary.Repeatable})
	if err != nil {
		return nil, err
	}
	data.Summary.Journal = opened.Summary.Journal
	return data, Settle(data, p, book)
}

// expect compares the summary with the plan's bounds.
func expect(data *result.Data, bounds []plan.Bound) error {
	data.Summary.Expectations = nil
	text, err := json.Marshal(&data.Summary)
	if err != nil {
		return err
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return err
	}
	for _, b := range bounds {
		var at any = tree
		for _, step := range strings.Split(b.Path, ".") {
			m, _ := at.(map[string]any)
			at = m[step]
		}
		value, ok := at.(float64)
		// Without the number, because this run has nothing to say there, the bound is missed.
		met := ok && (b.Min == nil || value >= *b.Min) && (b.Max == nil || value <= *b.Max)
		data.Summary.Expectations = append(data.Summary.Expectations,
			result.Expectation{Path: b.Path, Min: b.Min, Max: b.Max, Value: value, Met: met})
	}
	return nil
}

// runInfo is what differs between two runs of the same plan.
func (x Execution) runInfo(started time.Time, head string) result.RunInfo {
	host, _ := os.Hostname() // unknown is fine: it is for people
	info := result.RunInfo{Command: x.Command, Started: started.UTC().Format(time.RFC3339),
		WallSeconds: time.Since(started).Seconds(), Binary: Version, Go: runtime.Version(), OS: runtime.GOOS,
		Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Host: host, JournalHash: head}
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		info.PeakRSSBytes = usage.Maxrss * 1024
	}
	return info
}
