package metrics

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// rateInterval is the window of the rates that prometheus-adapter makes of counters (its flag and chart value
// prometheus.rateInterval of config-gen, 5 minutes in its documentation).
const rateInterval = 5 * time.Minute

// need is a selector of a known query.
type need struct {
	matchers []*labels.Matcher
	back     int64 // milliseconds that it looks back beyond the latest sample
}

// needs say what must be stored.
type needs struct {
	list    []need
	longest int64 // the furthest that any looks back, milliseconds
	version uint64
}

// of returns how far back a series is looked at, and whether it is stored at all.
func (n *needs) of(ls labels.Labels) (keep int64, stored bool) {
	name := ls.Get(metricName)
	stored = !strings.HasSuffix(name, "_bucket")
	if strings.HasSuffix(name, "_total") {
		keep = rateInterval.Milliseconds() // the adapter can be asked for it at any time
	}
	for _, x := range n.list {
		if matches(ls, x.matchers) {
			keep, stored = max(keep, x.back), true
		}
	}
	return keep, stored
}

// matches reports whether labels satisfy all matchers.
func matches(ls labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// learn adds the selectors of an expression.
func (s *Store) learn(expr parser.Expr) {
	s.needs.longest = max(s.needs.longest, rateInterval.Milliseconds())
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		back, direct := v.OriginalOffset, v.OriginalOffset == 0
		for _, p := range path {
			switch p := p.(type) {
			case *parser.MatrixSelector:
				back += p.Range
			case *parser.SubqueryExpr:
				back, direct = back+p.Range+p.OriginalOffset, false
			}
		}
		if !direct {
			back += Lookback
		}
		n := need{slices.Clone(v.LabelMatchers), max(0, back.Milliseconds())}
		s.needs.list = append(s.needs.list, n)
		s.needs.longest = max(s.needs.longest, n.back)
		return nil
	})
	s.needs.version++
	for _, x := range s.names {
		for _, ser := range x.list {
			keep, _ := s.needs.of(ser.labels)
			ser.keep = max(ser.keep, keep)
		}
	}
}

// Wants reports whether samples of a name can be stored, whatever their labels: what it does not, a target need not
// show. That changes with Learned.
func (s *Store) Wants(name string) bool {
	if !strings.HasSuffix(name, "_bucket") {
		return true
	}
	return slices.ContainsFunc(s.needs.list, func(n need) bool {
		for _, m := range n.matchers {
			if m.Name == metricName && !m.Matches(name) {
				return false
			}
		}
		return true
	})
}

// Learned counts the expressions that are known: what the store wants can change when it does.
func (s *Store) Learned() uint64 { return s.needs.version }

// Uses returns the names of the metrics that known queries can match by name, sorted: what a target need not show, it
// need not compute.
func (s *Store) Uses() []string {
	var out []string
	for _, n := range s.needs.list {
		for _, m := range n.matchers {
			if m.Name == metricName && m.Type == labels.MatchEqual {
				out = append(out, m.Value)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Unseen returns the names of metrics that expressions or callers of the APIs have asked for and that no target has
// shown, and the APIs not served, so far; sorted.
func (s *Store) Unseen() []string {
	var out []string
	for _, name := range s.Uses() {
		if s.names[name] == nil {
			out = append(out, name)
		}
	}
	for name := range s.missed {
		if shown, _ := s.exposed(name); shown == "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
