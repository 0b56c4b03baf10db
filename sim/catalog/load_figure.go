package catalog

import (
	"fmt"
	"regexp"

	"gopkg.in/yaml.v3"

	"orrery/sim/strict"
)

// date is YYYY, YYYY-MM or YYYY-MM-DD; YAML would read some of them as numbers.
type date string

var dateForm = regexp.MustCompile(`^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$`)

// UnmarshalText checks the form.
func (d *date) UnmarshalText(text []byte) error {
	if !dateForm.Match(text) {
		return fmt.Errorf("%q is not a date; write YYYY, YYYY-MM or YYYY-MM-DD", text)
	}
	*d = date(text)
	return nil
}

type sourceYAML struct {
	Title string `yaml:"title" required:"true" min:"1"`
	Date  date   `yaml:"date" required:"true"`
	// Unread marks documents that were not open when the figure was written down. No such figure has high confidence.
	Unread bool `yaml:"unread"`
}

func (s sourceYAML) String() string { return s.Title + ", " + string(s.Date) }

// origin is where figures come from: of one figure, or of all in a group that do not say so themselves.
type origin struct {
	Source     string `yaml:"source"`
	Confidence string `yaml:"confidence" enum:"high|medium|low"`
	Note       string `yaml:"note"`
}

// or fills what o does not say from an outer group.
func (o origin) or(outer origin) origin {
	if o.Source == "" {
		o.Source, o.Confidence = outer.Source, firstOf(o.Confidence, outer.Confidence)
	}
	o.Confidence = firstOf(o.Confidence, outer.Confidence)
	o.Note = firstOf(o.Note, outer.Note)
	return o
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// figureYAML is a number alone, whose group says where it comes from, or {value, source, confidence, note,
// alternatives}.
type figureYAML struct {
	Value        float64           `yaml:"value" required:"true"`
	Source       string            `yaml:"source"`
	Confidence   string            `yaml:"confidence" enum:"high|medium|low"`
	Note         string            `yaml:"note"`
	Alternatives []alternativeYAML `yaml:"alternatives"`
}

type alternativeYAML struct {
	Value  float64 `yaml:"value" required:"true"`
	Source string  `yaml:"source" required:"true"`
	Note   string  `yaml:"note"`
}

// DecodeNode reads either form.
func (f *figureYAML) DecodeNode(d *strict.Doc, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		d.DecodeAt(n, path, &f.Value)
		return
	}
	type fields figureYAML // without this method
	d.DecodeAt(n, path, (*fields)(f))
}

// document is a catalogue file that was decoded without problems and is being checked.
type document struct {
	*strict.Doc
	y file
}

// limits are the bounds that the value of a figure must keep.
type limits struct {
	low, high float64
	whole     bool
}

// figure resolves a figure's source and checks its range; nil when absent or wrong.
func (d document) figure(path string, f *figureYAML, outer origin, in limits) *Figure {
	if f == nil {
		return nil
	}
	o := origin{f.Source, f.Confidence, f.Note}.or(outer)
	if o.Source == "" || o.Confidence == "" {
		d.Problemf(path, "%s: its source or confidence is missing; write {value: %v, source: …, confidence: high}, or "+
			"give both to the whole entry", path, f.Value)
		return nil
	}
	source, ok := d.source(path, o.Source)
	if !ok || !d.inside(path, f.Value, in) {
		return nil
	}
	if source.Unread && o.Confidence == "high" {
		d.Problemf(path, "%s: source %q was not read (unread: true) and confidence is high; write medium or low", path,
			o.Source)
		return nil
	}
	out := &Figure{Value: f.Value, Source: source.String(), Date: string(source.Date), Confidence: o.Confidence,
		Note: o.Note}
	for i, a := range f.Alternatives {
		at := fmt.Sprintf("%s.alternatives[%d]", path, i)
		source, ok := d.source(at, a.Source)
		if !ok || !d.inside(at, a.Value, in) {
			continue
		}
		if a.Value == f.Value {
			d.Problemf(at, "%v is the value itself; an alternative is what another source says instead", a.Value)
		}
		out.Alternatives = append(out.Alternatives, Alternative{a.Value, source.String(), a.Note})
	}
	return out
}

func (d document) source(path, name string) (sourceYAML, bool) {
	source, ok := d.y.Sources[name]
	if !ok {
		d.Problemf(path+".source", "source %q is not under sources:; %s", name,
			strict.Suggest(name, sortedKeys(d.y.Sources)))
	}
	return source, ok
}

func (d document) inside(path string, value float64, in limits) bool {
	if value < in.low || value > in.high {
		d.Problemf(path, "%v is out of range; want %v to %v", value, in.low, in.high)
		return false
	}
	if in.whole && value != float64(int64(value)) {
		d.Problemf(path, "%v is not a whole number; correct it", value)
		return false
	}
	return true
}
