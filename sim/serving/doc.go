// Package serving is the request plane: it owns every request of every service between its arrival and its end. It
// draws requests from their sources, leads them through pipelines, routes them to replicas, plays the clients that give
// up and try again, and writes what happened in a window of time as one record.
//
// It has an event heap of its own and knows nothing of Kubernetes. The run advances it lazily, with [Plane.Advance],
// before whatever touches it: a replica that becomes ready or goes, a scrape, the end of a window. What happens at one
// instant has a total order: replicas in the order in which they became ready, then what was scheduled, in that order,
// then clients' time-outs and arrivals by service. What the run does at an instant comes after all of it.
//
// # What a request passes
//
// The client sends it; it passes the stages before the model, the model, and the stages behind it. Each of them costs
// a hop there and a hop back. A stage that is another service's sends a request of its own to that service's router,
// which counts there as an arrival without retries. A failed try goes back to the client, who waits with exponential
// back-off and full jitter and sends the request again from the beginning, as long as it has retries left. Latencies
// count from the first sending. A refusal because a request can never fit is not tried again.
//
// The first token is at the client when the model has it and a hop has passed; but if a stage behind the model may
// refuse the answer, the client sees nothing of it before all stages have passed. The time per output token is the
// model's.
//
// # Disaggregated prefill and decode
//
// A replica of a prefill group computes the prompt and the first token. The router then picks a decode replica, and the
// KV cache is sent there. Transfers from and to one replica pass one after the other, in the order in which they were
// asked for (see Plane.send). While no decode replica has room the request waits, and its cache stays where it is; what
// that costs the prefill replica in memory is not modelled. If either replica goes, the try is lost.
//
// It imports models, plan, journal, rng, sketch and units.
package serving
