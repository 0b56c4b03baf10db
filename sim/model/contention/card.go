package contention

import "orrery/sim/model/card"

// Card describes the model.
func Card() card.Card {
	return card.Card{
		Name: "contention", Title: "Links that jobs share",
		Question: "How much slower do jobs go that send over the same uplinks, or write to the same storage?",
		Formula: []string{
			"Running alone, a job asks each link for the bytes of a step ÷ the time of a step.",
			"At speed x it carries x × that on all its links; on every link the sum is at most the capacity.",
			"Weighted max-min fairness: the rate per GPU that sends grows equally for all jobs until a job has all it asks " +
				"for or one of its links is full.",
		},
		Sources: []string{
			"Bertsekas and Gallager, Data Networks, 2nd ed. 1992, section 6.5.2: max-min flow control",
		},
		Error: []string{"not known: no public data set of contended training runs was found. The division itself is " +
			"tested against a naive one."},
		Omits: []string{
			"bursts: demand is an average over a step, so that jobs whose collectives meet are slower than it says, and jobs " +
				"that take turns are faster",
			"routing: adaptive routing is taken to be perfect, all uplinks of a domain are one link",
			"congestion control, incast, losses",
		},
	}
}
