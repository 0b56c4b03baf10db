package mig

import (
	"fmt"
	"slices"
	"strings"
)

// Named configurations of mig-parted that are no single profile's.
const (
	configDisabled = "all-disabled"
	configEnabled  = "all-enabled"
	configBalanced = "all-balanced"
)

// Config returns what one of mig-parted's named configurations makes of every GPU: the number of instances of each
// profile. all-disabled leaves MIG mode (enabled is false), all-enabled has no instances, all-balanced has one of each
// size that fits (two of the smallest), and all-<profile> has as many of it as there can be, with "." for "+", as in
// all-1g.10gb.me.
//
// Source: github.com/NVIDIA/mig-parted, default configuration (deployments/systemd/config-default.yaml), 2026.
func (g *Geometry) Config(name string) (profiles map[string]int, enabled bool, err error) {
	switch name {
	case configDisabled:
		return nil, false, nil
	case configEnabled:
		return map[string]int{}, true, nil
	case configBalanced:
		return g.balanced(), true, nil
	}
	for _, p := range g.Profiles {
		if name == "all-"+strings.ReplaceAll(p.Name, "+", ".") {
			return map[string]int{p.Name: p.Max}, true, nil
		}
	}
	return nil, false, fmt.Errorf("mig-parted has no configuration %q for this GPU; it has %s", name,
		strings.Join(g.Configs(), ", "))
}

// balanced is two instances of one compute slice, one of two and, on a GPU with seven, one of three.
func (g *Geometry) balanced() map[string]int {
	out := map[string]int{}
	for compute, n := range map[int]int{1: 2, 2: 1, 3: 1} {
		i := slices.IndexFunc(g.Profiles, func(p Profile) bool { return p.Compute == compute })
		if i >= 0 {
			out[g.Profiles[i].Name] = n
		}
	}
	return out
}

// Configs lists the names that Config knows.
func (g *Geometry) Configs() []string {
	names := []string{configDisabled, configEnabled, configBalanced}
	for _, p := range g.Profiles {
		names = append(names, "all-"+strings.ReplaceAll(p.Name, "+", "."))
	}
	return names
}

// Asked returns the profile that an extended resource of the strategy "mixed" stands for, time-sliced and renamed or
// not: the reverse of Resource. It is "" for any other resource.
func Asked(resource string) string {
	name, ok := strings.CutPrefix(resource, "nvidia.com/mig-")
	if !ok {
		return ""
	}
	name = strings.TrimSuffix(name, ".shared")
	base, suffix, ok := strings.Cut(name, "gb.")
	if !ok {
		return name
	}
	return base + "gb+" + suffix
}
