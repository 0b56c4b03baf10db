// Package burstgpt imports BurstGPT: requests to the GPT services of a university's Azure region, read by column name,
// so that both releases fit. Release 2.0 has the columns "Session ID" and "Elapsed time" behind "Timestamp".
//
// A request that failed has no response tokens. Such rows are left out and counted, or, as an option, kept with one
// token: what the service had to do before it failed is not known.
package burstgpt

import (
	"bytes"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"orrery/traces"
	"orrery/traces/formats/table"
	"orrery/traces/requests"
)

// Version is the version of this importer; it changes when the same file gives other requests.
const Version = "1"

// Format implements requests.Format.
type Format struct{}

// Info implements requests.Format.
func (Format) Info() traces.Info {
	return traces.Info{
		Name:    "burstgpt",
		Summary: "BurstGPT 2023/24, 121 days of ChatGPT and GPT-4 at a university: model, kind of log, tokens, sessions",
		Licence: "CC-BY-4.0",
		Citation: "Wang et al., BurstGPT: A Real-World Workload Dataset to Optimize LLM Serving Systems, KDD 2025 " +
			"(arXiv 2401.17644); github.com/HPMLL/BurstGPT",
		Options: []traces.Option{{Key: "failed", Default: "skip", Values: []string{"skip", "keep"},
			Meaning: "rows without response tokens failed; keep: as requests of one output token"}},
	}
}

// names of the columns.
const (
	timestamp = "Timestamp"
	model     = "Model"
	request   = "Request tokens"
	response  = "Response tokens"
	total     = "Total tokens"
	logType   = "Log Type"
	session   = "Session ID"
)

var required = []string{timestamp, model, request, response, total, logType}

// Detect implements requests.Format.
func (Format) Detect(_ string, head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	for _, column := range required {
		if !bytes.Contains(line, []byte(column)) {
			return false
		}
	}
	return true
}

// Open implements requests.Format.
func (f Format) Open(in traces.Input, o requests.StreamOptions) (requests.Source, error) {
	t, err := table.Open(in, table.Columns{Required: required, Optional: []string{session},
		Unused: []string{"Elapsed time"}})
	if err != nil {
		return nil, err
	}
	info := f.Info()
	return requests.NewStream(requests.Header{Name: info.Name, Licence: info.Licence, Citation: info.Citation,
		Source:   "github.com/HPMLL/BurstGPT",
		Importer: info.Name + " " + Version,
		Notes:    []string{"service is the model, tenant the kind of log", "times are in whole seconds in the source"}},
		&rows{t: t, keep: in.Set["failed"] == "keep"}, o), nil
}

type rows struct {
	t     *table.Table
	keep  bool
	notes []string
}

// Read implements requests.Rows.
func (r *rows) Read(row *requests.Row) (bool, error) {
	t := r.t
	if !t.Step() {
		var err error
		_, r.notes, err = t.Finish()
		return false, err
	}
	row.Line = t.Line()
	if len(t.Problems()) == 0 {
		row.At = t.Seconds(timestamp)
		row.Service, row.Tenant = t.Word(model), t.Word(logType)
		in, out := t.Int(request, requests.TokensMax), t.Int(response, requests.TokensMax)
		if sum := t.Int(total, 2*requests.TokensMax); len(t.Problems()) == 0 && sum != in+out {
			t.Fail(traces.CodeValue, "the total is request tokens + response tokens: correct the wrong one",
				"%s is %d, expected %d", total, sum, in+out)
		}
		if out == 0 {
			out = 1
			if !r.keep {
				row.Skip = "failed: no response tokens"
			}
		}
		row.Input, row.Output = int(in), int(out)
		if in == 0 && row.Skip == "" && r.keep {
			row.Skip = "failed: no tokens at all"
		}
		row.Session = r.session()
	}
	row.Problems = t.Problems()
	return true, nil
}

// session returns the session's number; a text is hashed.
func (r *rows) session() uint64 {
	if !r.t.Has(session) || r.t.Missing(session) {
		return 0
	}
	s := r.t.Text(session)
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return n + 1 // 0 stands for none
	}
	return max(xxhash.Sum64String(s), 1)
}

// Notes implements requests.Rows.
func (r *rows) Notes() []string { return r.notes }
