package karpenter

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"orrery/sim/plan"
)

// BenchmarkHour tells what a simulated hour of Karpenter costs: with nothing to do in an empty cluster, with nothing to
// do over some nodes that stay, and with nodes that come and go.
func BenchmarkHour(b *testing.B) {
	still := func(b *testing.B, pods int) func(*world) error {
		return func(w *world) error {
			w.quiet = true
			if err := w.apply(fmt.Sprintf(twoPools, "a", "Never", "10%") + kwokClass); err != nil {
				return err
			}
			w.create("x", pods, 1)
			if err := w.run(30 * time.Minute); err != nil {
				return err
			}
			before := cpu(b)
			b.ResetTimer()
			err := w.run(time.Duration(b.N) * time.Hour)
			b.StopTimer()
			b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N), "cpu-s/hour")
			return err
		}
	}
	for _, pods := range []int{0, 8, 64, 400} {
		b.Run(fmt.Sprintf("idle/nodes=%d", pods/8), func(b *testing.B) {
			in(b, plan.Karpenter{}, h100s(plan.CapacityOnDemand), still(b, pods))
		})
	}
	b.Run("busy", func(b *testing.B) {
		before := cpu(b)
		for range b.N {
			in(b, plan.Karpenter{}, h100s(plan.CapacitySpot, plan.CapacityOnDemand), busy)
		}
		b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N)/6, "cpu-s/hour")
	})
}

// cpu is the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
