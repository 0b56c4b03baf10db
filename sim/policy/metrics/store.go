package metrics

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// Lookback is how long a sample counts when no newer one follows (prometheus v0.311.3, cmd/prometheus/main.go, flag
// query.lookback-delta).
const Lookback = 5 * time.Minute

// Defaults of intervals: of Prometheus as its operator installs it (30 s) serving charts usually ask for 15 s, and of
// metrics-server (cmd/metrics-server/app/options, flag metric-resolution, of kubernetes-sigs/metrics-server v0.8).
const (
	DefaultScrape   = 15 * time.Second
	DefaultResource = 15 * time.Second
)

// Options of New.
type Options struct {
	// Epoch is the wall-clock instant of time zero: PromQL's time(), hour() and so on see it.
	Epoch time.Time
	// Now is the current instant, for the clients, which are not told one.
	Now func() units.Time
	// Plan has the intervals (0 = the defaults) and the rules.
	Plan plan.Metrics
	// Queries are further expressions that will be asked for, such as those of KEDA's triggers.
	Queries []string
}

// Store is the metrics server of one run. It is not safe for concurrent use: scrapes come from the driver of the
// engine, and so must the calls of its clients (through the engine's gate).
type Store struct {
	epochMS          int64
	now              func() units.Time
	scrape, resource units.Duration

	needs      needs
	queries    map[string]*Query // by expression
	engine     *promql.Engine
	generation uint64 // counts changes of stored samples
	changes    uint64 // counts changes of the set of series
	names      map[string]*nameIndex
	targets    map[string]*Target // by key
	spaces     map[string][]*Target
	leaving    []*Target // have gone, their series have not ended yet; by time
	ending     []*Target // their series have ended and are kept for queries that look back
	builder    labels.ScratchBuilder

	usage      map[string][]*podUsage // by namespace, sorted by pod
	selections map[*labels.Matcher]found
	custom     map[string]*Query
	external   map[string]*Query
	servers    []ExternalServer
	adapter    map[adapterKey]*Query
	missed     map[string]bool // metrics that the APIs were asked for and did not have
}

