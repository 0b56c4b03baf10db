package karpenter

import (
	"fmt"
	"testing"
	"time"

	"orrery/sim/plan"
)

// BenchmarkHour tells what a simulated hour of Karpenter costs: with nothing to do in an empty cluster, with nothing to
// do over some nodes that stay, and with nodes that come and go.
func BenchmarkHour(b *testing.B) {
	still := func(pods int) func(*world) error {
		return func(w *world) error {
			w.quiet = true
			if err := w.apply(fmt.Sprintf(twoPools, "a", "Never", "10%") + kwokClass); err != nil {
				return err
			}
			w.create("x", pods, 1)
			if err := w.run(30 * time.Minute); err != nil {
				return err
			}
			b.ResetTimer()
			err := w.run(time.Duration(b.N) * time.Hour)
			b.StopTimer()
			return err
		}
	}
	for _, pods := range []int{0, 8, 64} {
		b.Run(fmt.Sprintf("idle/nodes=%d", pods/8), func(b *testing.B) {
			in(b, plan.Karpenter{}, h100s(plan.CapacityOnDemand), still(pods))
		})
	}
	b.Run("busy", func(b *testing.B) {
		for range b.N {
			in(b, plan.Karpenter{}, h100s(plan.CapacitySpot, plan.CapacityOnDemand), busy)
		}
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/6, "s/hour")
	})
}
