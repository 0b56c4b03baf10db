package mig

import (
	"cmp"
	"fmt"
	"slices"
)

// Next returns the place that the driver gives to a new instance of the profile when none is said: the one that blocks
// the fewest placements of other instances that were still possible, the lowest of equals. ok is false when there is no
// place.
//
// NVIDIA documents that "the NVIDIA driver chooses the placement" and not how. This rule gives every placement shown in
// the MIG user guide (A100: 1g alone goes to 6, then 4, 5, 0…3; 2g to 4; 3g to 4), and its failure of 3g after
// 1g, 1g, 2g; a test holds that. One public dump of a GH200 differs: it shows the first double-memory 1g at 4, where
// this rule says 6.
func (g *Geometry) Next(occupied []Instance, profile string) (start int, ok bool) {
	best := -1
	for _, s := range g.Free(occupied, profile) {
		with := append(slices.Clip(occupied), Instance{profile, s})
		open := 0
		for _, p := range g.Profiles {
			open += len(g.Free(with, p.Name))
		}
		if open > best {
			best, start = open, s
		}
	}
	return start, best >= 0
}

// Place puts the wanted numbers of profiles on an empty GPU as NVIDIA's mig-parted does: it lets the driver choose the
// places, one instance after another, the largest profiles first, and tries other orders until all fit. The error names
// the nearest legal layouts.
//
// Source: github.com/NVIDIA/mig-parted, pkg/mig/config/config.go, iteratePermutationsUntilSuccess. Its first order is
// that of a Go map; here it is by size.
func (g *Geometry) Place(want map[string]int) ([]Instance, error) {
	left, total := map[string]int{}, 0
	for name, n := range want {
		if _, ok := g.Profile(name); ok && n > 0 {
			left[name] = n
		}
		total += n
	}
	list, ok := g.order(nil, left, total)
	if !ok {
		list, ok = g.search(want, total)
	}
	if !ok {
		for name := range want {
			if _, known := g.Profile(name); !known {
				return nil, g.Check([]Instance{{Profile: name}})
			}
		}
		return nil, fmt.Errorf("%s do not fit on one GPU; the nearest legal layouts are %s", Counts(want),
			g.nearest(want, nil))
	}
	Sort(list)
	return list, nil
}

// order tries all orders of what is left, the largest first.
func (g *Geometry) order(list []Instance, left map[string]int, total int) ([]Instance, bool) {
	if len(list) == total {
		return slices.Clone(list), true
	}
	bySize := slices.Clone(g.Profiles)
	slices.SortStableFunc(bySize, func(a, b Profile) int {
		return cmp.Or(cmp.Compare(b.Compute, a.Compute), cmp.Compare(b.Slices, a.Slices))
	})
	for _, p := range bySize {
		if left[p.Name] == 0 {
			continue
		}
		s, ok := g.Next(list, p.Name)
		if !ok {
			return nil, false // an instance that does not fit now will not fit later
		}
		left[p.Name]--
		if out, ok := g.order(append(list, Instance{p.Name, s}), left, total); ok {
			return out, true
		}
		left[p.Name]++
	}
	return nil, false
}

// search finds the first legal layout with the wanted profiles.
func (g *Geometry) search(want map[string]int, total int) (found []Instance, ok bool) {
	g.Layouts(func(list []Instance) bool {
		if len(list) != total {
			return true
		}
		have := map[string]int{}
		for _, i := range list {
			have[i.Profile]++
		}
		for name, n := range want {
			if have[name] != n {
				return true
			}
		}
		found, ok = slices.Clone(list), true
		return false
	})
	return found, ok
}
