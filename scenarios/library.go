package scenarios

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"orrery/sim/strict"
)

//go:embed library/*.yaml library/files/*.yaml
var library embed.FS

// Entry is a scenario of the shipped library.
type Entry struct {
	Name        string
	Description string
	// Needs are the fields that a user must give by --set, e.g. trace.file; empty for a scenario that runs as it is.
	Needs []string
}

// entries is the explicit list of the shipped scenarios, in the order in which they are shown.
var entries = []Entry{
	{Name: "demo"}, {Name: "quickstart-small"}, {Name: "overload"}, {Name: "preemption"}, {Name: "multi-profile"},
	{Name: "gangs-off"}, {Name: "gangs-on"}, {Name: "topology-off"}, {Name: "topology-on"}, {Name: "train-h100"},
	{Name: "train-gb200"}, {Name: "heterogeneous"}, {Name: "share-whole"}, {Name: "share-mig"},
	{Name: "share-timeslicing"},
	{Name: "timeslicing"}, {Name: "mig-static"}, {Name: "mig-dynamic-dra"}, {Name: "mmc"}, {Name: "idle-month"},
	{Name: "fgd-small"}, {Name: "operators"}, {Name: "burst-fixed"},
	{Name: "burst-hpa-gpu"}, {Name: "burst-hpa-queue"}, {Name: "burst-keda"}, {Name: "diurnal-karpenter"},
	{Name: "diurnal-cluster-autoscaler"}, {Name: "lend-off"}, {Name: "lend-on"},
	{Name: "rag-pipeline"}, {Name: "serve-aggregated"}, {Name: "serve-disaggregated"},
	{Name: "serve-whole"}, {Name: "serve-mig"},
	{Name: "openb-fill", Needs: []string{"trace.file", "cluster.nodeList.file"}},
	{Name: "openb-fgd", Needs: []string{"trace.file", "cluster.nodeList.file"}},
	{Name: "philly-replay", Needs: []string{"trace.file"}},
}

// List returns the shipped scenarios with their descriptions.
func List() []Entry {
	out := slices.Clone(entries)
	for i := range out {
		out[i].Description = description(out[i].Name)
	}
	return out
}

func names() []string {
	var list []string
	for _, e := range entries {
		list = append(list, e.Name)
	}
	return list
}

// Source returns the YAML text of a shipped scenario, comments included.
func Source(name string) ([]byte, error) {
	if !contains(names(), name) {
		return nil, fmt.Errorf("no shipped scenario is called %q; %s", name, strict.Suggest(name, names()))
	}
	data, err := library.ReadFile("library/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the shipped scenario %s: %w", name, err)
	}
	return data, nil
}

// Open loads a shipped scenario by name and applies overrides as Load does.
func Open(name string, overrides []string) (*Scenario, error) {
	data, err := Source(name)
	if err != nil {
		return nil, err
	}
	return load("library/"+name+".yaml", data, overrides, place{fsys: library, dir: "library"})
}

// description reads a scenario's description without the rest, which may need files of the user.
func description(name string) string {
	data, err := Source(name)
	if err != nil {
		return ""
	}
	var s Scenario
	strict.Parse(name, data).Decode(&s)
	return strings.TrimSpace(s.Description)
}
