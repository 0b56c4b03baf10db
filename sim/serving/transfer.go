package serving

import (
	"time"

	"orrery/sim/units"
)

// Transfers of KV caches: the time of one is a set-up and its bytes over the rate of the slower end. An interconnect
// table (llm-d/llm-d-inference-sim at eec055a, docs/latency-profiles.md) has effective rates of 40 of 50 GB/s over
// NDR InfiniBand, 20 of 25 over 200 Gb/s RoCE and 10 of 12.5 over 100 Gb/s Ethernet, and set-ups of 0.1 to 0.5 ms
// over NVLink, 0.5 to 2 ms with RDMA and 2 to 10 ms over TCP; what is taken here is the middle of each. Copies
// between two H100 over NVLink were measured at 376 of 450 GB/s (stas00/ml-engineering at 744d01e,
// compute/accelerator).
const (
	networkShare = 0.8
	linkShare    = 0.84
	setupLink    = 300 * time.Microsecond
	setupRDMA    = 1250 * time.Microsecond
	setupTCP     = 6 * time.Millisecond
	// rdmaGBs is the least share of network adapters that a GPU of a node with RDMA has. An assumption: GPUs with less
	// than 50 Gb/s each are in instances whose network is plain Ethernet.
	rdmaGBs = 6.25
	// plainGBs is the rate of a node whose network the catalogue does not know: 10 Gb/s Ethernet. An assumption.
	plainGBs = 1.25
)

// rate is what a replica can send, 1e9 bytes per second, and the set-up of a transfer. All GPUs of the replica send
// their parts side by side.
func (r *replica) rate(to *replica) (gbs float64, setup units.Duration) {
	d := &r.Spec.Device
	gpus := float64(max(r.Spec.Tensor, 1) * max(r.Spec.Pipeline, 1))
	switch {
	case r.Domain != "" && r.Domain == to.Domain && d.LinkGBs > 0:
		return float64(gpus*d.LinkGBs) * linkShare, setupLink
	case d.NICGBs >= rdmaGBs:
		return float64(gpus*d.NICGBs) * networkShare, setupRDMA
	case d.NICGBs > 0:
		return float64(gpus*d.NICGBs) * networkShare, setupTCP
	}
	return plainGBs * networkShare, setupTCP
}

// handOn looks for a decode replica for a request whose prompt a prefill replica has computed.
func (p *Plane) handOn(r *request, from *replica) {
	r.from = from
	from.sending.push(r)
	decode := &r.svc.decode
	if decode.queue.n == 0 {
		if to := decode.pick(r); to != nil {
			p.transfer(r, to)
			return
		}
	}
	r.move(queued)
	decode.queue.push(r)
}

// transfer sends a request's KV cache to a decode replica. Transfers from and to one replica pass one after the other:
// this one begins when all those are over that were asked for before and touch one of its two ends.
func (p *Plane) transfer(r *request, to *replica) {
	from := r.from
	r.move(moving)
	to.take(r)
	out, setup := from.rate(to)
	in, setupIn := to.rate(from)
	bytes := float64(r.modelInput()) * from.tokenBytes
	wire := units.Duration(bytes / min(out, in)) // bytes ÷ (1e9 bytes/s) = ns
	begin := max(p.now, from.nicFree, to.nicFree)
	end := begin.Add(max(setup, setupIn) + wire)
	from.nicFree, to.nicFree = end, end
	p.schedule(end.Sub(p.now), r, transferred)
}

// received gives a request whose KV cache has arrived to its decode replica.
func (p *Plane) received(r *request) {
	to := r.at
	from := r.from
	from.sending.remove(r)
	r.from = nil
	r.move(atReplica)
	q := r.ready(true)
	q.Submitted = p.now
	ok := to.engine.Submit(p.now, q)
	to.look()
	if !ok {
		to.drop(r)
		to.failures++
		r.final = true
		p.fail(r)
		p.dispatch(to.pool)
	}
}
