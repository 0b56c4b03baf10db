package startup

import "orrery/sim/model/card"

// Card describes the model.
func Card() card.Card {
	c := card.Card{
		Name: "startup", Title: "Cold starts",
		Question: "How long does a new replica take until it answers, and a new machine until its GPUs can be used?",
		Formula: []string{
			"pod: sandbox + image (bytes ÷ rate + unpacking per GiB; nothing when the node has it) + weights (bytes ÷ " +
				"rate) + engine initialisation + join of several pods",
			"with a snapshot: restore (bytes ÷ rate + a fixed part) in place of weights and engine",
			"what a node keeps (images; weights, snapshots and compiled code where the scenario says so) the next pod there " +
				"does not fetch or make again",
			"rate: the least of the loader's limit and the max-min fair parts of registry or object store, node network, " +
				"node disk; divided anew when a transfer begins or ends",
			"machine: allocation + boot and kubelet join + driver and toolkit + device plugin and feature discovery",
			"every fixed part is drawn from a triangular distribution (low, mode, high)",
		},
		Calibration: []string{"rates of the loader and of restores, and the size of snapshots, on rows of the table below; " +
			"nothing else is fitted"},
		Error: []string{
			errorText(),
			"all other figures are assumptions from vendors' statements, whose error is not known",
			wholeText(),
			"the division of links is tested against closed forms",
		},
		Table: table(),
		Omits: []string{
			"layers that images have in common; peer-to-peer distribution of images",
			"eviction of images and weights from a full disk",
			"the overlap of download, unpacking and loading",
			"slow first iterations of a server whose image is pulled lazily",
			"machines that boot and never become healthy",
			"the import of Python libraries as a stage of its own (5 to 20 s from a local disk, more over a network): it is " +
				"part of the engine's span",
			"tensor-parallel ranks that load at one time: the loader's limit is that of a pod",
		},
	}
	seen := map[string]bool{}
	for _, f := range Figures() {
		if !seen[f.Source] {
			seen[f.Source] = true
			c.Sources = append(c.Sources, f.Source)
		}
	}
	return c
}
