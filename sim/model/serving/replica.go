package serving

import (
	"math"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// Never is an instant that does not come.
const Never = units.Time(math.MaxInt64)

// Spec is one replica: what it runs and on what.
type Spec struct {
	Engine plan.Engine
	Role   string // plan.RoleBoth, RolePrefill or RoleDecode
	// Sizes of the parallel groups, ≥ 1.
	Tensor, Pipeline, Expert int
	// Device is each of its GPUs, whole or a MIG instance (see Slice).
	Device plan.Accelerator
	// Nodes is how many nodes the GPUs are on; links between nodes are the device's NICs.
	Nodes int
	// Seed of the replica's own random draws: lengths of speculation, times of batches.
	Seed uint64
}

// Sequence is a request at a replica. The owner makes it and may read it at any time; the fields of the second half are
// the replica's.
type Sequence struct {
	Owner         any // whatever the owner wants to find again
	Input, Output int // tokens, ≥ 1
	// Prefix names the prompt's blocks of PrefixTokens tokens each, from the beginning; nil = shares nothing.
	Prefix       []uint64
	PrefixTokens int
	// Received says that the KV cache of the prompt has come from elsewhere, with the first token: only decoding is left.
	Received bool
	// Level is the priority from 1, the most urgent, at a batcher that has levels; 0 = 1.
	Level int

	Submitted units.Time
	Begun     units.Time // its first iteration began; Never before
	First     units.Time // its first token was there; Never before
	Ended     units.Time // Never before
	Cached    int        // tokens of the prompt that the prefix cache had when it began first
	Generated int        // tokens when it was last told of, lost its KV cache or was aborted
	Preempted int        // times that it lost its KV cache
	Refused   string     // why the replica cannot serve it at all, or has given it up; "" = it can

	state any // the replica's own
}

// Events is told what happens at a replica, in the order of time.
type Events interface {
	// First: the sequence's first token is there, at q.First.
	First(q *Sequence)
	// Ended: the sequence has all its tokens, or with RolePrefill its first one, at q.Ended. With q.Refused set the
	// replica gives it up at q.Ended.
	Ended(q *Sequence)
}

// Replica simulates one engine instance. It belongs to one goroutine and draws nothing but from its own seed, so that
// the same calls give the same answers. Instants never go back: those of Submit, Abort, SetSpeed and Advance are at or
// after the last one.
type Replica interface {
	// Submit puts a sequence into the replica's waiting queue. It returns false, with q.Refused set, when the sequence
	// can never fit.
	Submit(at units.Time, q *Sequence) bool
	// Abort takes a sequence out, wherever it is. The tokens computed for it are lost.
	Abort(at units.Time, q *Sequence)
	// Advance simulates up to and including the instant, and tells what happened meanwhile.
	Advance(to units.Time, tell Events)
	// Next is the instant of the next event that Advance would tell, if nothing else is submitted; Never when there is
	// none. It may be earlier, never later.
	Next() units.Time
	// SetSpeed says how fast the devices are from now on, in millionths of their own speed: what neighbours on a shared
	// GPU leave.
	SetSpeed(at units.Time, millionths int64)
	// Load is what a scrape sees now, and the counters since the beginning.
	Load() Load
}

// Load is a replica's state and its counters.
type Load struct {
	Running, Waiting int
	KVTokens         int64 // capacity of the KV cache, tokens
	KVUsed           int64 // tokens of it in blocks that running sequences hold
	// Since the beginning, at the instant of the last call:
	Prefilled, Generated      int64 // tokens computed
	PrefixHits, PrefixQueries int64 // tokens of prompts found in the prefix cache, and looked up
	Preemptions               int64
	Iterations                int64
	Busy                      units.Duration // an iteration was running
	RunningTime, WaitingTime  units.Duration // integrals of Running and Waiting
	KVTime                    units.Duration // integral of KVUsed ÷ KVTokens
	ComputeBound              units.Duration // part of Busy that arithmetic limited; the rest was memory or links
}
