package sim

import (
	"cmp"
	"fmt"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/model/sharing"
	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/sim/workload"
)

// shares says what others on the same GPUs leave of a team's speed. A team keeps a part of each of its GPUs busy (its
// demand, which the trace says); it goes at full speed when it gets that much, and slower by what it lacks.
type shares struct {
	parts map[partKey]*part
}

// partKey names what is divided among clients: a GPU, or a MIG instance of it.
type partKey struct {
	node    string
	gpu     int
	profile string
	start   int
}

// part is a divided GPU or MIG instance and those at work on it, in the order in which they came.
type part struct {
	key     partKey
	pool    *plan.Pool
	clients []*client
}

// client is a team on parts of GPUs.
type client struct {
	team   *paced
	demand int64 // of each of its parts, in millionths of a GPU
	on     []stand
	speed  int64 // the least of its parts', in millionths
}

// stand is a client's place on a part.
type stand struct {
	part  *part
	share units.MilliGPU
	pod   string // key of the pod that stands there
}

// shared reports whether slots of the pool can be parts of GPUs.
func shared(p *plan.Pool) bool { return p.GPUsPerNode > 0 && p.Sharing != plan.SharingNone }

// divided reports whether a slot is a part of a GPU.
func divided(pool *plan.Pool, s journal.Slot) bool {
	return s.Profile != "" || s.Share < units.GPU || pool.SlotsPerGPU > 1
}

// add puts a pod of a team's client on a part; begin must follow.
func (s *shares) add(c *client, pod, node string, pool *plan.Pool, slot journal.Slot) {
	k := partKey{node: node, gpu: slot.Index, profile: slot.Profile, start: slot.Start}
	p := s.parts[k]
	if p == nil {
		p = &part{key: k, pool: pool}
		s.parts[k] = p
	}
	c.on = append(c.on, stand{p, slot.Share, pod})
}

// begin lets a client work on its parts and returns the others whose speed is another now.
func (s *shares) begin(c *client) []*client {
	for _, at := range c.on {
		if !slices.Contains(at.part.clients, c) {
			at.part.clients = append(at.part.clients, c)
		}
	}
	others := c.neighbours(c.on)
	c.speed = c.slowest()
	return others
}

// end takes a client off its parts and returns the others whose speed is another now.
func (s *shares) end(c *client) []*client {
	for _, at := range c.on {
		s.off(c, at.part)
	}
	return c.neighbours(c.on)
}

// shrink takes a pod of a client off its parts and returns those whose speed is another now, the client among them.
func (s *shares) shrink(c *client, pod string) []*client {
	before := c.on
	c.on = slices.DeleteFunc(slices.Clone(c.on), func(at stand) bool { return at.pod == pod })
	for _, at := range before {
		if !slices.ContainsFunc(c.on, func(still stand) bool { return still.part == at.part }) {
			s.off(c, at.part)
		}
	}
	changed := c.neighbours(before)
	if speed := c.slowest(); speed != c.speed {
		c.speed = speed
		changed = append(changed, c)
	}
	return changed
}

// off takes a client off a part.
func (s *shares) off(c *client, p *part) {
	p.clients = slices.DeleteFunc(p.clients, func(x *client) bool { return x == c })
	if len(p.clients) == 0 {
		delete(s.parts, p.key)
	}
}

// neighbours sets the speeds of the others on parts of a client and returns those that changed.
func (c *client) neighbours(on []stand) []*client {
	var changed []*client
	for _, at := range on {
		for _, other := range at.part.clients {
			if other == c || slices.Contains(changed, other) {
				continue
			}
			if speed := other.slowest(); speed != other.speed {
				other.speed = speed
				changed = append(changed, other)
			}
		}
	}
	return changed
}

// slowest is the speed of the part that a client waits for.
func (c *client) slowest() int64 {
	speed := int64(workload.FullSpeed)
	for _, at := range c.on {
		speed = min(speed, at.part.speed(c, at.share))
	}
	return max(speed, 1)
}

// speed is a client's speed on one part: what it gets of what it asks for.
func (p *part) speed(c *client, share units.MilliGPU) int64 {
	use := sharing.Use{GPU: p.pool.GPUModel, Profile: p.key.profile, Share: share}
	k := len(p.clients)
	switch {
	case p.key.profile != "" || p.pool.Sharing == plan.SharingTimeSlicing:
		use.Kind, use.Neighbours = sharing.TimeSlicing, k-1
		return p.fair(c, factor(use)*int64(k))
	case p.pool.Sharing == plan.SharingMPS:
		use.Kind = sharing.MPS
		for _, other := range p.clients {
			if other != c {
				use.Others += other.part(p)
			}
		}
	case share < units.GPU:
		use.Kind = sharing.Fixed
	}
	return min(workload.FullSpeed, factor(use)*workload.FullSpeed/c.demand)
}

// part is what a client has of a part.
func (c *client) part(p *part) units.MilliGPU {
	var sum units.MilliGPU
	for _, at := range c.on {
		if at.part == p {
			sum += at.share
		}
	}
	return sum
}

// fair divides a capacity among the part's clients, so that nobody gets more than it asks for and nobody who lacks gets
// less than another (max-min), and returns the client's part of its demand.
func (p *part) fair(c *client, capacity int64) int64 {
	demands := make([]int64, len(p.clients))
	for i, x := range p.clients {
		demands[i] = x.demand
	}
	slices.SortFunc(demands, func(a, b int64) int { return cmp.Compare(a, b) })
	for i, d := range demands {
		each := capacity / int64(len(demands)-i)
		if each < d { // this one and all that ask for more get the same
			return min(workload.FullSpeed, each*workload.FullSpeed/c.demand)
		}
		capacity -= d
	}
	return workload.FullSpeed
}

// factor is sharing.Factor for what a fleet can hold.
func factor(u sharing.Use) int64 {
	f, err := sharing.Factor(u)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	return f
}
