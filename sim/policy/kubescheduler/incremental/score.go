package incremental

import (
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// choose scores the nodes found and returns the best, and the others as upstream's batching keeps them.
func (a *attempt) choose(w window) (string, framework.SortedScoredNodes, error) {
	keep := a.batching && a.info.PodSignature != nil
	// What PreScore says to a plain pod does not depend on which nodes were found.
	nodes := a.list
	if !a.plain {
		nodes = a.found(w)
	}
	if status := a.f.RunPreScorePlugins(a.ctx, a.state, a.info.Pod, nodes); !status.IsSuccess() {
		return "", nil, status.AsError()
	}
	why := a.p.scoresLocal(a.state, a.nodes.hasImages > 0)
	a.count(why)
	if why != "" || !a.score(w) {
		return a.scoreAll(w)
	}
	if !a.uniform(w) {
		return a.normalise(w)
	}
	var top best
	a.class.each(w, func(rank int, i int32) { top.take(a.class.fixed[i], rank, int(i)) })
	name := a.list[top.node].Node().Name
	if !keep {
		return name, nil, nil
	}
	return name, &remaining{scores: a.scored(w)}, nil
}

// score asks the plugins for the scores of the nodes in the window that have none. It reports whether all went well.
func (a *attempt) score(w window) bool {
	c, good := a.class, true
	a.class.each(w, func(_ int, i int32) {
		if !good || c.scored.has(i) {
			return
		}
		raw, status := a.f.RunRawScorePlugins(a.ctx, a.state, a.info.Pod, a.list[i])
		good = status.IsSuccess() && c.keep(i, raw)
	})
	return good
}

// keep stores a node's raw scores. It reports false when they are none that upstream would take, or of other plugins
// than those of the nodes before.
func (c *class) keep(i int32, raw []fwk.PluginScore) bool {
	if !c.layout(raw) {
		return false
	}
	c.fixed[i] = 0
	odd := false
	for k, s := range raw {
		c.raw[int(i)*len(raw)+k] = s.Score
		if c.norm[k] {
			odd = odd || s.Score != c.common[k]
			continue
		}
		if s.Score > fwk.MaxScore || s.Score < fwk.MinScore {
			return false
		}
		c.fixed[i] += s.Score * c.weights[k]
	}
	c.scored.set(i)
	if odd {
		c.odd.set(i)
		c.odds++
	}
	return true
}

// layout makes room for the scores of these plugins.
func (c *class) layout(raw []fwk.PluginScore) bool {
	if c.fixed != nil && len(raw) == len(c.scores) {
		for k := range raw {
			if raw[k].Name != c.scores[k] {
				return false
			}
		}
		return true
	}
	if c.fixed != nil {
		return false
	}
	c.fixed, c.raw = make([]int64, len(c.kind)), make([]int64, len(c.kind)*len(raw))
	for _, s := range raw {
		x := c.p.scorers[s.Name]
		c.scores, c.weights, c.norm = append(c.scores, s.Name), append(c.weights, x.weight), append(c.norm, x.normalises)
		c.common = append(c.common, s.Score)
	}
	return true
}

// uniform reports whether every score that is normalised is the same on all nodes of the window: then it is the same
// afterwards, too.
func (a *attempt) uniform(w window) bool {
	c := a.class
	if a.p.renorms {
		return false
	}
	if c.odds == 0 {
		return true
	}
	odds := 0
	c.each(w, func(_ int, i int32) {
		if c.odd.has(i) {
			odds++
		}
	})
	return odds == 0
}

// scored lists the window's nodes with their raw scores and a total that leaves out what is the same for all.
func (a *attempt) scored(w window) []fwk.NodePluginScores {
	c := a.class
	out := make([]fwk.NodePluginScores, w.feasible)
	raw := make([]fwk.PluginScore, w.feasible*len(c.scores))
	c.each(w, func(rank int, i int32) {
		mine := raw[rank*len(c.scores) : (rank+1)*len(c.scores) : (rank+1)*len(c.scores)]
		for k, name := range c.scores {
			mine[k] = fwk.PluginScore{Name: name, Score: c.raw[int(i)*len(c.scores)+k]}
		}
		out[rank] = fwk.NodePluginScores{Name: a.list[i].Node().Name, RawScores: mine, TotalScore: c.fixed[i]}
	})
	return out
}

// normalise has upstream normalise the known raw scores.
func (a *attempt) normalise(w window) (string, framework.SortedScoredNodes, error) {
	list := a.scored(w)
	if status := a.f.NormalizeScores(a.ctx, a.state, a.info.Pod, list); !status.IsSuccess() {
		return "", nil, status.AsError()
	}
	sorted := framework.NewSortedScoredNodes(list)
	return sorted.Pop().Name, sorted, nil
}

// found lists the nodes of a window.
func (a *attempt) found(w window) []fwk.NodeInfo {
	nodes := make([]fwk.NodeInfo, w.feasible)
	a.class.each(w, func(rank int, i int32) { nodes[rank] = a.list[i] })
	return nodes
}

// scoreAll has upstream score the window's nodes.
func (a *attempt) scoreAll(w window) (string, framework.SortedScoredNodes, error) {
	nodes := a.found(w)
	if a.plain { // PreScore plugins have not seen them
		if status := a.f.RunPreScorePlugins(a.ctx, a.state, a.info.Pod, nodes); !status.IsSuccess() {
			return "", nil, status.AsError()
		}
	}
	list, status := a.f.RunScorePlugins(a.ctx, a.state, a.info.Pod, nodes)
	if !status.IsSuccess() {
		return "", nil, status.AsError()
	}
	sorted := framework.NewSortedScoredNodes(list)
	return sorted.Pop().Name, sorted, nil
}
