package sim

import (
	"bytes"
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
	requests "orrery/sim/serving"
)

// Cards are the cards of all models of the simulator: of physics, and of controllers whose code cannot be linked.
func Cards() []card.Card {
	var out []card.Card
	for _, m := range models() {
		out = append(out, m.card())
	}
	return out
}

// modelled is a model and the plans whose runs use it.
type modelled struct {
	card func() card.Card
	used func(*plan.Plan) bool
}

func models() []modelled {
	pool := func(is func(*plan.Pool) bool) func(*plan.Plan) bool {
		return func(p *plan.Plan) bool {
			return slices.ContainsFunc(p.Pools, func(o plan.Pool) bool { return is(&o) })
		}
	}
	trains := pool(func(o *plan.Pool) bool { return o.Accelerator != nil })
	elastic := pool(func(o *plan.Pool) bool { return o.Elastic != nil })
	serves := func(p *plan.Plan) bool { return len(p.Services) > 0 }
	engine := func(p *plan.Plan) bool {
		return slices.ContainsFunc(p.Services, func(o plan.Service) bool { return o.Engine.Model != nil })
	}
	return []modelled{
		{training.Card, trains}, {collective.Card, trains}, {contention.Card, trains},
		{storage.Card, func(p *plan.Plan) bool { return trains(p) && p.Storage != nil }},
		{sharing.Card, pool(shared)},
		{serving.Card, engine}, {serving.EngineCard, engine}, {requests.Card, serves},
		{startup.Card, func(p *plan.Plan) bool { return serves(p) || elastic(p) }},
		{usageCard, showsUsage},
		{clusterAutoscalerCard, func(p *plan.Plan) bool { return p.Autoscalers.ClusterAutoscaler != nil }},
		{kedaCard, func(p *plan.Plan) bool {
			return slices.ContainsFunc(p.Manifests, func(f plan.File) bool {
				return bytes.Contains(f.Data, []byte("ScaledObject"))
			})
		}},
	}
}

// modelCards returns the cards of the models that a run of the plan uses, by name; nil when there are none: work goes
// as fast as the trace says.
func modelCards(p *plan.Plan) []result.Model {
	var out []result.Model
	for _, m := range models() {
		if !m.used(p) {
			continue
		}
		c := m.card()
		out = append(out, result.Model{Name: c.Name, Formula: strings.Join(c.Formula, "; "), Sources: some(c.Sources),
			Calibration: strings.Join(c.Calibration, "; "), Error: strings.Join(c.Error, "; "), LeavesOut: some(c.Omits)})
	}
	slices.SortFunc(out, func(a, b result.Model) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// some returns the list, an empty one for nil: in JSON that is a list, too.
func some(list []string) []string { return append([]string{}, list...) }

// clusterAutoscalerCard describes the model of the Cluster Autoscaler. It stands here because policies know nothing of
// models.
func clusterAutoscalerCard() card.Card {
	return card.Card{
		Name: "cluster-autoscaler", Title: "Cluster Autoscaler",
		Question: "Which node groups does the Cluster Autoscaler enlarge for pods that wait, and which nodes does it end?",
		Formula: []string{
			"scale-up: every scan, pods that kube-scheduler has called unschedulable and that fit on no node that is there " +
				"or on its way are packed first-fit, largest requests first, on copies of each group's template; the expander " +
				"takes one group; a group that fails is left alone for a back-off that doubles",
			"scale-down: a node used below the threshold whose pods may be moved and fit elsewhere, for long enough and " +
				"with nothing added, deleted or failed lately, is tainted, drained through the eviction API, and ended",
			"whether a pod fits a node is asked of kube-scheduler's own code",
		},
		Sources: []string{
			"kubernetes/autoscaler, cluster-autoscaler/FAQ.md at 55c37cd: rules and defaults of flags",
			"kubernetes/autoscaler at 006685c: estimator/binpacking_estimator.go, decreasing_pod_orderer.go, expander/waste",
		},
		Error: []string{"not measured against the real one, which is no module that others can import"},
		Omits: []string{
			"resource claims: their pods are never helped", "volumes, inter-pod affinity and topology spread",
			"pods of DaemonSets on new nodes", "balancing of similar groups; zones (a template stands in its group's first)",
			"regular expressions of the priority expander; the preferred node of the price expander",
			"limits of total cores and memory; the stop in unready clusters; the time of its API calls",
		},
	}
}

// kedaCard describes what stands for KEDA's operator and metrics server.
func kedaCard() card.Card {
	return card.Card{
		Name: "keda", Title: "KEDA's operator and metrics server",
		Question: "When does KEDA scale an object to and from zero, and which values does it give to the horizontal pod " +
			"autoscaler?",
		Formula: []string{
			"the types, checks and formulas of ScaledObjects are KEDA's own code; the operator's loop of polls, activation, " +
				"cool-down, fallback and HorizontalPodAutoscalers follows its documented behaviour",
			"between one replica and the maximum upstream's horizontal pod autoscaler decides, with its own code",
			"an object is reconciled 50 ms after it has changed, which is an assumption",
		},
		Sources: []string{"kedacore/keda v2.20.2: apis/keda/v1alpha1 (linked); controllers/keda, pkg/scaling, " +
			"pkg/fallback, pkg/scalers (followed: they are not exported or link the SDKs of every cloud)"},
		Error: []string{"not measured against a cluster; its decisions are tested against timelines worked out by hand"},
		Omits: []string{
			"triggers other than prometheus, cron, cpu, memory and kubernetes-workload, which are refused", "ScaledJobs",
			"authentication of triggers", "the time of a poll, and failed writes",
		},
	}
}
