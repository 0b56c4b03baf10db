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
			"rate: the least of the loader's limit and the max-min fair parts of registry or object store, node network, " +
				"node disk; divided anew when a transfer begins or ends",
			"machine: allocation + boot and kubelet join + driver and toolkit + device plugin and feature discovery",
			"every fixed part is drawn from a triangular distribution (low, mode, high)",
		},
		Error: []string{"not known: of the figures below only loader throughput and snapshot restores are measurements; " +
			"the others are assumptions from vendors' statements. The division of links is tested against closed forms."},
		Omits: []string{
			"layers that images have in common; peer-to-peer distribution of images",
			"eviction of images and weights from a full disk",
			"the overlap of download, unpacking and loading",
			"slow first iterations of a server whose image is pulled lazily",
			"machines that boot and never become healthy",
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
