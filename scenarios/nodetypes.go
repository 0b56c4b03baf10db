package scenarios

import (
	"fmt"

	"orrery/sim/catalog"
)

// nodeTypes fills in what a pool leaves to its node type, and asks for what neither gives.
func (r *reader) nodeTypes() {
	for i := range r.s.Cluster.Pools {
		path := fmt.Sprintf("cluster.pools[%d]", i)
		pool := &r.s.Cluster.Pools[i]
		if r.d.Node(path) == nil || r.d.Node(path).Content == nil {
			continue // not fields at all: a problem of its own
		}
		var n catalog.Node
		if r.d.Has(path + ".node") {
			var err error
			if n, err = r.s.catalog.LookupNode(pool.Node); err != nil {
				r.d.Problemf(path+".node", "%s.node: %v; or add it in a file under catalog:", path, err)
				continue
			}
			pool.Node = n.Key
			r.nodeGPUs(path, pool, n)
			if !r.d.Has(path + ".instanceType") {
				pool.InstanceType = n.InstanceType
			}
		}
		if !r.d.Has(path + ".cpu") {
			pool.CPU = CPU(1000 * r.given(path, "cpu", n, "cpus", n.CPUs))
		}
		if !r.d.Has(path + ".memory") {
			pool.Memory = Memory(r.given(path, "memory", n, "memoryMiB", n.MemoryMiB))
		}
	}
}

// given is the value of a node type's figure. Without one the pool lacks the field, which is a problem.
func (r *reader) given(path, field string, n catalog.Node, name string, f *catalog.Figure) int64 {
	switch {
	case f != nil:
		return int64(f.Value)
	case n.Key != "":
		r.d.Problemf(path, "%s.%s is missing, and the catalogue does not know it of node type %s (%s); add it", path,
			field, n.Key, n.Missing[name])
	default:
		r.d.Problemf(path, "%s.%s is missing; add it, or a node type that gives it, e.g. node: dgx-h100", path, field)
	}
	return 0
}

// nodeGPUs fills in the GPUs of a node type. A pool may leave some of them out, as when one is broken, but its nodes
// have no other GPUs and no more of them.
func (r *reader) nodeGPUs(path string, pool *Pool, n catalog.Node) {
	if !r.d.Has(path + ".gpu") {
		pool.GPU = n.GPU
	} else if gpu, err := r.s.catalog.Lookup(pool.GPU); err == nil && gpu.Key != n.GPU {
		r.d.Problemf(path+".gpu", "%s.gpu: %q, but a node of type %s has %s; remove one of gpu and node", path, pool.GPU,
			n.Key, n.GPU)
	}
	if !r.d.Has(path + ".gpusPerNode") {
		pool.GPUsPerNode = n.GPUs
	} else if pool.GPUsPerNode > n.GPUs {
		r.d.Problemf(path+".gpusPerNode", "%s.gpusPerNode: %d, but a node of type %s has %d; write at most that, or "+
			"remove node", path, pool.GPUsPerNode, n.Key, n.GPUs)
	}
}
