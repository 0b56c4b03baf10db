package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"orrery/sim/catalog"
	"orrery/traces/formats/openb"
)

// shape is what makes nodes equal.
type shape struct {
	gpu         string // catalogue key
	gpus        int
	cpu, memory int64
}

// listedPools reads a node list and groups its nodes into pools by shape, in order of first appearance. A pool is
// named after its GPUs, e.g. t4-x2, with a number behind it when CPU or memory differ.
func listedPools(path string, l *NodeList, c *catalog.Catalog, before []Pool) ([]Pool, error) {
	nodes, err := openb.ReadNodes(path)
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%s:1: the node list has no nodes; name another file", path)
	}
	taken := map[string]bool{}
	for _, p := range before {
		taken[p.Name] = true
	}
	var pools []Pool
	var problems []string
	index := map[shape]int{}
	for i, n := range nodes {
		key := ""
		if n.GPUs > 0 {
			gpu, err := c.Lookup(n.Model)
			if err != nil {
				problem := fmt.Sprintf("%s: %v (first at node %s, number %d); or add it in a file under catalog:",
					path, err, n.Name, i+1)
				if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, err.Error()) }) {
					problems = append(problems, problem)
				}
				continue
			}
			key = gpu.Key
		}
		sh := shape{key, n.GPUs, n.CPUMilli, n.MemoryMiB}
		at, known := index[sh]
		if !known {
			at = len(pools)
			index[sh] = at
			pools = append(pools, listedPool(sh, l, taken))
		}
		pools[at].Nodes++
		pools[at].NodeNames = append(pools[at].NodeNames, n.Name)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return pools, nil
}

func listedPool(sh shape, l *NodeList, taken map[string]bool) Pool {
	base := "cpu"
	if sh.gpus > 0 {
		base = fmt.Sprintf("%s-x%d", sh.gpu, sh.gpus)
	}
	name := base
	for n := 2; taken[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	taken[name] = true
	p := Pool{Name: name, GPU: sh.gpu, GPUsPerNode: sh.gpus, CPU: CPU(sh.cpu), Memory: Memory(sh.memory)}
	p.SetDefaults()
	p.MaxPods = l.MaxPods
	if sh.gpus > 0 {
		p.Sharing = l.Sharing
	}
	return p
}
