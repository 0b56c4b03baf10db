// Package reports turns a finished run into panels: each answers one question with findings, tables and charts in a
// neutral model that the renderers (html, term, csv, json) share. A number is therefore computed once and reads the
// same everywhere.
//
// It sees only result.Data: whatever a panel shows is a fold of the journal, never a second opinion of it.
package reports

import (
	"encoding/json"
	"math"

	"orrery/sim/result"
)

// Panel answers one question about a run. Build is a pure function of the data; it never fails: what is missing is
// said in the content.
type Panel struct {
	ID       string // stable, lower case; anchor, file name and command-line argument
	Title    string
	Question string
	Build    func(d *result.Data) Content
}

// Section is a panel with its content for one run.
type Section struct {
	Panel
	Content
}

// Content is what a panel found.
type Content struct {
	Headline string    // the answer in one sentence
	Findings []Finding // plain-words findings, most important first
	Cards    []Card
	Charts   []Chart
	Tables   []Table
	Notes    []string // footnotes: sample sizes, definitions, what was left out
	Text     string   // preformatted text, e.g. the scenario
	// Absent says that the run has nothing that the panel is about: reports leave it out.
	Absent bool
}

// Level says how a reader should take a finding.
type Level string

// The levels, from good news to bad.
const (
	Good Level = "good"
	Info Level = "info"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// Finding is one sentence or two that follow from the numbers.
type Finding struct {
	Rule  string `json:"rule"` // the rule that found it
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// Card is one figure of the first screen.
type Card struct {
	Label string `json:"label"`
	Value string `json:"value"`
	Sub   string `json:"sub"`
}

// Kind says what a column's cells are, hence how they are written for people.
type Kind string

// The kinds of cells.
const (
	Text     Kind = "text"
	Count    Kind = "count"    // a whole number
	Number   Kind = "number"   // a quantity in the column's unit
	Share    Kind = "share"    // a fraction, 1 = 100 %
	Duration Kind = "duration" // seconds
	Money    Kind = "money"    // US dollars
	Price    Kind = "price"    // US dollars for one of something
)

// Column describes a column of a table.
type Column struct {
	Key  string `json:"key"`  // machine name, unit last: used_gpu_hours
	Name string `json:"name"` // for people
	Unit string `json:"unit,omitempty"`
	Kind Kind   `json:"kind"`
}

// Right reports whether the column is aligned to the right, as numbers are.
func (c Column) Right() bool { return c.Kind != Text }

// Header is the column's heading for people, with the unit where the cells do not carry it.
func (c Column) Header() string {
	if c.Unit == "" || c.Kind == Share || c.Kind == Duration || c.Kind == Money || c.Kind == Price {
		return c.Name
	}
	return c.Name + " (" + c.Unit + ")"
}

// Format writes a cell of the column for people.
func (c Column) Format(v Cell) string {
	switch {
	case v.null:
		return "–"
	case c.Kind == Text:
		return v.text
	case c.Kind == Count:
		return FormatCount(v.num)
	case c.Kind == Share:
		return FormatShare(v.num)
	case c.Kind == Duration:
		return FormatDuration(v.num)
	case c.Kind == Money:
		return FormatUSD(v.num)
	case c.Kind == Price:
		return FormatPrice(v.num)
	}
	return FormatNumber(v.num)
}

// Cell is a typed value: a text, a finite number, or nothing.
type Cell struct {
	text  string
	num   float64
	isNum bool
	null  bool
}

// T is a text cell.
func T(s string) Cell { return Cell{text: s} }

// N is a number cell. A number that is not finite becomes an empty cell.
func N(f float64) Cell {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return None()
	}
	return Cell{num: f, isNum: true}
}

// I is a whole-number cell.
func I(n int64) Cell { return N(float64(n)) }

// None is the empty cell: the value does not exist.
func None() Cell { return Cell{null: true} }

// Raw writes the cell for machines: full precision, empty for an empty cell.
func (v Cell) Raw() string {
	switch {
	case v.null:
		return ""
	case v.isNum:
		return rawNumber(v.num)
	}
	return v.text
}

// MarshalJSON writes a JSON string, number or null.
func (v Cell) MarshalJSON() ([]byte, error) {
	switch {
	case v.null:
		return []byte("null"), nil
	case v.isNum:
		return []byte(rawNumber(v.num)), nil
	}
	return json.Marshal(v.text)
}

// Table is a table of typed cells. Every row has as many cells as there are columns.
type Table struct {
	ID      string // unique in its panel
	Title   string
	Columns []Column
	Rows    [][]Cell
}

// ChartKind names a way to draw.
type ChartKind string

// The kinds of charts.
const (
	StackedArea ChartKind = "stacked_area" // X numeric, series stacked, values are averages from X[i] to X[i+1]
	Line        ChartKind = "line"         // the same, not stacked
	Bar         ChartKind = "bar"          // one group of bars per category
	StackedBar  ChartKind = "stacked_bar"  // one bar per category
	Histogram   ChartKind = "histogram"    // one bar per bin, no gaps
	HeatMap     ChartKind = "heat_map"     // Heat rows × columns
)

// Axis names a quantity and its unit.
type Axis struct {
	Name string `json:"name"`
	Unit string `json:"unit"` // never empty: a count is counted in something
}

// Label is the axis title.
func (a Axis) Label() string { return a.Name + " (" + a.Unit + ")" }

// Role is the meaning of a series; renderers give each role one colour, pattern or letter everywhere.
type Role string

// The roles.
const (
	RoleUsed       Role = "used"
	RoleNoDemand   Role = "idle_no_demand"
	RoleFragmented Role = "idle_fragmented"
	RoleWaiting    Role = "idle_waiting"
	RoleIdle       Role = "idle"
	RoleDown       Role = "down"
	RoleNodes      Role = "nodes"
	RoleCapacity   Role = "capacity"
	RolePods       Role = "pods"
	RoleGPUs       Role = "gpus"
	RoleTypical    Role = "typical" // a median
	RoleTail       Role = "tail"    // a high percentile
	RoleExtreme    Role = "extreme" // the highest percentile
	RoleTarget     Role = "target"  // what is wanted
	RoleBound      Role = "bound"   // the same, where runs have the colours
	RoleLost       Role = "lost"    // what went wrong

	// Causes of fragmentation.
	RoleNodeKind Role = "cause_node_kind"
	RoleGPUCount Role = "cause_gpu_count"
	RoleMIG      Role = "cause_mig_geometry"
	RoleCPU      Role = "cause_cpu"
	RoleMemory   Role = "cause_memory"
	RolePodLimit Role = "cause_pods"
	RoleGang     Role = "cause_gang"
	RoleTopology Role = "cause_topology"
	RoleOther    Role = "cause_other"
)

// ChartSeries is one series. Values are finite.
type ChartSeries struct {
	Name   string    `json:"name"`
	Role   Role      `json:"role"`
	Values []float64 `json:"values"`
	// Overlay draws the series as a line on top of a stack, not as part of it.
	Overlay bool `json:"overlay,omitempty"`
}

// Chart says what to draw, not how.
type Chart struct {
	ID         string
	Title      string
	Kind       ChartKind
	X, Y       Axis
	Log        bool      // line: Y is logarithmic, and 0 means that there is no value
	Times      []float64 // line and area: bin starts in X.Unit; one more than the values: the last is the end
	Categories []string  // bar, histogram, heat map: labels along X
	Series     []ChartSeries
	Rows       []string    // heat map: labels along Y, top to bottom
	Heat       [][]float64 // heat map: [row][column] in Value.Unit, -1 = not there
	Value      Axis        // heat map: what the colour means
}

// Build makes the panels of a run that have something to be about, in the order of Panels.
func Build(d *result.Data) []Section {
	var out []Section
	for _, p := range Panels() {
		if jobsOnly[p.ID] && d.Summary.Jobs.Submitted == 0 && d.Summary.Serving != nil {
			continue
		}
		if c := p.Build(d); !c.Absent {
			out = append(out, Section{p, c})
		}
	}
	return out
}

// jobsOnly are the panels that a run of services alone has nothing to say to.
var jobsOnly = map[string]bool{"queue": true, "waits": true, "sizes": true, "slowdown": true, "gangs": true,
	"speed": true, "locality": true, "longest": true, "tenants": true}
