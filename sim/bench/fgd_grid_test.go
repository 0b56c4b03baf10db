package bench

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// gridFile is the page that TestFGDGrid writes.
const gridFile = "../policy/plugins/openb.md"

// TestFGDGrid repeats the published experiment on every workload and writes the comparison into the documentation. It
// takes 10 s of CPU a run, a hundred runs with 3 seeds: ORRERY_FGD=3, or make fgd.
func TestFGDGrid(t *testing.T) {
	seeds, err := strconv.Atoi(os.Getenv("ORRERY_FGD"))
	if err != nil || seeds < 1 {
		t.Skip("fills a cluster of 6,212 GPUs a hundred times: set ORRERY_FGD to the number of seeds, or run make fgd")
	}
	want, x := published(t), openb(t)
	var list []experiment
	for s := range seeds {
		for _, w := range workloads {
			for _, p := range policies {
				if main := p.plugin == "Random" || p.plugin == "BestFit" || p.plugin == "FGD"; main || w == "default" {
					list = append(list, experiment{w, p.plugin, tiesFixed, 42 + s})
				}
			}
		}
		list = append(list, experiment{"default", "FGD", tiesDrawn, 42 + s}, experiment{"default", "FGD", tiesNobody, 42 + s},
			experiment{"default", "BestFit", tiesDrawn, 42 + s}, experiment{"default", "BestFit", tiesNobody, 42 + s})
	}
	got := x.grid(t, list)
	page := comparison(want, got, seeds)
	if err := os.WriteFile(gridFile, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads {
		for _, p := range policies {
			rows := got[experiment{w, p.plugin, tiesFixed, 0}]
			if len(rows) == 0 {
				continue
			}
			mean, _ := stats(rows, 100)
			expected, _ := stats(want[w][p.published], 100)
			if math.Abs(mean-expected) > 0.5 {
				t.Errorf("%s, %s: allocated at 100 %% arrived: %.2f, published %.2f", w, p.plugin, mean, expected)
			}
		}
	}
}

// grid runs experiments, as many at once as there are processors. The results are by experiment with seed 0, in the
// order of the seeds.
func (x bench) grid(t *testing.T, list []experiment) map[experiment][]filled {
	t.Helper()
	type result struct {
		filled
		error
	}
	results := make([]result, len(list))
	next := make(chan int)
	var wait sync.WaitGroup
	for range runtime.NumCPU() {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range next {
				f, err := x.fill(list[i])
				results[i] = result{f, err}
				t.Logf("%+v: %.2f %v", list[i], f[100], err)
			}
		}()
	}
	for i := range list {
		next <- i
	}
	close(next)
	wait.Wait()
	out := map[experiment][]filled{}
	for i, r := range results {
		if r.error != nil {
			t.Fatal(r.error)
		}
		key := list[i]
		key.seed = 0
		out[key] = append(out[key], r.filled)
	}
	return out
}

// comparison is the page.
func comparison(want map[string]map[string][]filled, got map[experiment][]filled, seeds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The plugins against the published experiment

Weng et al., Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent, USENIX ATC 2023:
how much of the openb cluster (1,213 nodes, 6,212 GPUs) is allocated when pods are submitted one by one, none ever ends, and
what does not fit is dropped. Below: allocated GPUs, percent of all, mean of the steps at which the arrived demand rounds to
100 %% of the GPUs (or as said); ± is the standard deviation over seeds. Published: 10 seeds of a patched scheduler. Here:
%d seeds from 42 of the scenario openb-fgd under the unmodified kube-scheduler, whose own random streams shuffle and draw the
pods. Written by %s; data Apache-2.0 (github.com/hkust-adsl/kubernetes-scheduler-simulator).

| workload | policy | published | here | difference |
|---|---|---|---|---|
`, seeds, "`make fgd`")
	for _, w := range workloads {
		for _, p := range policies {
			if rows := got[experiment{w, p.plugin, tiesFixed, 0}]; len(rows) > 0 {
				line(&b, w, p.plugin, want[w][p.published], rows, 100)
			}
		}
	}
	b.WriteString("\nOther moments of the workload default:\n\n| at % arrived | policy | published | here | difference |\n" +
		"|---|---|---|---|---|\n")
	for _, k := range []int{50, 90, 95, 130} {
		for _, p := range policies {
			line(&b, strconv.Itoa(k), p.plugin, want["default"][p.published], got[experiment{"default", p.plugin, tiesFixed, 0}], k)
		}
	}
	b.WriteString(`
## What ties do

Scores are whole numbers from 0 to 100, and for most pods hundreds of nodes share the best one. The published experiment
gave the nodes a random order, fixed for a run: equally good nodes are filled one after the other. NodeRank does the same.
When the lot is cast anew for every pod instead (NodeRank with per: pod), equally good nodes are all begun, and FGD, which
tells less apart than BestFit, falls below it. kube-scheduler v1.37.2 without NodeRank takes the first node in the order of a
heap, which is nearly a fixed order.

| policy, workload default | ties | published | here | difference |
|---|---|---|---|---|
`)
	for _, policy := range []string{"05-BestFit BestFit", "06-FGD FGD"} {
		name, plugin, _ := strings.Cut(policy, " ")
		for _, ties := range []struct{ key, say string }{{tiesFixed, "NodeRank: fixed order"},
			{tiesDrawn, "NodeRank, per: pod: drawn anew"}, {tiesNobody, "kube-scheduler's own"}} {
			fmt.Fprint(&b, "| ", plugin, " ")
			line(&b, ties.say, "", want["default"][name], got[experiment{"default", plugin, ties.key, 0}], 100)
		}
	}
	return b.String()
}

// line writes a row of a table.
func line(b *strings.Builder, first, second string, want, got []filled, k int) {
	if second != "" {
		second = " | " + second
	}
	expected, spread := stats(want, k)
	mean, deviation := stats(got, k)
	fmt.Fprintf(b, "| %s%s | %.2f ± %.2f | %.2f ± %.2f | %+.2f |\n", first, second, expected, spread, mean, deviation,
		mean-expected)
}
