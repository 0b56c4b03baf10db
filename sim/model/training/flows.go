package training

import "math"

// networkEfficiency is what large collectives reach of the rate of adapters and uplinks (Machine Learning Engineering,
// network benchmarks, commit 744d01e: 37 of 50 GB/s).
const networkEfficiency = 0.74

// begin starts a phase: collectives of all groups of one kind, at the same time.
func (w *world) begin() {
	for l := range w.sum {
		clear(w.sum[l])
	}
}

// end closes a phase whose slowest group takes worst seconds by itself, and returns how long it takes when all groups
// share the uplinks of the domains. The phase happens times over in a step.
func (w *world) end(worst, times float64) float64 {
	for l := range w.sum {
		w.passed[l] = false
		for d, f := range w.sum[l] {
			w.passed[l] = w.passed[l] || f.up > 0 || f.down > 0
			if rate := w.uplinkGBs(l, d) * 1e9 * networkEfficiency; rate > 0 {
				worst = math.Max(worst, math.Max(f.up, f.down)/rate)
			}
			w.total[l][d].up += float64(f.up * times)
			w.total[l][d].down += float64(f.down * times)
		}
	}
	return worst
}

// uplinkGBs is the rate of a domain's uplinks; 0 = without limit.
func (w *world) uplinkGBs(layer, d int) float64 {
	if w.uplinks == nil {
		return w.layers[layer].UplinkGBs
	}
	return w.uplinks[w.domains[layer][d]]
}

// charge notes that the phase last ended is waited for, by the layers it passes.
func (w *world) charge(seconds float64) {
	for l, yes := range w.passed {
		if yes {
			w.exposed[l] += float64(seconds)
		}
	}
}

// send adds bytes that go from one node to another to every layer whose domain they leave.
func (w *world) send(from, to int, bytes float64) {
	for l := range w.layers {
		a, b := w.dom[l][from], w.dom[l][to]
		if a == b || w.layers[l].ScaleUp {
			continue
		}
		if a >= 0 {
			w.sum[l][a].up += bytes
		}
		if b >= 0 {
			w.sum[l][b].down += bytes
		}
	}
}

// ring adds a ring over the domains of the group last looked at; every domain sends bytes to the next.
func (w *world) ring(bytes float64) {
	if len(w.hops) < 2 {
		return
	}
	for i, h := range w.hops {
		w.send(h.node, w.hops[(i+1)%len(w.hops)].node, bytes)
	}
}

// allToAll adds what n ranks of the group last looked at send, bytes each, in equal parts to all.
func (w *world) allToAll(bytes float64, n int) {
	if len(w.hops) < 2 {
		return
	}
	for l := range w.layers {
		if w.layers[l].ScaleUp {
			continue
		}
		for _, h := range w.hops {
			d := w.dom[l][h.node]
			if d < 0 {
				continue
			}
			inside := 0
			for _, o := range w.hops {
				if w.dom[l][o.node] == d {
					inside += o.ranks
				}
			}
			out := bytes * float64(h.ranks) * float64(n-inside) / float64(n)
			w.sum[l][d].up += out
			w.sum[l][d].down += out
		}
	}
}

// pass adds a message between two ranks.
func (w *world) pass(from, to int, bytes float64) {
	a, b := w.at[from], w.at[to]
	if w.island[a] != w.island[b] {
		w.send(a, b, bytes)
	}
}
