package topology

import (
	"fmt"
	"strings"
)

// Alike groups domains that nobody could tell apart but by name: of one layer, equally large, with equal links, and
// made of equal parts. Groups and their members are in the order in which they come. For drawing large clusters.
func (g *Graph) Alike(domains []int) [][]int {
	var out [][]int
	at := map[int]int{} // shape → index into out
	shapes := shaper{g: g, known: map[string]int{}, of: map[int]int{}}
	for _, d := range domains {
		s := shapes.shape(d)
		i, ok := at[s]
		if !ok {
			i = len(out)
			at[s] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], d)
	}
	return out
}

// Top returns the domains that lie in no other.
func (g *Graph) Top() []int { return g.tops() }

// shaper numbers shapes.
type shaper struct {
	g     *Graph
	known map[string]int
	of    map[int]int // by domain
}

func (s *shaper) shape(id int) int {
	if n, ok := s.of[id]; ok {
		return n
	}
	d := &s.g.domains[id]
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d %d %d %d %d", d.Layer, d.Places, len(d.Nodes), d.GPUs, d.Rails, d.HopNs)
	for _, up := range []int{d.Up, d.Port} {
		if up >= 0 {
			fmt.Fprintf(&b, " %v", s.g.links[up].GBs)
		}
	}
	if d.Layer == s.g.NodeLayer() {
		b.WriteString(" " + s.g.kinds[d.Nodes[0]])
	}
	count := map[int]int{}
	var order []int
	for _, in := range d.Inside {
		n := s.shape(in)
		if count[n]++; count[n] == 1 {
			order = append(order, n)
		}
	}
	for _, n := range order {
		fmt.Fprintf(&b, " %d×%d", count[n], n)
	}
	n, ok := s.known[b.String()]
	if !ok {
		n = len(s.known)
		s.known[b.String()] = n
	}
	s.of[id] = n
	return n
}
