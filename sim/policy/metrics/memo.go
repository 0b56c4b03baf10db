package metrics

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Most questions are asked again and again of a service that does nothing, or the same all the time: a gauge that
// stays at 0, the rate of a counter that stands still. What an expression gives depends on the series that its
// selectors find and on the samples in their windows, seen from the instant of the question. So an answer is given
// again, without an evaluation, while the same series are found and look the same from there:
//
//   - where a selector looks at the latest sample, it has the same value;
//   - where it looks at a range, all samples of the range have one value and come at one interval, both the same as
//     before, and the latest is as long ago as it was before.
//
// That is so of all of PromQL but what sees the clock or divides time at fixed instants: see relative.

// memo is an answer and what it was made from. It is good for nothing when part of that may never look the same again.
type memo struct {
	looks  []look
	result Result
	spoilt bool
}

// look is what a selector found.
type look struct {
	matchers []*labels.Matcher
	back     int64 // milliseconds that it looks back
	ranged   bool
	found    []sight
}

// sight is a series as a selector sees it. Equal ones give equal results.
type sight struct {
	ser   *series
	seen  bool   // has a sample in the window
	value uint64 // bits of the latest one
	gap   int64  // of a range: between its samples
	lag   int64  // of a range: how long ago the latest sample is. Of a series not seen: when it was, 0 = never
}

// sightOf looks at a series. It reports false if the range is not one that can look the same later.
func sightOf(ser *series, at int64, l *look) (sight, bool) {
	if ser.count == 0 {
		return sight{ser: ser}, true
	}
	last := ser.latest()
	out := sight{ser: ser, seen: true, value: math.Float64bits(last.v)}
	switch {
	case last.t < at-l.back:
		return sight{ser: ser, lag: last.t}, true
	case l.ranged:
		out.gap, out.lag = ser.gap, at-last.t
		return out, ser.since <= at-l.back
	}
	return out, true
}

// note adds what a selector found to a memo.
func (q *queryable) note(m []*labels.Matcher, back int64, ranged bool, list []*series) {
	x := q.memo
	if x == nil || x.spoilt {
		return
	}
	l := look{matchers: m, back: back, ranged: ranged, found: make([]sight, len(list))}
	for i, ser := range list {
		var ok bool
		if l.found[i], ok = sightOf(ser, q.at, &l); !ok {
			x.spoilt = true
			return
		}
	}
	x.looks = append(x.looks, l)
}

// holds reports whether everything looks as it did when the memo was made.
func (x *memo) holds(q *queryable) bool {
	if x == nil || x.spoilt {
		return false
	}
	for i := range x.looks {
		l := &x.looks[i]
		list := q.selected(l.matchers)
		if len(list) != len(l.found) {
			return false
		}
		for i, ser := range list {
			if now, ok := sightOf(ser, q.at, l); !ok || now != l.found[i] {
				return false
			}
			if ser.count > 0 {
				q.limit(ser.latest())
			}
		}
	}
	return true
}

// relative reports whether an expression gives the same result whenever its selectors see the same, and keeps its
// selectors from one evaluation to the next.
func (q *Query) relative() bool {
	ok := q.reusable
	parser.Inspect(q.tree, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			ok = ok && n.OriginalOffset == 0 && n.Timestamp == nil && n.StartOrEnd == 0
		case *parser.SubqueryExpr:
			ok = false
		case *parser.Call:
			ok = ok && !slices.Contains(clockFunctions, n.Func.Name) && !strings.HasPrefix(n.Func.Name, "ts_of_")
		}
		return nil
	})
	return ok
}

// memosKept bounds how many answers about objects are remembered for an expression: when there are more all are
// forgotten.
const memosKept = 256

// answer gives what an expression gives over what store sees, from a memo if there is one that holds. key tells apart
// what the expression is asked about.
func (q *Query) answer(store *queryable, key string) (Result, error) {
	if !q.memorable {
		return q.run(store)
	}
	if x := q.memos[key]; x.holds(store) {
		return x.result, nil
	}
	x := new(memo)
	store.memo = x
	var err error
	if x.result, err = q.run(store); err != nil {
		return Result{}, err
	}
	if len(q.memos) >= memosKept || q.memos == nil {
		q.memos = map[string]*memo{}
	}
	q.memos[key] = x
	return x.result, nil
}
