// Package azure imports the traces of inference services in Azure: AzureLLMInferenceTrace_code.csv and _conv.csv of
// November 2023, and the weeks AzureLLMInferenceTrace_code_1week.csv and _conv_1week.csv of May 2024.
//
// Both have the columns TIMESTAMP, ContextTokens and GeneratedTokens. Stamps of 2023 have seven decimals and no zone
// (2023-11-16 18:17:03.9799600), those of 2024 microseconds, which are left out when they are 0, and a zone (2024-05-10
// 00:00:00.009930+00:00); the dataset's description of 2023 speaks of 11 November, the stamps of 16 November. There is
// no model, session or prefix. The year of the first stamp tells the two formats apart.
package azure

import (
	"bytes"
	"path/filepath"
	"strings"
	"time"

	"orrery/traces"
	"orrery/traces/formats/table"
	"orrery/traces/requests"
)

// Version is the version of this importer; it changes when the same file gives other requests.
const Version = "1"

// Format implements requests.Format for one of the datasets.
type Format struct{ year string }

// Hour2023 and Week2024 are the two datasets.
var (
	Hour2023 = Format{"2023"}
	Week2024 = Format{"2024"}
)

// Info implements requests.Format.
func (f Format) Info() traces.Info {
	i := traces.Info{
		Name:    "azure-llm-" + f.year,
		Licence: "CC-BY-4.0",
		Options: []traces.Option{{Key: "service", Default: "auto",
			Meaning: "service of the requests; auto: code or conv when the file's name says so, else none"}},
	}
	if f.year == "2023" {
		i.Summary = "Azure 2023, an hour of two services (code, conversation): time, tokens in and out"
		i.Citation = "Patel et al., Splitwise: Efficient Generative LLM Inference Using Phase Splitting, ISCA 2024; " +
			"github.com/Azure/AzurePublicDataset"
		return i
	}
	i.Summary = "Azure 2024, a week of two services (code, conversation): time, tokens in and out"
	i.Citation = "Stojkovic et al., DynamoLLM: Designing LLM Inference Clusters for Performance and Energy Efficiency, " +
		"HPCA 2025; github.com/Azure/AzurePublicDataset"
	return i
}

var columns = []string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}

// Detect implements requests.Format.
func (f Format) Detect(_ string, head []byte) bool {
	line, rest, _ := bytes.Cut(head, []byte{'\n'})
	for _, column := range columns {
		if !bytes.Contains(line, []byte(column)) {
			return false
		}
	}
	row, _, _ := bytes.Cut(rest, []byte{'\n'})
	is2023 := bytes.Contains(row, []byte("2023-")) || !bytes.Contains(row, []byte("+00:00"))
	return is2023 == (f.year == "2023")
}

// Open implements requests.Format.
func (f Format) Open(in traces.Input, o requests.StreamOptions) (requests.Source, error) {
	t, err := table.Open(in, table.Columns{Required: columns})
	if err != nil {
		return nil, err
	}
	service := in.Set["service"]
	if service == "auto" {
		service = ""
		base := strings.ToLower(filepath.Base(in.Path))
		for _, name := range []string{"code", "conv"} {
			if strings.Contains(base, name) {
				service = name
			}
		}
	}
	o.Calendar = true
	info := f.Info()
	return requests.NewStream(requests.Header{Name: info.Name, Licence: info.Licence, Citation: info.Citation,
		Source:   "github.com/Azure/AzurePublicDataset, AzureLLMInferenceTrace",
		Importer: info.Name + " " + Version,
		Notes:    []string{"stamps without zone are read as UTC"}},
		&rows{t: t, service: service}, o), nil
}

type rows struct {
	t       *table.Table
	service string
	notes   []string
}

// Read implements requests.Rows.
func (r *rows) Read(row *requests.Row) (bool, error) {
	if !r.t.Step() {
		var err error
		_, r.notes, err = r.t.Finish()
		return false, err
	}
	row.Line = r.t.Line()
	if len(r.t.Problems()) == 0 {
		row.At = r.at()
		row.Input = int(r.t.Int("ContextTokens", requests.TokensMax))
		row.Output = int(r.t.Int("GeneratedTokens", requests.TokensMax))
		row.Service = r.service
	}
	row.Problems = r.t.Problems()
	return true, nil
}

// at returns the stamp. Its usual forms are read by position, several times as fast as by layout.
func (r *rows) at() time.Duration {
	if ns, ok := stamp(r.t.Text("TIMESTAMP")); ok {
		return ns
	}
	return table.SinceEpoch(r.t.Instant("TIMESTAMP"))
}

// stamp reads "2006-01-02 15:04:05" with optional decimals and an optional "+00:00" since the Unix epoch. False: it is
// something else.
func stamp(s string) (time.Duration, bool) {
	s = strings.TrimSuffix(s, "+00:00")
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	year, ok1 := number(s[0:4])
	month, ok2 := number(s[5:7])
	day, ok3 := number(s[8:10])
	hour, ok4 := number(s[11:13])
	minute, ok5 := number(s[14:16])
	second, ok6 := number(s[17:19])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || year < 1970 || year > 2199 || month < 1 || month > 12 || day < 1 ||
		day > 28 || hour > 23 || minute > 59 || second > 59 {
		return 0, false // the last days of a month are left to the calendar
	}
	ns := 0
	if len(s) > 19 {
		frac, ok := number(s[20:])
		if s[19] != '.' || len(s) > 29 || len(s) == 20 || !ok {
			return 0, false
		}
		for range 29 - len(s) {
			frac *= 10
		}
		ns = frac
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, ns, time.UTC)
	return time.Duration(at.UnixNano()), true
}

func number(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, s != ""
}

// Notes implements requests.Rows.
func (r *rows) Notes() []string { return r.notes }