// New returns an empty store. It fails when an expression of the plan or of Queries is none; the error has all of them.
func New(o Options) (*Store, error) {
	if o.Now == nil {
		return nil, errors.New("metrics: Options.Now is required")
	}
	s := &Store{epochMS: o.Epoch.UnixMilli(), now: o.Now, scrape: o.Plan.Scrape, resource: o.Plan.Resource,
		queries: map[string]*Query{}, names: map[string]*nameIndex{}, targets: map[string]*Target{},
		spaces: map[string][]*Target{}, usage: map[string][]*podUsage{}, custom: map[string]*Query{},
		external: map[string]*Query{}, adapter: map[adapterKey]*Query{}, selections: map[*labels.Matcher]found{},
		missed: map[string]bool{}, builder: labels.NewScratchBuilder(16)}
	if s.scrape == 0 {
		s.scrape = DefaultScrape
	}
	if s.resource == 0 {
		s.resource = DefaultResource
	}
	s.engine = newEngine(s)
	var errs []error
	for _, x := range o.Plan.Custom {
		q, err := s.Query(x.Query)
		errs = append(errs, about("custom", x.Name, err))
		s.custom[x.Name] = q
	}
	for _, x := range o.Plan.External {
		q, err := s.Query(x.Query)
		errs = append(errs, about("external", x.Name, err))
		s.external[x.Name] = q
	}
	for _, x := range o.Queries {
		_, err := s.Query(x)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// about says whose expression is wrong.
func about(api, name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s metric %s: %w", api, name, err)
	}
	return nil
}

// Interval returns how often targets are scraped.
func (s *Store) Interval() units.Duration { return s.scrape }

// Resolution returns how often usage of pods is measured.
func (s *Store) Resolution() units.Duration { return s.resource }

// Label is a label of a sample or target.
type Label struct{ Name, Value string }

// Sample is a line of a target's metrics page. Labels are those of the line itself, without the target's.
type Sample struct {
	Name   string
	Labels []Label
	Value  float64
}

// Pod names a pod and what selectors see of it.
type Pod struct {
	Namespace, Name string
	Labels          map[string]string
}

// TargetOptions describe a target.
type TargetOptions struct {
	// Pod is the pod that is scraped. Its name is empty when the target is no pod, such as a gateway.
	Pod Pod
	// Labels are what relabelling attaches to every series: usually namespace, pod, container, job, service, node. Where
	// a sample has the same label, the sample's is renamed exported_…, as Prometheus does without honor_labels.
	Labels []Label
	// HonorLabels lets the sample's labels win.
	HonorLabels bool
	// Part says that what is scraped is a part of another target, which has the series up.
	Part bool
}

// Target is something that is scraped.
type Target struct {
	store *Store
	o     TargetOptions
	key   string
	order []*series // by position on the page of the last scrape; nil where the sample is dropped
	lines []Sample  // the same positions
	known map[string]*series
	up    *series
	last  units.Time // of the last scrape, -1 = none
	needs uint64     // version of the store's needs that order was made for
	gone  bool
	ends  units.Time // of a target that has gone: when its series end
}

// Target registers a target. There must be no other one with the same labels.
func (s *Store) Target(o TargetOptions) (*Target, error) {
	var b strings.Builder
	o.Labels = slices.Clone(o.Labels)
	slices.SortFunc(o.Labels, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	for _, l := range o.Labels {
		fmt.Fprintf(&b, "%q=%q,", l.Name, l.Value)
	}
	key := b.String()
	if s.targets[key] != nil {
		return nil, fmt.Errorf("two targets have the labels {%s}", strings.TrimSuffix(key, ","))
	}
	t := &Target{store: s, o: o, key: key, known: map[string]*series{}, last: -1}
	s.targets[key] = t
	if o.Pod.Name != "" {
		list := s.spaces[o.Pod.Namespace]
		i, _ := slices.BinarySearchFunc(list, o.Pod.Name, func(t *Target, name string) int {
			return strings.Compare(t.o.Pod.Name, name)
		})
		s.spaces[o.Pod.Namespace] = slices.Insert(list, i, t)
	}
	return t, nil
}

// millis returns an instant as Prometheus counts it.
func (s *Store) millis(at units.Time) int64 { return s.epochMS + int64(at)/int64(time.Millisecond) }

// Scrape stores what a target shows at an instant. Instants never go back. The page is read, not kept; a target that
// shows the same lines in the same order as before costs no allocation.
func (s *Store) Scrape(at units.Time, t *Target, page []Sample) {
	s.settle(at)
	if t.gone {
		return
	}
	if !t.fits(page) {
		t.arrange(at, page)
	}
	ms := s.millis(at)
	for i, ser := range t.order {
		if ser != nil {
			ser.add(ms, page[i].Value)
		}
	}
	t.report(ms, 1)
	t.last = at
}

// Fail records a scrape that got no answer: up is 0, and the series of the target end.
func (s *Store) Fail(at units.Time, t *Target) {
	s.settle(at)
	if t.gone {
		return
	}
	ms := s.millis(at)
	t.stop(ms)
	t.order, t.lines = t.order[:0], t.lines[:0]
	t.report(ms, 0)
	t.last = at
}

// report writes the series that Prometheus adds to each target: of those only up.
func (t *Target) report(ms int64, up float64) {
	t.store.generation++
	if t.o.Part {
		return
	}
	if t.up == nil {
		t.up = t.seriesOf(Sample{Name: "up"})
	}
	t.up.add(ms, up)
}

// Remove says that a target has gone. Its series end as the package's documentation says.
func (s *Store) Remove(at units.Time, t *Target) {
	if t.gone {
		return
	}
	s.settle(at)
	t.gone = true
	delete(s.targets, t.key)
	if list := s.spaces[t.o.Pod.Namespace]; t.o.Pod.Name != "" {
		list = slices.DeleteFunc(list, func(x *Target) bool { return x == t })
		if s.spaces[t.o.Pod.Namespace] = list; len(list) == 0 {
			delete(s.spaces, t.o.Pod.Namespace)
		}
	}
	if t.last < 0 {
		return
	}
	missed := t.last.Add(s.scrape)
	for missed < at {
		missed = missed.Add(s.scrape)
	}
	t.ends = missed
	s.leaving = append(s.leaving, t)
}

// noticed is when the server writes that the series of t have ended.
func (s *Store) noticed(t *Target) units.Time { return t.ends.Add(s.scrape + s.scrape/10) }

// settle ends the series of targets that have gone and forgets those that no query can see.
func (s *Store) settle(at units.Time) {
	keep := s.leaving[:0]
	for _, t := range s.leaving {
		if s.noticed(t) > at {
			keep = append(keep, t)
			continue
		}
		t.order = append(t.order, t.up)
		t.stop(s.millis(t.ends))
		s.generation++
		s.ending = append(s.ending, t)
	}
	s.leaving = keep
	if len(s.ending) == 0 {
		return
	}
	rest := s.ending[:0]
	for _, t := range s.ending {
		if s.millis(t.ends)+s.needs.longest+Lookback.Milliseconds() < s.millis(at) {
			t.forget()
			continue
		}
		rest = append(rest, t)
	}
	s.ending = rest
}

// stop ends every series of t but up.
func (t *Target) stop(ms int64) {
	for _, ser := range t.order {
		if ser != nil {
			ser.add(ms, math.Float64frombits(value.StaleNaN))
		}
	}
}

// forget takes the series of t out of the store.
func (t *Target) forget() {
	for _, ser := range t.known {
		t.store.drop(ser)
	}
	t.known, t.order, t.lines = nil, nil, nil
}

// fits reports whether page has the lines of the last scrape.
func (t *Target) fits(page []Sample) bool {
	if len(page) != len(t.lines) || t.needs != t.store.needs.version {
		return false
	}
	for i := range page {
		if p, l := &page[i], &t.lines[i]; p.Name != l.Name || !slices.Equal(p.Labels, l.Labels) {
			return false
		}
	}
	return true
}

// arrange finds the series of a page's lines, and ends those that it no longer shows.
func (t *Target) arrange(at units.Time, page []Sample) {
	before := t.order
	t.order, t.lines = make([]*series, len(page)), make([]Sample, len(page))
	shown := make(map[*series]bool, len(page))
	for i, p := range page {
		p.Labels = slices.Clone(p.Labels)
		t.lines[i] = p
		t.order[i] = t.seriesOf(p)
		shown[t.order[i]] = true
	}
	ms := t.store.millis(at)
	for _, ser := range before {
		if ser != nil && !shown[ser] {
			ser.add(ms, math.Float64frombits(value.StaleNaN))
		}
	}
	t.needs = t.store.needs.version
}

// seriesOf returns the series of a line, nil when it is not stored.
func (t *Target) seriesOf(p Sample) *series {
	s := t.store
	b := &s.builder
	b.Reset()
	b.Add(metricName, p.Name)
	for _, l := range p.Labels {
		b.Add(t.renamed(l.Name), l.Value)
	}
	for _, l := range t.o.Labels {
		if !t.o.HonorLabels || !hasLabel(p.Labels, l.Name) {
			b.Add(l.Name, l.Value)
		}
	}
	b.Sort()
	ls := b.Labels()
	key := string(ls.Bytes(nil))
	if ser := t.known[key]; ser != nil {
		return ser
	}
	keep, stored := s.needs.of(ls)
	if !stored {
		return nil
	}
	ser := s.series(ls, keep)
	t.known[key] = ser
	return ser
}

// renamed is the name under which a label of a line is stored.
func (t *Target) renamed(name string) string {
	if !t.o.HonorLabels && hasLabel(t.o.Labels, name) {
		return "exported_" + name
	}
	return name
}

func hasLabel(list []Label, name string) bool {
	return slices.ContainsFunc(list, func(l Label) bool { return l.Name == name })
}
