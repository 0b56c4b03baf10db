package mig

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// legal reports whether the instances may live on one GPU together; reason says why not.
func (g *Geometry) legal(list []Instance) (reason string) {
	var taken uint64
	count := map[string]int{}
	for _, i := range list {
		p, ok := g.Profile(i.Profile)
		switch {
		case !ok:
			return fmt.Sprintf("the GPU has no profile %s; it has %s", i.Profile, strings.Join(g.Names(), ", "))
		case !slices.Contains(p.Starts, i.Start):
			return fmt.Sprintf("%s cannot start at slice %d; it starts at %s", i.Profile, i.Start, numbers(p.Starts))
		}
		m := mask(i.Start, p.Slices)
		if taken&m != 0 {
			return fmt.Sprintf("%s overlaps another instance", i)
		}
		taken |= m
		if count[p.Name]++; count[p.Name] > p.Max {
			return fmt.Sprintf("%d instances of %s, of which the GPU can have %d", count[p.Name], p.Name, p.Max)
		}
	}
	return g.enginesLeft(list)
}

// enginesLeft says which engine the instances need more of than the GPU has, or "".
func (g *Geometry) enginesLeft(list []Instance) string {
	for _, kind := range g.limited {
		sum := 0
		for _, i := range list {
			p, _ := g.Profile(i.Profile)
			sum += engines[kind](*p.Engines)
		}
		if has := engines[kind](*g.Whole().Engines); sum > has {
			return fmt.Sprintf("the instances need %d %s engines, and the GPU has %d", sum, kind, has)
		}
	}
	return ""
}

func numbers(list []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ", "), "[]")
}

// Check returns nil when the instances may live on one GPU together; otherwise an error that says why not and names the
// nearest legal layouts.
func (g *Geometry) Check(list []Instance) error {
	reason := g.legal(list)
	if reason == "" {
		return nil
	}
	want := map[string]int{}
	for _, i := range list {
		want[i.Profile]++
	}
	return fmt.Errorf("%s; the nearest legal layouts are %s", reason, g.nearest(want, list))
}

// Free returns the first slices at which an instance of the profile can be made beside the occupied ones, ascending.
func (g *Geometry) Free(occupied []Instance, profile string) []int {
	p, ok := g.Profile(profile)
	if !ok {
		return nil
	}
	var starts []int
	with := append(slices.Clone(occupied), Instance{})
	for _, s := range p.Starts {
		with[len(occupied)] = Instance{profile, s}
		if g.legal(with) == "" {
			starts = append(starts, s)
		}
	}
	return starts
}

// Layouts calls yield with every legal layout, the empty one first, its instances by place. The list is yield's only
// until it returns; yield returns false to stop. There are some thousands.
func (g *Geometry) Layouts(yield func([]Instance) bool) {
	var list []Instance
	var grow func(from int) bool
	grow = func(from int) bool {
		if !yield(list) {
			return false
		}
		for start := from; start < g.MemorySlices; start++ {
			for _, p := range g.Profiles {
				if !slices.Contains(p.Starts, start) {
					continue
				}
				list = append(list, Instance{p.Name, start})
				if g.legal(list) == "" && !grow(start+p.Slices) {
					return false
				}
				list = list[:len(list)-1]
			}
		}
		return true
	}
	grow(0)
}

// Maximal returns the legal layouts to which nothing can be added, in a fixed order.
func (g *Geometry) Maximal() [][]Instance {
	var out [][]Instance
	g.Layouts(func(list []Instance) bool {
		for _, p := range g.Profiles {
			if len(g.Free(list, p.Name)) > 0 {
				return true
			}
		}
		out = append(out, slices.Clone(list))
		return true
	})
	return out
}

// Describe gives instances for people: profile@start by place.
func Describe(list []Instance) string {
	list = slices.Clone(list)
	Sort(list)
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = x.String()
	}
	return strings.Join(words, " ")
}

// nearestShown bounds how many layouts an error names.
const nearestShown = 3

// nearest names the legal layouts that come closest to the wanted profiles: those that leave fewest of them out, then
// those that add fewest others, then those that keep most of the wanted places.
func (g *Geometry) nearest(want map[string]int, places []Instance) string {
	type candidate struct {
		text                string
		missing, added, off int
		counts              string
	}
	var best []candidate
	g.Layouts(func(list []Instance) bool {
		if len(list) == 0 {
			return true
		}
		c := candidate{off: len(places)}
		have := map[string]int{}
		for _, i := range list {
			if have[i.Profile]++; have[i.Profile] > want[i.Profile] {
				c.added++
			}
			if slices.Contains(places, i) {
				c.off--
			}
		}
		for name, n := range want {
			c.missing += max(n-have[name], 0)
		}
		c.counts = Counts(have)
		before := func(a, b candidate) int {
			return cmp.Or(cmp.Compare(a.missing, b.missing), cmp.Compare(a.added, b.added), cmp.Compare(a.off, b.off))
		}
		// Of layouts with the same profiles the nearest is shown, the first of equals.
		if i := slices.IndexFunc(best, func(b candidate) bool { return b.counts == c.counts }); i >= 0 {
			if before(c, best[i]) >= 0 {
				return true
			}
			best = slices.Delete(best, i, i+1)
		}
		at := len(best)
		for at > 0 && before(c, best[at-1]) < 0 {
			at--
		}
		if at < nearestShown {
			c.text = Describe(list)
			best = slices.Insert(best, at, c)
			best = best[:min(len(best), nearestShown)]
		}
		return true
	})
	words := make([]string, len(best))
	for i, c := range best {
		words[i] = "(" + c.text + ")"
	}
	return strings.Join(words, ", ")
}

// Counts gives how many instances of each profile there are, for people: "2 × 1g.10gb, 1 × 3g.40gb".
func Counts(n map[string]int) string {
	names := make([]string, 0, len(n))
	for name := range n {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%d × %s", n[name], name)
	}
	return strings.Join(names, ", ")
}
