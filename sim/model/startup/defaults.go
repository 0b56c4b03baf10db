package startup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"orrery/sim/plan"
)

// Figure is a number of the model and where it comes from.
type Figure struct{ What, Value, Source string }

// Sources of the figures.
const (
	sourceLoad = "ServerlessLLM benchmarks/results/h100_2025 at 9f50241: Qwen3-32B (65 GB) in 12.5 s cached and 20.6 s " +
		"from a 29 GB/s NVMe by the stock loader, 1.25 s and 3.2 s by theirs (measured)"
	sourceSnapshot = "NVIDIA, Dynamo Snapshot (developer.nvidia.com/blog/nvidia-dynamo-snapshot-fast-startup-for-" +
		"inference-workloads-on-kubernetes): snapshots of models of 0.6B, 8B and 120B (gpt-oss) have 6.2, 26 and 129 GiB " +
		"and are restored in 2.4, 4.7 and 15 s (measured on B200)"
	sourceImage = "assumption: vLLM images of 8 to 10 GB compressed and 10 to 20 GB unpacked, pulled and unpacked at " +
		"100 to 250 MB/s; lazy pulls start after 5 to 20 s (statements of vendors and blogs)"
	sourceEngine = "assumption: torch.compile and CUDA graph capture take 20 to 90 s, 5 to 20 s when cached; a NCCL " +
		"set-up 2 to 10 s, ranks over several nodes 5 to 90 s (statements of vendors)"
	sourceSandbox = "assumption: pod sandbox and network 1 to 3 s"
	sourceBoot    = "assumption: delay budget of a node from vendors' statements; AWS, GCP and NVIDIA GPU Operator " +
		"documents say \"minutes\"; Karpenter and the Cluster Autoscaler give up after 15 min"
	sourceEnd = "assumption: a cloud stops billing a terminated instance within a minute or two"
)

// Figures lists the defaults with their sources.
func Figures() []Figure {
	return []Figure{
		{"image of a server of language models", "9 GiB compressed", sourceImage},
		{"unpacking", "4 to 10 s per GiB, mode 6 s", sourceImage},
		{"start of a lazily pulled image", "5 to 20 s, mode 10 s", sourceImage},
		{"loader", "4 GB/s", sourceLoad},
		{"restore of a snapshot", "10 GB/s and 1 to 3 s, mode 2 s", sourceSnapshot},
		{"size of a snapshot", "1.75 × the weights and 4 GiB", sourceSnapshot},
		{"sandbox", "1 to 3 s, mode 2 s", sourceSandbox},
		{"engine initialisation", "20 to 90 s, mode 45 s; 5 to 20 s, mode 10 s, of what was compiled before and kept; 1 to " +
			"5 s of a batch server", sourceEngine},
		{"join of several pods", "5 to 90 s, mode 20 s", sourceEngine},
		{"boot of a machine", strings.Join(Kinds(), ", ") + ": see Boot", sourceBoot},
		{"end of a machine", "30 to 120 s, mode 60 s", sourceEnd},
	}
}

// A snapshot holds the GPU's memory and the process's, and is larger than the weights: the three published sizes lie
// within a quarter of this line over them.
const (
	snapshotPart     = 1.75
	snapshotFixedGiB = 4
)

// spread is a triangular distribution in seconds.
func spread(low, mode, high float64) plan.Spread {
	s := func(x float64) time.Duration { return time.Duration(x * 1e9) }
	return plan.Spread{Low: s(low), Mode: s(mode), High: s(high)}
}

// Default is the start of a replica whose pods each load weightsGiB, by the engine's preset. pods is how many pods make
// a replica; a replica of one has nobody to join.
func Default(weightsGiB float64, engine string, pods int) plan.ReplicaStart {
	s := plan.ReplicaStart{ImageGiB: 9, Image: engine, Sandbox: spread(1, 2, 3), Unpack: spread(4, 6, 10),
		LazyStart: spread(5, 10, 20), WeightsGiB: weightsGiB, LoadGBs: 4, Engine: spread(20, 45, 90),
		Compiled: spread(5, 10, 20), RestoreGBs: 10, Restore: spread(1, 2, 3)}
	if weightsGiB > 0 {
		s.SnapshotGiB = float64(snapshotPart*weightsGiB) + snapshotFixedGiB
	}
	sources := []string{sourceImage, sourceLoad, sourceEngine, sourceSandbox}
	if engine == plan.EngineBatch {
		s.Engine, s.Compiled = spread(1, 2, 5), spread(1, 2, 5)
	}
	if pods > 1 {
		s.Join = spread(5, 20, 90)
	}
	s.Source = strings.Join(sources, "; ")
	return s
}

// Registry is where images and weights come from when nothing else is said: a registry and an object store that no
// cluster of ordinary size fills, nodes of 25 Gb/s and one NVMe disk.
func Registry() plan.Registry {
	return plan.Registry{ImageGBs: 0, NodeGBs: 3, ObjectGBs: 0, NodeDiskGBs: 6, ImagesCached: true}
}

// Kinds of machines that Boot knows.
const (
	KindWarm        = "warm-pool"               // it runs already; only the pool has to let it go
	KindBaked       = "cloud-baked"             // a cloud VM whose image has the driver
	KindOperator    = "cloud-gpu-operator"      // a cloud VM on which the GPU Operator compiles the driver
	KindPrecompiled = "cloud-gpu-operator-fast" // the same with a precompiled driver
	KindBareMetal   = "bare-metal"              // a server or a tray of a rack
)

// Kinds lists the kinds of machines.
func Kinds() []string {
	return []string{KindWarm, KindBaked, KindOperator, KindPrecompiled, KindBareMetal}
}

// Boot is what a machine of a kind does until its GPUs can be used.
func Boot(kind string) (plan.Boot, error) {
	b := plan.Boot{Terminate: spread(30, 60, 120), Source: sourceBoot + "; " + sourceEnd}
	switch kind {
	case KindWarm:
		b.Terminate = plan.Spread{}
	case KindBaked:
		b.Allocate, b.Boot, b.Devices = spread(10, 30, 120), spread(45, 90, 240), spread(10, 30, 90)
	case KindOperator:
		b.Allocate, b.Boot = spread(10, 30, 120), spread(60, 120, 300)
		b.Driver, b.Devices = spread(120, 240, 480), spread(30, 60, 120)
	case KindPrecompiled:
		b.Allocate, b.Boot = spread(10, 30, 120), spread(60, 120, 300)
		b.Driver, b.Devices = spread(40, 75, 150), spread(30, 60, 120)
	case KindBareMetal:
		b.Allocate, b.Boot, b.Devices = spread(60, 300, 1800), spread(300, 600, 1200), spread(30, 60, 180)
	default:
		list := Kinds()
		slices.Sort(list)
		return plan.Boot{}, fmt.Errorf("unknown kind of machine %q; write one of %s", kind, strings.Join(list, ", "))
	}
	return b, nil
}
