package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/strict"
)

const trainingScenario = `apiVersion: orrery/v1
kind: Scenario
name: training
cluster:
  pools:
  - {name: h, gpu: H100, nodes: 8, gpusPerNode: 8, cpu: 96, memory: 1Ti}
  - {name: a, gpu: A100, nodes: 8, gpusPerNode: 8, cpu: 96, memory: 1Ti}
  storage: {writeGBs: 100, readGBs: 200}
workload:
  training:
    reference: A100
    rules:
    - {class: pretrain, minGPUs: 32, model: llama-3-70b, tensor: 8, pipeline: 4, recompute: full}
    - {class: own, shape: {params: 1e9, layers: 24, hidden: 2048}, sequence: 2048}
    - {tenant: recsys, share: 0.3, messageMiB: 16}
    checkpoint: {every: 30m, gbPerGPU: 10}
trace:
  file: t.ndjson
`

// TestShape holds that numbers of a scenario make the same model as the list of models does, for every model in it.
func TestShape(t *testing.T) {
	for _, want := range training.Models() {
		if want.Kernels != plan.KernelsNow {
			continue // old software is no matter of the shape
		}
		shape := ModelShape{Params: want.Params, Layers: want.Layers, Hidden: want.Hidden, Query: want.Query, KV: want.KV,
			Vocabulary: want.Vocabulary, Tied: want.Tied, Experts: want.Experts, TopK: want.TopK,
			ExpertFFN: want.ExpertWidth, MoELayers: want.MoELayers, Head: want.Head, Latent: want.Latent,
			Window: want.Window, WindowLayers: want.WindowLayers, Context: want.Context}
		var s Scenario
		if s.doc = strict.Parse("s.yaml", nil); !s.checkShape("shape", &shape) {
			t.Errorf("%s is refused: %v", want.Name, s.doc.Err())
		}
		got := shape.model()
		got.Name, got.Source = want.Name, want.Source
		if got != want {
			t.Errorf("%s by its numbers:\n%+v, want\n%+v", want.Name, got, want)
		}
	}
}

// TestTraining maps jobs to what they compute: the first rule that matches, the default for the rest and for sizes that
// a model's groups do not suit. Jobs of one kind and size share it. A scenario without training says nothing of speed.
func TestTraining(t *testing.T) {
	dir := t.TempDir()
	var lines []string
	for i, j := range []struct {
		class, tenant string
		gpus          int
	}{{"pretrain", "x", 64}, {"pretrain", "x", 40}, {"pretrain", "x", 8}, {"own", "x", 4}, {"", "recsys", 16},
		{"", "x", 16}, {"", "x", 16}, {"", "x", 0}} {
		lines = append(lines, fmt.Sprintf(`{"id":"j%d","submit_s":0,"run_s":3600,"gpus":%d,"tenant":%q,"class":%q}`, i,
			j.gpus, j.tenant, j.class))
	}
	for name, text := range map[string]string{"s.yaml": trainingScenario,
		"t.ndjson": `{"orrery_trace":1,"name":"t"}` + "\n" + strings.Join(lines, "\n") + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Load(dir+"/s.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, src, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	jobs := drain(t, src)
	want := []string{"llama-3-70b", "medium", "medium", "model of the scenario", "share", "medium", "medium", ""}
	for i, j := range jobs {
		got := ""
		if j.Training != nil {
			got = j.Training.Name
			if j.Training.Reference == nil || j.Training.Reference.GPU != "a100-80" || j.Training.Save == nil {
				t.Errorf("job %d: reference %+v, save %+v", i, j.Training.Reference, j.Training.Save)
			}
		}
		if got != want[i] {
			t.Errorf("job %d computes %q, want %q", i, got, want[i])
		}
	}
	if jobs[5].Training != jobs[6].Training {
		t.Error("two jobs alike do not share what they compute")
	}
	if b := jobs[0].Training.Save.Bytes; b < 0.91e12 || b > 0.92e12 {
		t.Errorf("a checkpoint of 70B parameters has %g bytes", b)
	}
	warned := fmt.Sprint(src.Warnings())
	if !strings.Contains(warned, "do not divide 40") || !strings.Contains(warned, WarnParallelism) {
		t.Errorf("a model that 40 GPUs do not suit is not reported: %s", warned)
	}
	if p.Pools[0].Accelerator == nil || p.Pools[0].Accelerator.Half != 794 || p.Storage == nil {
		t.Errorf("pool %+v, storage %+v", p.Pools[0].Accelerator, p.Storage)
	}
	again, err := Parse(dir+"/r.yaml", p.Resolved)
	if err != nil {
		t.Fatalf("the resolved scenario: %v", err)
	}
	samePlan(t, s, again)
	off, err := Load(dir+"/s.yaml", []string{"workload={}"})
	if err != nil {
		t.Fatal(err)
	}
	q, src, err := off.Plan()
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range drain(t, src) {
		if j.Training != nil {
			t.Errorf("%s has a speed without being asked for", j.ID)
		}
	}
	if q.Pools[0].Accelerator != nil {
		t.Error("a pool has figures for a model that no job has")
	}
}
