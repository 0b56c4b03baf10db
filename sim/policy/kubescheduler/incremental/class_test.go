package incremental

import (
	"math/rand/v2"
	"slices"
	"testing"

	fwk "k8s.io/kube-scheduler/framework"
)

// dumb is a class as a list: whether each node is feasible.
type dumb struct{ fits []bool }

// search is upstream's search: node by node from start until limit feasible nodes are found and one more.
func (d dumb) search(start, limit int) (processed int, found []int32) {
	n := len(d.fits)
	for k := range n {
		i := (start + k) % n
		if d.fits[i] {
			if len(found) == limit {
				return processed, found
			}
			found = append(found, int32(i))
		}
		processed++
	}
	return processed, found
}

// TestSearch compares the search over bitmaps with the one over a list, while nodes change, come and go.
func TestSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 300 {
		n := 1 + r.IntN(300)
		d := dumb{make([]bool, n)}
		c := &class{}
		c.reset(n)
		for range 40 {
			for range r.IntN(6) {
				i := r.IntN(n)
				d.fits[i] = r.IntN(3) == 0
				c.doubt(int32(i))
			}
			if r.IntN(8) == 0 {
				n = reorder(r, &d, c)
			}
			start, limit := r.IntN(n), 1+r.IntN(n)
			w, ok := c.search(start, limit, func(i int32) bool {
				status := fwk.NewStatus(fwk.Unschedulable, "no room")
				if d.fits[i] {
					status = nil
				}
				c.note(i, status)
				return true
			})
			var found []int32
			c.each(w, func(_ int, i int32) { found = append(found, i) })
			processed, want := d.search(start, limit)
			if !ok || w.processed != processed || w.feasible != len(want) || !slices.Equal(found, want) {
				t.Fatalf("%d nodes from %d, limit %d: %+v %v, want %d %v", n, start, limit, w, found, processed, want)
			}
			checkCounts(t, c)
		}
	}
}

// reorder makes another list of nodes: shuffled, some gone, some new.
func reorder(r *rand.Rand, d *dumb, c *class) int {
	old := r.Perm(len(d.fits))
	old = old[:1+r.IntN(len(old))]
	var next dumb
	var m move
	for _, j := range old {
		m.from = append(m.from, int32(j))
		next.fits = append(next.fits, d.fits[j])
		if r.IntN(4) == 0 {
			m.from = append(m.from, -1)
			next.fits = append(next.fits, r.IntN(2) == 0)
		}
	}
	*d = next
	c.follow(m)
	return len(next.fits)
}

// checkCounts holds the class's counters against what they count.
func checkCounts(t *testing.T, c *class) {
	t.Helper()
	rejected := make([]int, len(c.kinds))
	for i := range c.kind {
		if !c.stale.has(int32(i)) && !c.feasible.has(int32(i)) {
			rejected[c.kind[i]]++
		}
		if c.stale.has(int32(i)) && c.feasible.has(int32(i)) {
			t.Fatalf("node %d is both stale and feasible", i)
		}
	}
	for k := range c.kinds {
		if c.kinds[k].nodes != rejected[k] {
			t.Fatalf("%d nodes rejected as %v, counted %d", rejected[k], c.kinds[k].status, c.kinds[k].nodes)
		}
	}
}
