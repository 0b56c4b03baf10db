// Package storage says how large a training job's checkpoint is, how long it takes to write and to read over a shared
// file system, how long training stops for it, and how often one should be written. Card states what it rests on.
package storage

import (
	"math"

	"orrery/sim/model/card"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// BytesPerParam is the size of a checkpoint with the optimiser's state: 8B 105 GB, 70B 0.91 TB, 405B 5.3 TB (figures as
// MLPerf Storage uses them; medium confidence).
const BytesPerParam = 13

// Bytes is the size of the checkpoint of a model with so many parameters.
func Bytes(params float64) float64 { return BytesPerParam * params }

// hostGBs is the rate at which one GPU's state is copied to host memory before an asynchronous write: PCIe 5, measured
// 55.1 GB/s device to host (Machine Learning Engineering, commit 744d01e), rounded down for what runs beside it.
const hostGBs = 50

// Rate is what the nodes of a job can move together, 1e9 bytes per second: the least of the storage's rate and the
// nodes' own; 0 = without limit. share is the part of the storage's rate that the job has, 0 to 1.
func Rate(system, node float64, nodes int, share float64) float64 {
	rate := math.Inf(1)
	if system > 0 {
		rate = system * share
	}
	if node > 0 {
		rate = math.Min(rate, node*float64(nodes))
	}
	if math.IsInf(rate, 1) {
		return 0
	}
	return rate
}

// Write is the time until a checkpoint is safe.
func Write(bytes float64, nodes int, s *plan.Storage, share float64) units.Duration {
	if s == nil {
		return 0
	}
	return span(bytes, Rate(s.WriteGBs, s.NodeWriteGBs, nodes, share))
}

// Restore is the time to read a checkpoint at a restart. Every data-parallel group reads it once and passes it on.
func Restore(bytes float64, nodes int, s *plan.Storage, share float64) units.Duration {
	if s == nil {
		return 0
	}
	return span(bytes, Rate(s.ReadGBs, s.NodeReadGBs, nodes, share))
}

// Stall is how long training stands still for a checkpoint: until it is written, or, written asynchronously, until each
// GPU's part is in host memory. A write that takes longer than the interval holds training up for the rest.
func Stall(save *plan.Save, gpus, nodes int, s *plan.Storage, share float64) units.Duration {
	if save == nil {
		return 0
	}
	write := Write(save.Bytes, nodes, s, share)
	if !save.Async {
		return write
	}
	return span(save.Bytes/float64(max(gpus, 1)), hostGBs) + max(0, write-save.Every)
}

// longest is the longest span that storage takes, in seconds: a century, the longest that a trace can say. Longer ones
// could not be counted in nanoseconds.
const longest = 100 * 365 * 24 * 3600

func span(bytes, gbs float64) units.Duration {
	if gbs <= 0 {
		return 0
	}
	return units.FromSeconds(math.Min(bytes/(gbs*1e9), longest))
}

// Interval is the time between checkpoints that loses least work, √(2 × write × mean time between failures) (Young
// 1974; Daly, FGCS 22, 2006, to first order); 0 when nothing fails or writing takes no time.
func Interval(write, betweenFailures units.Duration) units.Duration {
	if write <= 0 || betweenFailures <= 0 {
		return 0
	}
	return units.FromSeconds(math.Sqrt(2 * write.Seconds() * betweenFailures.Seconds()))
}

// Useful is the expected part of a job's time that is useful work: (1 - (u + Δ/2)/M) ÷ (1 + w/Δ), at least 0, for an
// interval Δ, w to write, u to come back after a failure and M between failures (Kokolis et al., arXiv 2410.21680: to
// about 5 % of a simulation).
func Useful(interval, write, back, betweenFailures units.Duration) float64 {
	if interval <= 0 || betweenFailures <= 0 {
		return 1
	}
	lost := (back.Seconds() + float64(interval.Seconds()/2)) / betweenFailures.Seconds()
	return math.Max(0, (1-lost)/(1+write.Seconds()/interval.Seconds()))
}

// Card describes the model.
func Card() card.Card {
	return card.Card{
		Name: "storage", Title: "Checkpoints",
		Question: "How long do checkpoints take to write and to read, and how often should they be written?",
		Formula: []string{
			"Size: 13 bytes per parameter (weights, master weights, two moments).",
			"Write = size ÷ min(nodes × a node's rate, the job's share of the storage's rate). Read likewise.",
			"Training stops for the whole write, or, asynchronously, for size per GPU ÷ 50 GB/s; a write longer than the " +
				"interval holds it up for the rest.",
			"Best interval: √(2 × write × mean time between failures).",
			"Useful part: (1 - (time to come back + interval/2) ÷ time between failures) ÷ (1 + write/interval).",
		},
		Sources: []string{
			"sizes as MLPerf Storage uses them: 8B 105 GB, 70B 0.91 TB, 405B 5.3 TB (medium confidence)",
			"Machine Learning Engineering, commit 744d01e: BLOOM-176B, 2.3 TB in 40 s; device to host 55.1 GB/s",
			"Young, CACM 17 (1974); Daly, Future Generation Computer Systems 22 (2006)",
			"Kokolis et al., arXiv 2410.21680 (read through notes): the useful part",
		},
		Error: []string{
			"size of BLOOM-176B: 2.29 TB, published 2.3 TB; 8B, 70B and 405B within 1 %; its write of 40 s " +
				"at 57 GB/s is met by construction",
			"2,048 nodes, 6.5 failures per 1000 node-days, 20 s to write, 5 min to come back: 8.6 min and 0.88 useful, " +
				"published 8.5 min and 0.88",
		},
		Omits: []string{
			"metadata, many small files, caches of the file system; checkpoints in memory or on local disks",
			"restarts on another number of GPUs, which read more",
		},
	}
}
