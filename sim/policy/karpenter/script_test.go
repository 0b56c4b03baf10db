package karpenter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"orrery/sim/plan"
)

// TestScripts plays testdata/*: what Karpenter does over time, told by what the cloud is asked for and by its own words.
//
//	new [spot] [gates=…]      a cluster with h100s
//	apply                     creates the objects of the manifest
//	pods app=a n=3 gpus=1     creates pods
//	scale app=a n=2           leaves so many of them
//	stock out=h100.1x/z1/spot takes an offering out of stock, in=… brings it back
//	interrupt node=i          takes back the i-th machine, two minutes from now
//	run d=10m                 lets time pass, and says what happened
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var steps []datadriven.TestData
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			steps = append(steps, *d)
			return playScript(t, steps)
		})
	})
}

// playScript plays all steps and returns what the last one says: a bubble cannot be left and entered again.
func playScript(t *testing.T, steps []datadriven.TestData) string {
	last := steps[len(steps)-1]
	if last.Cmd != "run" {
		return ""
	}
	types := h100s(plan.CapacityOnDemand)
	flags := plan.Karpenter{}
	for _, a := range steps[0].CmdArgs {
		switch a.Key {
		case "spot":
			types = h100s(plan.CapacitySpot, plan.CapacityOnDemand)
		case "gates":
			flags.FeatureGates = strings.Join(a.Vals, ",")
		}
	}
	var out string
	in(t, flags, types, func(w *world) error {
		for i := range steps[1:] {
			text, err := w.step(t, &steps[i+1])
			if err != nil {
				return err
			}
			out = text
		}
		return nil
	})
	return out
}

func (w *world) step(t *testing.T, d *datadriven.TestData) (string, error) {
	var app, node string
	var n, gpus int
	d.MaybeScanArgs(t, "app", &app)
	d.MaybeScanArgs(t, "n", &n)
	d.MaybeScanArgs(t, "gpus", &gpus)
	switch d.Cmd {
	case "apply":
		return "", w.apply(d.Input)
	case "pods":
		w.create(app, n, gpus)
	case "scale":
		w.scale(app, n)
	case "stock":
		for _, a := range d.CmdArgs {
			part := strings.Split(a.Vals[0], "/")
			w.cloud.out[market{part[0], part[1], part[2]}] = a.Key == "out"
		}
	case "interrupt":
		d.ScanArgs(t, "node", &n)
		m := w.cloud.machines[n]
		node = m.Node
		w.note("cloud: %s will be taken back", node)
		w.k.Interrupt(m)
	case "run":
		var text string
		d.ScanArgs(t, "d", &text)
		dur, err := time.ParseDuration(text)
		if err != nil {
			return "", err
		}
		w.log = nil
		if err := w.run(dur); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s\n--\n%s\n", strings.Join(w.log, "\n"), w.show()), nil
	default:
		return "", fmt.Errorf("no step %q", d.Cmd)
	}
	return "", nil
}
