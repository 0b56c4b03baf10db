package gen

import (
	"math"
	"strings"
	"time"
)

// presets are specs fitted to published traces, in the order of Presets. Each has two kinds of numbers: published ones,
// cited at the place, and sizes or lengths per class derived from them so that the published totals come out: the mean
// run, the mean number of GPUs, the mean GPU-time of a job, and the shares of jobs and of GPU-time by outcome. With a
// small and a large class these are as many equations as unknowns. The load is ours: a cluster in which queues form.
var presets = []struct {
	name string
	make func() Spec
}{
	{"acme-like", acmeLike},
	{"helios-like", heliosLike},
	{"openb-like", openbLike},
	{"philly-like", phillyLike},
}

// Presets returns the names of the presets, sorted.
func Presets() []string {
	var out []string
	for _, p := range presets {
		out = append(out, p.name)
	}
	return out
}

// Preset returns a fresh copy of a preset; the caller may change it.
func Preset(name string) (Spec, bool) {
	for _, p := range presets {
		if p.name == name {
			return p.make(), true
		}
	}
	return Spec{}, false
}

func presetFix() string { return "presets: " + strings.Join(Presets(), ", ") }

// presetJobs is the default length of a preset's trace.
const presetJobs = 10_000

// presetLoad is the default load: high enough that queues form, low enough that they drain.
const presetLoad = 0.8

func seconds(s float64) time.Duration { return time.Duration(s * 1e9) }

// lognormal is a class of lengths with one lognormal of given median, mean and longest length in seconds.
func lognormal(median, mean, longest float64) []Component {
	return []Component{{Kind: Lognormal, Median: seconds(median), Mean: seconds(mean), Max: seconds(longest)}}
}

// geometric returns weights for the sizes after the first: one has the weight share, the rest fall by ratio.
func geometric(share, ratio float64, sizes ...int) []Size {
	out := []Size{{GPUs: 1, Weight: share}}
	var sum float64
	w := 1.0
	for range sizes {
		sum += w
		w *= ratio
	}
	w = 1
	for _, gpus := range sizes {
		out = append(out, Size{GPUs: gpus, Weight: math.Round((1-share)*w/sum*1e6) / 1e6})
		w *= ratio
	}
	return out
}

// phillyLike follows Microsoft's Philly trace.
//
// Published for its 112,956 GPU jobs (AcmeTrace data/cluster_summary.csv, Hu et al., NSDI 2024, row Philly): mean run
// 18,006.055 s, median 874 s, longest 4,240,676 s, mean GPUs 1.928, most 128; completed, cancelled, failed 0.604,
// 0.090, 0.305 of the jobs and 0.321, 0.294, 0.386 of 6.8947·10^9 GPU·s. From the 73,265 rows of the filtered file
// (Qiao et al., OSDI 2021 artifact, simulator/traces/philly.csv): the shares of the eight largest virtual clusters, and
// from the 64,830 of them submitted 2017-10-03 to 2017-12-14 the weights of hours and days, and the variation of the
// gaps after these weights are taken out, 4.7. Assumed: 0.8 of the jobs have one GPU (0.93 in the filtered file, whose
// mean of 1.27 GPUs is below that of the whole trace) and the larger powers of two fall geometrically. The capacity is
// that of the 11 virtual clusters listed in HeliosArtifact: 352 nodes of 8 GPUs.
func phillyLike() Spec {
	const median, longest = 874, 4_240_676
	return Spec{
		Name: "philly-like", Jobs: presetJobs,
		Source: "Jeon et al., USENIX ATC 2019 (msr-fiddle/philly-traces); aggregates of AcmeTrace cluster_summary.csv",
		Arrival: Arrival{Process: Gamma, CV: 4.7, Load: &Load{GPUs: 2816, Factor: presetLoad}, // 352 × 8
			HourOfDay: []float64{3683, 3020, 3104, 3272, 2056, 3408, 4243, 5245, 3051, 2600, 2686, 2363, 1962, 1987, 1517,
				1706, 1653, 1582, 2311, 2007, 2827, 2674, 2906, 2967},
			DayOfWeek: []float64{7717, 10539, 11503, 13791, 12135, 4958, 4187}},
		Sizes: geometric(0.8, 0.44468306, 2, 4, 8, 16, 32, 64, 128),
		Classes: []Class{
			{Name: "small", UpToGPUs: 7, Duration: lognormal(median, 16381.12, longest),
				Outcomes: Outcomes{Succeeded: 0.6214, Killed: 0.0774, Failed: 0.3000}},
			{Name: "large", UpToGPUs: 128, Duration: lognormal(median, 58051.34, longest),
				Outcomes: Outcomes{Succeeded: 0.1746, Killed: 0.3996, Failed: 0.4279}},
		},
		Tenants: []Named{{"6214e9", 41226}, {"11cb48", 16091}, {"6c71a0", 9953}, {"103959", 1934}, {"ee9e8c", 1511},
			{"0e4a51", 1435}, {"7f04ca", 723}, {"e13805", 374}},
	}
}

