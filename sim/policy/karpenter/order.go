package karpenter

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"
)

// Upstream ranges over maps. Where the order decides, what is here gives it one, outside of upstream's code:
// candidates for disruption come in the order of their names, so that ties are broken by name, and NodeClaims say
// their requirements in the order of their keys.

// field returns an unexported field of the struct that p points to, to be set.
func field(p any, name string) (reflect.Value, error) {
	v := reflect.ValueOf(p).Elem().FieldByName(name)
	if !v.IsValid() {
		return v, fmt.Errorf("%T has no field %s in this version of Karpenter", p, name)
	}
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem(), nil
}

// fieldOf returns an unexported field of the struct that p points to, to be read and set.
func fieldOf[T any](p any, name string) (*T, error) {
	f, err := field(p, name)
	if err != nil {
		return nil, err
	}
	at, ok := f.Addr().Interface().(*T)
	if !ok {
		return nil, fmt.Errorf("field %s of %T is a %s in this version of Karpenter", name, p, f.Type())
	}
	return at, nil
}

// orderMethods gives the methods of the disruption controller an order.
func orderMethods(methods []disruption.Method) error {
	for i, m := range methods {
		if err := orderValidator(m); err != nil {
			return err
		}
		switch m := m.(type) {
		case *disruption.SingleNodeConsolidation:
			methods[i] = single{m}
		case disruption.NodePoolTotalsSetter:
			methods[i] = totals{ordered{methods[i]}, m}
		default:
			methods[i] = ordered{m}
		}
	}
	return nil
}

// byName sorts candidates.
func byName(list []*disruption.Candidate) {
	slices.SortStableFunc(list, func(a, b *disruption.Candidate) int { return strings.Compare(a.Name(), b.Name()) })
}

// ordered is a method that sees candidates in the order of their names.
type ordered struct{ disruption.Method }

// ComputeCommands implements disruption.Method.
func (m ordered) ComputeCommands(ctx context.Context, budgets map[string]int, list ...*disruption.Candidate) (
	[]disruption.Command, error) {
	byName(list)
	return m.Method.ComputeCommands(ctx, budgets, list...)
}

// totals is an ordered method that upstream gives the totals of NodePools.
type totals struct {
	ordered
	disruption.NodePoolTotalsSetter
}

// single is upstream's single-node consolidation with an order among NodePools, whose candidates it considers in turns.
type single struct {
	*disruption.SingleNodeConsolidation
}

// ComputeCommands implements disruption.Method. It asks upstream about one candidate after the other, in the order that
// upstream would have but for the order of the NodePools, and ends where upstream would.
func (m single) ComputeCommands(ctx context.Context, budgets map[string]int, list ...*disruption.Candidate) (
	[]disruption.Command, error) {
	byName(list)
	pools := map[string][]*disruption.Candidate{}
	var names []string
	for _, c := range list {
		if pools[c.NodePool.Name] == nil {
			names = append(names, c.NodePool.Name)
		}
		pools[c.NodePool.Name] = append(pools[c.NodePool.Name], c)
	}
	if len(names) < 2 || m.IsConsolidated() {
		return m.SingleNodeConsolidation.ComputeCommands(ctx, budgets, list...)
	}
	slices.Sort(names)
	longest := 0
	for _, name := range names {
		pools[name] = m.SortCandidates(ctx, pools[name])
		longest = max(longest, len(pools[name]))
	}
	constrained := false
	for i := range longest {
		for _, name := range names {
			if i >= len(pools[name]) {
				continue
			}
			if budgets[name] == 0 {
				constrained = true
				continue
			}
			cmds, err := m.SingleNodeConsolidation.ComputeCommands(ctx, budgets, pools[name][i])
			if err != nil || len(cmds) > 0 || !m.IsConsolidated() {
				return cmds, err // a command, or one that upstream did not find valid
			}
			if err := m.unmark(); err != nil {
				return nil, err
			}
		}
	}
	if !constrained {
		return m.SingleNodeConsolidation.ComputeCommands(ctx, budgets) // of nobody: it marks the cluster consolidated
	}
	return nil, nil
}

// unmark has upstream look again although nothing has changed since it looked.
func (m single) unmark() error {
	mark, err := fieldOf[time.Time](m.SingleNodeConsolidation, "lastConsolidationState")
	if err == nil {
		*mark = time.Time{}
	}
	return err
}

// orderValidator gives what the validator of a method answers an order. Drift has none.
func orderValidator(m disruption.Method) error {
	switch m.(type) {
	case *disruption.Drift, *disruption.StaticDrift:
		return nil
	}
	inner, err := fieldOf[disruption.Validator](m, "validator")
	if err == nil {
		*inner = validator{*inner}
	}
	return err
}

// validator is a validator whose valid candidates come in the order of their names.
type validator struct{ disruption.Validator }

// Validate implements disruption.Validator.
func (v validator) Validate(ctx context.Context, cmd disruption.Command, wait time.Duration) (disruption.Command,
	error) {
	out, err := v.Validator.Validate(ctx, cmd, wait)
	out.Candidates = slices.Clone(out.Candidates)
	byName(out.Candidates)
	return out, err
}

// writer is a client that writes NodeClaims in one order.
type writer struct{ client.Client }

// Create implements client.Client.
func (w writer) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	if nc, ok := obj.(*v1.NodeClaim); ok {
		orderClaim(nc)
	}
	return w.Client.Create(ctx, obj, opts...)
}

// bound is the least number that a requirement with a bound below allows, else 0.
func bound(r *v1.NodeSelectorRequirementWithMinValues) int {
	if len(r.Values) != 1 {
		return 0
	}
	n, err := strconv.Atoi(r.Values[0])
	switch {
	case err != nil:
		return 0
	case r.Operator == corev1.NodeSelectorOpGt:
		return n + 1
	case r.Operator == "Gte":
		return n
	}
	return 0
}

// orderClaim sorts the requirements of a NodeClaim, and has a label that may have one of several values have the first.
// Upstream takes any of them, and a random number where any value will do.
func orderClaim(nc *v1.NodeClaim) {
	least, not := map[string]int{}, map[string][]string{}
	for i := range nc.Spec.Requirements {
		r := &nc.Spec.Requirements[i]
		slices.Sort(r.Values)
		switch _, ok := nc.Labels[r.Key]; {
		case !ok || len(r.Values) == 0 && r.Operator != corev1.NodeSelectorOpExists:
		case r.Operator == corev1.NodeSelectorOpIn:
			nc.Labels[r.Key] = r.Values[0]
		case r.Operator == corev1.NodeSelectorOpDoesNotExist:
		case r.Operator == corev1.NodeSelectorOpNotIn:
			not[r.Key], least[r.Key] = r.Values, max(least[r.Key], 0)
		default: // Exists, or a bound below, or one above, which says nothing of the least
			least[r.Key] = max(least[r.Key], bound(r))
		}
	}
	for key, n := range least {
		for slices.Contains(not[key], strconv.Itoa(n)) {
			n++
		}
		nc.Labels[key] = strconv.Itoa(n)
	}
	slices.SortStableFunc(nc.Spec.Requirements, func(a, b v1.NodeSelectorRequirementWithMinValues) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(string(a.Operator), string(b.Operator)))
	})
}
