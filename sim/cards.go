package sim

import (
	"cmp"
	"slices"
	"strings"

	"orrery/sim/model/card"
	"orrery/sim/model/collective"
	"orrery/sim/model/contention"
	"orrery/sim/model/serving"
	"orrery/sim/model/sharing"
	"orrery/sim/model/startup"
	"orrery/sim/model/storage"
	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/result"
)

// modelCards returns the cards of the models that a run of the plan uses, by name; nil when work goes as fast as the
// trace says.
func modelCards(p *plan.Plan) []result.Model {
	var cards []card.Card
	if slices.ContainsFunc(p.Pools, func(o plan.Pool) bool { return o.Accelerator != nil }) {
		cards = append(cards, training.Card(), collective.Card(), contention.Card())
		if p.Storage != nil {
			cards = append(cards, storage.Card())
		}
	}
	if len(p.Services) > 0 || slices.ContainsFunc(p.Pools, func(o plan.Pool) bool { return o.Elastic != nil }) {
		cards = append(cards, startup.Card())
	}
	if slices.ContainsFunc(p.Pools, func(o plan.Pool) bool { return shared(&o) }) {
		cards = append(cards, sharing.Card())
	}
	if slices.ContainsFunc(p.Services, func(o plan.Service) bool { return o.Engine.Model != nil }) {
		cards = append(cards, serving.Card(), serving.EngineCard())
	}
	var out []result.Model
	for _, c := range cards {
		out = append(out, result.Model{Name: c.Name, Formula: strings.Join(c.Formula, "; "), Sources: some(c.Sources),
			Calibration: strings.Join(c.Calibration, "; "), Error: strings.Join(c.Error, "; "), LeavesOut: some(c.Omits)})
	}
	slices.SortFunc(out, func(a, b result.Model) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// some returns the list, an empty one for nil: in JSON that is a list, too.
func some(list []string) []string { return append([]string{}, list...) }