// heliosLike follows SenseTime's Helios trace.
//
// Published for its 1,580,464 GPU jobs (HeliosArtifact, Hu et al., SC 2021, cluster summary, row total): 6,220 GPUs,
// mean run 6,651.681 s, median 206 s, mean GPUs 3.716; completed, cancelled, failed 0.624, 0.221, 0.155 of the jobs and
// 0.513, 0.394, 0.093 of 7.7998·10^10 GPU·s; longest run 4,320,009 s (AcmeTrace cluster_summary.csv). The README of
// HeliosData shows 1 CPU per GPU for one-GPU jobs and 4 for larger ones; 4 is used. Assumed: 0.7 of the jobs have one
// GPU, the larger powers of two fall geometrically up to 256; submissions are Poisson (the aggregates tell nothing of
// them).
func heliosLike() Spec {
	const median, longest = 206, 4_320_009
	return Spec{
		Name: "helios-like", Jobs: presetJobs,
		Source:  "Hu et al., SC 2021 (S-Lab-System-Group/HeliosData), aggregates of HeliosArtifact",
		Arrival: Arrival{Process: Poisson, Load: &Load{GPUs: 6220, Factor: presetLoad}},
		Sizes:   geometric(0.7, 0.54382240, 2, 4, 8, 16, 32, 64, 128, 256),
		Classes: []Class{
			{Name: "small", UpToGPUs: 7, Duration: lognormal(median, 5638.03, longest),
				Outcomes: Outcomes{Succeeded: 0.6366, Killed: 0.2014, Failed: 0.1620}},
			{Name: "large", UpToGPUs: 256, Duration: lognormal(median, 17276.62, longest),
				Outcomes: Outcomes{Succeeded: 0.4919, Killed: 0.4269, Failed: 0.0812}},
		},
		Resources: Resources{CPUMilliPerGPU: 4000},
	}
}

// acmeLike follows the Kalos cluster of Shanghai AI Lab's Acme trace: development of large language models.
//
// Published for its 19,907 GPU jobs (AcmeTrace data/cluster_summary.csv, Hu et al., NSDI 2024, row Kalos): mean run
// 1,259.689 s, median 124 s, longest 625,740 s, mean GPUs 26.77, most 1,024; completed, cancelled, failed 0.541,
// 0.062, 0.397 of the jobs and 0.313, 0.607, 0.080 of 5.33318·10^9 GPU·s. Kalos has 302 nodes of 8 A100 (the paper's
// table of clusters). The README's example has 960 CPUs and 8 × 1,000 GB for 64 GPUs: 15 CPUs, 119,209 MiB per GPU.
// Assumed: 0.55 of the jobs have one GPU (the median is 1), the larger powers of two fall geometrically; submissions
// are Poisson.
func acmeLike() Spec {
	const median, longest = 124, 625_740
	return Spec{
		Name: "acme-like", Jobs: presetJobs,
		Source:  "Hu et al., USENIX NSDI 2024 (InternLM/AcmeTrace), aggregates of the Kalos cluster",
		Arrival: Arrival{Process: Poisson, Load: &Load{GPUs: 2416, Factor: presetLoad}},
		Sizes:   geometric(0.55, 0.74529155, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
		Classes: []Class{
			{Name: "small", UpToGPUs: 63, Duration: lognormal(median, 313.88, longest),
				Outcomes: Outcomes{Succeeded: 0.5620, Killed: 0.0117, Failed: 0.4263}},
			{Name: "large", UpToGPUs: 1024, Duration: lognormal(median, 11556.00, longest),
				Outcomes: Outcomes{Succeeded: 0.3119, Killed: 0.6096, Failed: 0.0785}},
		},
		Resources: Resources{CPUMilliPerGPU: 15_000, MemoryMiBPerGPU: 119_209},
	}
}

// openbLike follows the default pod list of Alibaba's cluster-trace-gpu-v2023.
//
// Counted and averaged over its 8,152 pods (github.com/alibaba/clusterdata, Weng et al., USENIX ATC 2023): the number
// of pods by GPUs; 3,078 of the 6,989 with one GPU ask for a part, the ten commonest parts hold 2,960 of them; length =
// deletion − scheduled time, median and mean by class; phases Succeeded 192, Failed 1,870, else unknown; mean CPU and
// memory of pods with one whole GPU and of those with none; gaps of the 2,799 pods created after day 140 have a
// coefficient of variation of 1.73. The cluster has 6,212 GPUs.
func openbLike() Spec {
	const longest = 12_537_496
	phases := Outcomes{Succeeded: 192, Failed: 1870, Unknown: 6090}
	return Spec{
		Name: "openb-like", Jobs: presetJobs,
		Source:  "Weng et al., USENIX ATC 2023 (alibaba/clusterdata cluster-trace-gpu-v2023), default pod list",
		Arrival: Arrival{Process: Gamma, CV: 1.73, Load: &Load{GPUs: 6212, Factor: presetLoad}},
		Sizes:   []Size{{0, 1088}, {1, 6989}, {2, 16}, {4, 15}, {8, 44}},
		Fractional: Fractional{Share: 3078.0 / 6989, Milli: []Milli{{810, 1078}, {470, 750}, {320, 328}, {650, 253},
			{230, 140}, {460, 128}, {590, 75}, {160, 74}, {550, 72}, {220, 62}}},
		Classes: []Class{
			{Name: "cpu", UpToGPUs: 0, Duration: lognormal(445, 17153, longest), Outcomes: phases},
			{Name: "single", UpToGPUs: 1, Duration: lognormal(487, 26803, longest), Outcomes: phases},
			{Name: "multi", UpToGPUs: 8, Duration: lognormal(573, 56138, longest), Outcomes: phases},
		},
		Resources: Resources{CPUMilliPerGPU: 11_077, MemoryMiBPerGPU: 42_440, CPUMilliPerCPUJob: 17_645,
			MemoryMiBPerCPUJob: 48_851},
	}
}
