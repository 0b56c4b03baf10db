package serving

import "orrery/sim/plan"

// loaded simulates one replica iteration by iteration under requests of one length: what published figures were
// measured with. It is independent of the engines of this package on purpose, so that each can be held against the
// other; it knows nothing but in-order admission of whole requests, decodes first, and prompts in chunks.
//
// Requests are served in the order in which they are submitted. As all are of one length they end in that order, too,
// so that the running ones are a range of them.
type loaded struct {
	step          *Step
	budget        int // tokens of an iteration
	limit         int // requests at a time
	input, output int
	whole         bool // prompts are not divided
	groups, most  int  // schedulers side by side, and the requests that each takes; 0 = batches are not padded

	now                  float64
	submitted            []float64
	first, ended         []float64
	begun                []int // iteration of a request's first token
	head, decoding, next int   // requests ended; those that decode come before decoding; next is being computed
	progress             int   // tokens of next's prompt
	context              int64 // of all that decode
	iteration            int
}

func newLoaded(st *Step, e *plan.Engine, kvTokens int64, input, output int) *loaded {
	block := int64(max(e.BlockTokens, 1))
	whole := (int64(input+output) + block - 1) / block * block
	return &loaded{step: st, budget: e.MaxBatchedTokens, limit: int(min(int64(e.MaxSequences), kvTokens/whole)),
		input: input, output: output}
}

func (l *loaded) submit(at float64) {
	l.submitted = append(l.submitted, at)
	l.first, l.ended, l.begun = append(l.first, 0), append(l.ended, 0), append(l.begun, 0)
}

// iterate runs one iteration and returns how many requests it ended; -1 when there is nothing to do.
func (l *loaded) iterate() int {
	decodes := l.decoding - l.head
	left := l.budget - decodes
	tokens, begins := 0, l.decoding
	pairs := int64(0)
	seqs := 0
	for left > 0 && l.next < len(l.submitted) && l.next-l.head < l.limit && l.submitted[l.next] <= l.now {
		chunk := min(left, l.input-l.progress)
		if l.whole && chunk < l.input {
			break
		}
		pairs += int64(chunk) * (2*int64(l.progress) + int64(chunk) + 1) / 2
		tokens, left, seqs = tokens+chunk, left-chunk, seqs+1
		if l.progress += chunk; l.progress == l.input {
			l.next, l.progress = l.next+1, 0
		}
	}
	if decodes+tokens == 0 {
		return -1
	}
	run := decodes
	if tokens == 0 && l.groups > 0 {
		run = l.groups * padded((decodes+l.groups-1)/l.groups, l.most)
	}
	l.now += l.step.Seconds(run, l.context, tokens, pairs, seqs) - float64(float64(run-decodes)*l.step.sequence)
	l.iteration++
	l.context += int64(decodes)
	for ; begins < l.next; begins++ {
		l.first[begins], l.begun[begins] = l.now, l.iteration
		l.context += int64(l.input) + 1
	}
	l.decoding = l.next
	n := 0
	for l.head < l.decoding && l.iteration-l.begun[l.head] == l.output-1 {
		l.ended[l.head] = l.now
		l.context -= int64(l.input + l.output)
		l.head++
		n++
	}
	return n
}

// saturated is output tokens per second when requests are there from the beginning, over the whole run.
func (l *loaded) saturated(requests int) float64 {
	for range requests {
		l.submit(0)
	}
	for l.limit > 0 && l.head < requests {
		l.iterate()
	}
	if l.now == 0 {
		return 0
	}
	return float64(requests) * float64(l.output) / l.now
}

// measuredRounds and warmRounds are requests of each client: those that are measured, and those before.
const measuredRounds, warmRounds = 6, 4

// closed is what clients see that send their next request when they have the answer to the last: mean seconds to the
// first token and between tokens, and output tokens per second of all.
func (l *loaded) closed(clients int) (ttft, itl, rate float64) {
	for range clients {
		l.submit(0)
	}
	from, to := warmRounds*clients, (warmRounds+measuredRounds)*clients
	for l.limit > 0 && l.head < to {
		for range l.iterate() {
			l.submit(l.now)
		}
	}
	if l.head < to {
		return 0, 0, 0
	}
	for i := from; i < to; i++ {
		ttft += l.first[i] - l.submitted[i]
		itl += (l.ended[i] - l.first[i]) / float64(max(l.output-1, 1))
	}
	n := float64(to - from)
	return ttft / n, itl / n, n * float64(l.output) / (l.ended[to-1] - l.ended[from-1])
}
