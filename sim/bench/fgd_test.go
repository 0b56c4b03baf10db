package bench

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// The published experiment on fragmentation gradient descent (Weng et al., USENIX ATC 2023; Apache-2.0): pods are
// submitted one by one until they ask for 1.3 times the GPUs of the openb cluster. Its results are 10 runs of each policy
// on each workload.

// policies as the published file calls them, and as the plugins are called here.
var policies = []struct{ published, plugin string }{
	{"01-Random", "Random"}, {"02-DotProd", "DotProduct"}, {"03-GpuClustering", "GPUClustering"},
	{"04-GpuPacking", "GPUPacking"}, {"05-BestFit", "BestFit"}, {"06-FGD", "FGD"},
}

// workloads are the pod lists of the published results.
var workloads = []string{"default", "cpu050", "cpu200", "gpushare40", "gpushare100", "gpuspec10", "gpuspec33", "multigpu20",
	"multigpu50"}

// ways of breaking ties.
const (
	tiesFixed  = "fixed"  // a fixed random order of the nodes, as the published experiment has it
	tiesDrawn  = "drawn"  // anew for every pod
	tiesNobody = "nobody" // by kube-scheduler itself
)

// config is a KubeSchedulerConfiguration for a policy.
func config(policy, ties string) string {
	score, pre, args := "      - {name: "+policy+", weight: 10000}\n", "", ""
	if ties != tiesNobody && policy != "Random" {
		score += "      - {name: NodeRankHigh, weight: 100}\n      - {name: NodeRankLow, weight: 1}\n"
	}
	if ties == tiesDrawn {
		args += "  - {name: NodeRankHigh, args: {per: pod}}\n  - {name: NodeRankLow, args: {per: pod}}\n"
	}
	if policy == "FGD" {
		args += "  - {name: FGD, args: {typicalPodsConfigMap: kube-system/typical-pods}}\n"
	}
	if policy == "FGD" || policy == "Random" {
		pre = "    preFilter: {enabled: [{name: " + policy + "}]}\n"
	}
	if args != "" {
		args = "  pluginConfig:\n" + args
	}
	return "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n" +
		"percentageOfNodesToScore: 100\nprofiles:\n- schedulerName: default-scheduler\n  plugins:\n" +
		"    multiPoint: {enabled: [{name: GPUShare}]}\n" + pre +
		"    score:\n      disabled: [{name: \"*\"}]\n      enabled:\n" + score + args
}

// filled is one run of the experiment: column k is the mean of the allocated GPUs, in percent of all, over the steps at
// which the arrived demand rounds to k percent.
type filled [131]float64

// experiment is what a run is of.
type experiment struct {
	workload, policy, ties string
	seed                   int
}

// fill runs an experiment, in a process of its own.
func (x bench) fill(e experiment) (filled, error) {
	dir, err := os.MkdirTemp("", "orrery-fgd-")
	if err != nil {
		return filled{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	file, out := filepath.Join(dir, "scheduler.yaml"), filepath.Join(dir, "result")
	if err := os.WriteFile(file, []byte(config(e.policy, e.ties)), 0o600); err != nil {
		return filled{}, err
	}
	text, err := exec.Command(x.program, "run", "openb-fgd", "--quiet", "--out", out, "--seed", strconv.Itoa(e.seed),
		"--set", "trace.file="+filepath.Join(x.folder, "openb_pod_list_"+e.workload+".csv.gz"),
		"--set", "cluster.nodeList.file="+filepath.Join(x.folder, "openb_node_list_gpu_node.csv"),
		"--set", "scheduler.config="+file).CombinedOutput()
	if err != nil {
		return filled{}, fmt.Errorf("%+v: %w\n%s", e, err, text)
	}
	return allocated(filepath.Join(out, "journal.ndjson.zst"))
}

// bench is the program and the folder of the openb files.
type bench struct{ program, folder string }

func openb(t *testing.T) bench {
	t.Helper()
	return bench{folder: filepath.Dir(shared(t, "openb/openb_node_list_gpu_node.csv")), program: program(t)}
}

// allocated reads the columns from a journal. A step is the submission of one pod, with what came of it.
func allocated(path string) (out filled, err error) {
	r, err := journal.Open(path)
	if err != nil {
		return out, err
	}
	defer r.Close()
	var total, arrived, owned units.MilliGPU
	var steps [len(out)]int
	step := func() {
		if k := int(math.Round(100 * float64(arrived) / float64(total))); k < len(out) {
			out[k] += 100 * float64(owned) / float64(total)
			steps[k]++
		}
	}
	first := true
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		switch b := rec.Body.(type) {
		case journal.Node:
			total += units.MilliGPU(b.GPUs) * units.GPU
		case journal.JobSubmit:
			if !first {
				step()
			}
			first = false
			arrived += b.GPUs
		case journal.PodAssign:
			for _, s := range b.Slots {
				owned += s.Share
			}
		case journal.PodRelease:
			return out, fmt.Errorf("%s: pod %s ends", path, b.Pod)
		}
	}
	step()
	for k := range out {
		if steps[k] > 0 {
			out[k] /= float64(steps[k])
		}
	}
	return out, nil
}

// published are the published results: workload, policy, and a row for each of the ten runs.
func published(t *testing.T) map[string]map[string][]filled {
	t.Helper()
	f, err := os.Open(shared(t, "openb/expected_fgd/analysis_allo_discrete.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string][]filled{}
	for _, row := range rows[1:] {
		workload := strings.TrimPrefix(row[0], "openb_pod_list_")
		var values filled
		at := slices.Index(rows[0], "0")
		for k := range values {
			if values[k], err = strconv.ParseFloat(row[at+k], 64); err != nil && row[at+k] != "" {
				t.Fatal(err)
			}
		}
		if out[workload] == nil {
			out[workload] = map[string][]filled{}
		}
		out[workload][row[1]] = append(out[workload][row[1]], values)
	}
	return out
}

// stats are the mean and the standard deviation of column k.
func stats(rows []filled, k int) (mean, deviation float64) {
	for _, r := range rows {
		mean += r[k] / float64(len(rows))
	}
	for _, r := range rows {
		deviation += (r[k] - mean) * (r[k] - mean)
	}
	return mean, math.Sqrt(deviation / float64(max(len(rows)-1, 1)))
}

// TestFGD holds one run of three policies against the published experiment: within half a percentage point of its mean.
func TestFGD(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a cluster of 6,212 GPUs three times, for half a minute of CPU")
	}
	want, x := published(t)["default"], openb(t)
	for _, p := range policies {
		if p.plugin != "Random" && p.plugin != "BestFit" && p.plugin != "FGD" {
			continue
		}
		t.Run(p.plugin, func(t *testing.T) {
			got, err := x.fill(experiment{"default", p.plugin, tiesFixed, 42})
			if err != nil {
				t.Fatal(err)
			}
			mean, _ := stats(want[p.published], 100)
			t.Logf("allocated at 100 %% arrived: %.2f, published %.2f", got[100], mean)
			if math.Abs(got[100]-mean) > 0.5 {
				t.Errorf("allocated at 100 %% arrived: %.2f, published %.2f", got[100], mean)
			}
		})
	}
}
