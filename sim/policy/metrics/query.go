package metrics

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"orrery/sim/units"
)

// Query is a checked PromQL expression over one store.
type Query struct {
	store *Store
	text  string
	tree  parser.Expr
	// reusable trees are those that the engine leaves as they are but for the series that it found.
	reusable bool
	// steady expressions give the same result until a sample comes or goes.
	steady bool
	// memorable expressions give the same result while what they see looks the same; memos are by what they were asked
	// about.
	memorable bool
	memos     map[string]*memo

	have   bool // what follows is there
	at     int64
	seen   uint64 // generation
	until  int64  // of a steady one: the instant at which the first sample that it used counts no longer
	result Result
}

// String returns the expression.
func (q *Query) String() string { return q.text }

// Value is one element of a result. It has no labels in a scalar.
type Value struct {
	Labels labels.Labels
	V      float64
}

// Result is what an expression gave. It must not be changed.
type Result struct {
	Scalar bool
	Values []Value
}

// maxSamples and timeout are Prometheus's defaults of the flags query.max-samples and query.timeout.
const (
	maxSamples = 50_000_000
	timeout    = 2 * time.Minute
)

// newEngine returns upstream's engine with Prometheus's defaults, but without the @ modifier: what it would look at may
// have been forgotten.
func newEngine(s *Store) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{MaxSamples: maxSamples, Timeout: timeout, LookbackDelta: Lookback,
		EnableNegativeOffset: true, Parser: &cachedParser{parser.NewParser(parser.Options{}), s},
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() }})
}

// cachedParser hands out the trees of known expressions.
type cachedParser struct {
	parser.Parser
	store *Store
}

// ParseExpr implements parser.Parser.
func (p *cachedParser) ParseExpr(text string) (parser.Expr, error) {
	q := p.store.queries[text]
	if q == nil || !q.reusable {
		return p.Parser.ParseExpr(text)
	}
	parser.Inspect(q.tree, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			v.Series, v.UnexpandedSeriesSet = nil, nil
		}
		return nil
	})
	return q.tree, nil
}

// Query checks an expression, and makes the store keep what it looks at from now on. The result is the same for equal
// expressions.
func (s *Store) Query(text string) (*Query, error) {
	if q := s.queries[text]; q != nil {
		return q, nil
	}
	tree, q, err := parse(text)
	if err != nil {
		return nil, err
	}
	q.store = s
	s.queries[text] = q
	s.learn(tree)
	return q, nil
}

// parse checks an expression.
func parse(text string) (parser.Expr, *Query, error) {
	p := parser.NewParser(parser.Options{})
	tree, err := p.ParseExpr(text)
	if err != nil {
		return nil, nil, fmt.Errorf("PromQL %q: %w", text, err)
	}
	if t := tree.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return nil, nil, fmt.Errorf("PromQL %q is a %s: write an expression that gives an instant vector or a scalar",
			text, parser.DocumentedType(t))
	}
	q := &Query{text: text, tree: tree}
	if err := q.examine(p); err != nil {
		return nil, nil, fmt.Errorf("PromQL %q: %w", text, err)
	}
	return tree, q, nil
}

// clockFunctions see the instant of the evaluation.
var clockFunctions = []string{"time", "timestamp", "minute", "hour", "day_of_week", "day_of_month", "day_of_year",
	"days_in_month", "month", "year"}

// examine sets what may be reused.
func (q *Query) examine(p parser.Parser) error {
	q.reusable, q.steady = true, true
	var err error
	parser.Inspect(q.tree, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			q.steady = q.steady && n.OriginalOffset == 0
			if n.Timestamp != nil || n.StartOrEnd != 0 {
				err = fmt.Errorf("the @ modifier is not supported: samples are kept only as far back as ranges and offsets look")
			}
		case *parser.MatrixSelector:
			q.steady = false
		case *parser.SubqueryExpr:
			q.steady, q.reusable = false, false
			if n.Timestamp != nil || n.StartOrEnd != 0 {
				err = fmt.Errorf("the @ modifier is not supported: samples are kept only as far back as ranges and offsets look")
			}
		case *parser.Call:
			q.steady = q.steady && !slices.Contains(clockFunctions, n.Func.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer func() { q.memorable = q.relative() }()
	// The engine rewrites parts that do not depend on time; a tree with such parts cannot be prepared twice.
	trial, err := p.ParseExpr(q.text)
	if err != nil {
		return err
	}
	if trial, err = promql.PreprocessExpr(trial, time.Unix(0, 0), time.Unix(0, 0), 0); err != nil {
		return err
	}
	parser.Inspect(trial, func(node parser.Node, _ []parser.Node) error {
		if _, ok := node.(*parser.StepInvariantExpr); ok {
			q.reusable = false
		}
		return nil
	})
	return nil
}

// Eval evaluates the expression at an instant, which must not be before any that the store has seen.
func (q *Query) Eval(at units.Time) (Result, error) {
	s := q.store
	s.settle(at)
	ms := s.millis(at)
	if q.have && q.seen == s.generation && (q.at == ms || q.steady && ms >= q.at && ms < q.until) {
		return q.result, nil
	}
	store := &queryable{store: s, cache: q.reusable, at: ms, until: math.MaxInt64}
	var err error
	if q.result, err = q.answer(store, ""); err != nil {
		q.have = false
		return Result{}, err
	}
	q.have, q.at, q.seen, q.until = true, ms, s.generation, store.until
	return q.result, nil
}

// evalOf is Eval over the series of some objects alone.
func (q *Query) evalOf(at units.Time, of restriction) (Result, error) {
	q.store.settle(at)
	store := &queryable{store: q.store, at: q.store.millis(at), until: math.MaxInt64, of: of}
	return q.answer(store, of.label+"|"+of.namespace+"|"+strings.Join(of.objects, "|"))
}

// run lets the engine evaluate the expression.
func (q *Query) run(store *queryable) (Result, error) {
	ctx := context.Background()
	run, err := q.store.engine.NewInstantQuery(ctx, store, nil, q.text, time.UnixMilli(store.at).UTC())
	if err != nil {
		return Result{}, fmt.Errorf("PromQL %q: %w", q.text, err)
	}
	defer run.Close()
	res := run.Exec(ctx)
	if res.Err != nil {
		return Result{}, fmt.Errorf("PromQL %q: %w", q.text, res.Err)
	}
	var out Result
	switch v := res.Value.(type) {
	case promql.Scalar:
		out = Result{Scalar: true, Values: []Value{{V: v.V}}}
	case promql.Vector:
		out.Values = make([]Value, 0, len(v))
		for _, x := range v {
			if x.H == nil {
				out.Values = append(out.Values, Value{x.Metric, x.F})
			}
		}
	}
	return out, nil
}

// Check reports what is wrong with an expression, and whether it gives a scalar.
func Check(text string) (scalar bool, err error) {
	tree, _, err := parse(text)
	if err != nil {
		return false, err
	}
	return tree.Type() == parser.ValueTypeScalar, nil
}
