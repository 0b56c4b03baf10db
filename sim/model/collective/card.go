package collective

import "orrery/sim/model/card"

// Card describes the model.
func Card() card.Card {
	f := library()
	c := card.Card{
		Name: "collective", Title: "Collectives",
		Question: "How long does an all-reduce, all-gather, reduce-scatter, all-to-all or copy take on the links that a " +
			"job really uses?",
		Formula: []string{
			"Inside a scale-up domain: time = volume × bytes ÷ bus bandwidth(bytes, GPUs). Volumes: all-reduce 2(n-1)/n, " +
				"all-gather, reduce-scatter and all-to-all (n-1)/n, copy 1.",
			"Bus bandwidth is read from measured curves, its logarithm linear in log2(bytes); below the first point only " +
				"latency counts. Other widths scale the curve by what was measured over them, linear in log2(GPUs) between. " +
				"Reduction in the switch (NVLS) helps all-reduce alone and only above the widths measured.",
			"In a mesh (xGMI, Gaudi) a GPU reaches min(all its links, peers × one link).",
			"Between domains: each of the adapters of the domain with fewest ranks carries its part, volume(domains) × bytes " +
				"÷ adapters ÷ (adapter rate × efficiency(bytes)); the time is the larger of this and the part inside. The " +
				"efficiency was measured on nodes of 8 GPUs with 50 GB/s each; other adapters take the value at the size " +
				"that keeps them busy as long.",
			"More nodes than the 4 measured add 2 log2(nodes/4) hops of NCCL's tree latency (8.5 µs).",
			"Crossing the network's upper layers multiplies the time between domains: other leaf 1.035, other pod 1.135; for " +
				"point-to-point streams the excess is 70/17 as large.",
			"A kind without measurements takes the curve of the nearest one of its sort of link, scaled by the rates.",
		},
		Sources: []string{
			"NVIDIA/nccl src/graph/tuning.cc, commit 5067397: volumes, algorithms, latencies",
			"Arnold, arXiv 2509.15940: up to 17 % for collectives and 70 % for point-to-point across the spine",
		},
		Calibration: []string{"none: curves are measurements as published, efficiencies follow from them"},
		Error: []string{
			"every published point is met within 0.5 % inside a node and 1 % over 4 nodes (the curves pass through them)",
			"4 nodes against 1, B200: 2.0 times at 1 GiB and more, as published; at 1 MiB 12 times where 6 to 7 are " +
				"published: the two sides of that quotient come from different systems",
			"H200, 4 nodes, 4 GiB, which the efficiencies do not come from: 377 GB/s, published 365 (+3 %)",
			"between points and at other widths the error is not known",
		},
		Omits: []string{
			"frameworks' own all-reduce kernels, which are faster than NCCL below 1 MiB",
			"which GPUs of a PCIe server share a switch or a socket",
			"smaller groups' lower latency beyond what the volume says; contention inside a node; failed or slow links",
			"adaptive routing and its absence (50 to 75 % of bandwidth lost at a bring-up, arXiv 2410.21680)",
		},
	}
	for _, name := range []string{"aic", "mle", "vendor"} {
		c.Sources = append(c.Sources, f.Sources[name].Title+", "+f.Sources[name].Date)
	}
	return c
}
