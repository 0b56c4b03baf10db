package sim

import (
	"cmp"
	"math"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/model/contention"
	"orrery/sim/model/storage"
	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/topology"
	"orrery/sim/units"
	"orrery/sim/workload"
)

// pace says how fast work goes where it landed: the training model for a job alone, and what others on the same links
// leave of it. It is physics; no policy sees any of it.
type pace struct {
	c     *cluster
	graph *topology.Graph
	model *training.Network

	network contention.Network
	writes  contention.LinkID         // of checkpoints to the storage
	stored  bool                      // the storage's rate is limited
	links   map[int]contention.LinkID // by link of the graph
	shares  shares
	teams   map[*workload.Team]*paced
	flows   map[*contention.Flow]*paced
}

// paced is a team at work whose speed is known to physics.
type paced struct {
	team   *workload.Team   // nil of a replica of a service
	served *replica         // nil of a team
	flow   *contention.Flow // nil without training
	client *client          // nil on whole GPUs
	rec    journal.JobSpeed
}

// newPace returns nil when nothing in the plan says that speeds can differ.
func newPace(c *cluster) (*pace, error) {
	known := false
	for i := range c.plan.Pools {
		known = known || c.plan.Pools[i].Accelerator != nil || shared(&c.plan.Pools[i])
	}
	if !known {
		return nil, nil
	}
	graph, err := topology.New(c.plan)
	if err != nil {
		return nil, err
	}
	p := &pace{c: c, graph: graph, links: map[int]contention.LinkID{}, teams: map[*workload.Team]*paced{},
		flows: map[*contention.Flow]*paced{}, shares: shares{map[partKey]*part{}}}
	p.model = training.NewNetwork(graph, c.plan.Storage)
	if st := c.plan.Storage; st != nil && st.WriteGBs > 0 {
		p.writes = p.network.AddLink(st.WriteGBs)
		p.stored = true
	}
	return p, nil
}

// Begin implements workload.Physics.
func (p *pace) Begin(team *workload.Team) (prepare units.Duration, speed int64) {
	m := &paced{team: team, rec: journal.JobSpeed{Job: team.Pods[0].Job.Name, Hardware: workload.FullSpeed,
		Placement: workload.FullSpeed}}
	if len(team.Pods) == 1 && len(team.Pods[0].Job.Pods) > 1 {
		m.rec.Pod = team.Pods[0].Key()
	}
	flows := p.communicate(m)
	clients := p.share(m)
	if m.flow == nil && m.client == nil {
		return 0, workload.FullSpeed
	}
	p.teams[team] = m
	p.tell(m)
	p.retell(flows, clients)
	return p.restore(team), m.rec.Speed
}

// restore is the time in which a team reads its saved state before its work goes on. The storage's rate is taken to be
// its own: how many restart at one time is not looked at.
func (p *pace) restore(team *workload.Team) units.Duration {
	t := team.Pods[0].Job.Training
	if t == nil || t.Save == nil || team.Saved == 0 {
		return 0
	}
	return storage.Restore(t.Save.Bytes, len(p.nodes(team)), p.c.plan.Storage, 1)
}

// communicate asks the training model for the speed of a team that trains, puts it on the links it shares, and returns
// the flows that it slows.
func (p *pace) communicate(m *paced) (changed []*contention.Flow) {
	t := m.team.Pods[0].Job.Training
	if t == nil {
		return nil
	}
	place, nodes := p.placement(m.team)
	if len(place) == 0 {
		return nil
	}
	r := p.model.Estimate(t, place)
	m.rec.Hardware, m.rec.Placement = millionths(r.Hardware), millionths(r.Placement)
	p.where(&m.rec, nodes)
	m.flow, changed = p.network.Add(p.uses(t, place, len(nodes), r))
	p.flows[m.flow] = m
	return changed
}

// share puts a team on the parts of GPUs that it has, and returns the clients that it slows.
func (p *pace) share(m *paced) (changed []*client) {
	c := &client{team: m}
	for _, pod := range m.team.Pods {
		node, slots, ok := p.c.fleet.Holding(pod.Key())
		pool := p.c.pools[node]
		if !ok || pool == nil || !shared(pool) {
			continue
		}
		for _, s := range slots {
			if divided(pool, s) {
				p.shares.add(c, pod.Key(), node, pool, s)
			}
		}
		c.demand = max(c.demand, int64(cmp.Or(pod.Spec.Demand, units.GPU))*(workload.FullSpeed/int64(units.GPU)))
	}
	if len(c.on) == 0 {
		return nil
	}
	m.client = c
	return p.shares.begin(c)
}

// Shrink implements workload.Physics. The team's flow stays as it is: those who are left still wait for each other, and
// they end with the work that all of them began.
func (p *pace) Shrink(team *workload.Team, pod *workload.Pod) {
	if m := p.teams[team]; m != nil && m.client != nil {
		p.retell(nil, p.shares.shrink(m.client, pod.Key()))
	}
}

// End implements workload.Physics.
func (p *pace) End(team *workload.Team) {
	m := p.teams[team]
	if m == nil {
		return
	}
	delete(p.teams, team)
	var flows []*contention.Flow
	var clients []*client
	if m.flow != nil {
		delete(p.flows, m.flow)
		flows = p.network.Remove(m.flow)
	}
	if m.client != nil {
		clients = p.shares.end(m.client)
	}
	p.retell(flows, clients)
}

// retell gives teams whose part of a link or a GPU has changed their new speed.
func (p *pace) retell(flows []*contention.Flow, clients []*client) {
	var teams []*paced
	for _, f := range flows {
		teams = append(teams, p.flows[f])
	}
	for _, c := range clients {
		if !slices.Contains(teams, c.team) {
			teams = append(teams, c.team)
		}
	}
	for _, m := range teams {
		if m.served != nil {
			p.c.reshared(m)
			continue
		}
		p.tell(m)
		p.c.jobs.SetSpeed(m.team, m.rec.Speed)
	}
}

// tell computes and records a team's speed.
func (p *pace) tell(m *paced) {
	m.rec.Sharing = workload.FullSpeed
	if m.flow != nil {
		m.rec.Sharing = m.flow.Speed()
	}
	if m.client != nil {
		m.rec.Sharing = max(1, m.rec.Sharing*m.client.speed/workload.FullSpeed)
	}
	speed := m.rec.Hardware * m.rec.Placement / workload.FullSpeed * m.rec.Sharing / workload.FullSpeed
	m.rec.Speed = max(1, speed)
	p.c.record(m.rec)
}

// millionths rounds a factor to the nearest millionth, at least one. A factor that is no number is a broken model.
func millionths(f float64) int64 {
	if math.IsNaN(f) || f <= 0 || f > 1e6 {
		panic("sim: a model says that work goes at no possible speed")
	}
	return max(1, int64(math.Round(f*workload.FullSpeed)))
}

// placement returns where the team's GPUs are, in the order of its pods, and its distinct nodes. It is nothing when one
// of the nodes has come since the beginning: where it stands is not known.
func (p *pace) placement(team *workload.Team) (place []training.Node, nodes []int) {
	for _, pod := range team.Pods {
		name, slots, ok := p.c.fleet.Holding(pod.Key())
		id, known := p.graph.Node(name)
		if ok && !known {
			p.c.upstream.add("unplaced-node", "teams that train on nodes which were not there at the beginning go at full "+
				"speed: where such a node stands is not known; the first: "+pod.Job.Name)
			return nil, nil
		}
		if !ok || p.c.pools[name] == nil || p.c.pools[name].Accelerator == nil {
			continue
		}
		gpus := make([]int, len(slots))
		for i, s := range slots {
			gpus[i] = s.Index
		}
		place = append(place, p.model.Node(id, p.c.pools[name].Accelerator, gpus))
	}
	return place, p.nodes(team)
}

// nodes returns the distinct nodes of a team in the order of its pods.
func (p *pace) nodes(team *workload.Team) []int {
	var out []int
	seen := map[int]bool{}
	for _, pod := range team.Pods {
		name, _, _ := p.c.fleet.Holding(pod.Key())
		if id, known := p.graph.Node(name); known && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// where says in the record which domains the team touches.
func (p *pace) where(rec *journal.JobSpeed, nodes []int) {
	if p.c.plan.Topology == nil {
		return
	}
	span := p.graph.Span(nodes)
	rec.Spans = span.Domains
	if span.Finest >= 0 {
		rec.Layer = p.graph.Layers()[span.Finest].Name
	}
}

// uses is what a team asks of shared links at full speed: bytes of a step over the step's time, and bytes of a
// checkpoint over the time between two.
func (p *pace) uses(t *plan.Training, place []training.Node, nodes int, r training.Result) []contention.Use {
	seconds := r.Actual.Total()
	if seconds <= 0 {
		return nil
	}
	var out []contention.Use
	for _, u := range r.Uplinks {
		up := p.graph.Domains()[u.Domain].Up
		if up < 0 {
			continue // a scale-up domain: what leaves it passes the nodes' NICs
		}
		weight := 0
		for i := range place {
			if place[i].Domains[u.Layer] == u.Domain {
				weight += len(place[i].GPUs)
			}
		}
		out = p.use(out, up, u.Up/1e9/seconds, weight)
		out = p.use(out, topology.Opposite(up), u.Down/1e9/seconds, weight)
	}
	if s := t.Save; p.stored && s != nil && s.Every > 0 && s.Bytes > 0 {
		pace := r.Hardware * r.Placement // of the work, by which checkpoints are timed
		out = append(out, contention.Use{Link: p.writes, Demand: s.Bytes / 1e9 * pace / s.Every.Seconds(),
			Weight: float64(nodes)})
	}
	return out
}

// use adds what is asked of one of the graph's links, when it can be too much.
func (p *pace) use(out []contention.Use, link int, gbs float64, weight int) []contention.Use {
	if id, limited := p.link(link); limited && gbs > 0 {
		out = append(out, contention.Use{Link: id, Demand: gbs, Weight: float64(weight)})
	}
	return out
}

// link returns the shared link that stands for one of the graph's; limited is false when it carries anything.
func (p *pace) link(id int) (link contention.LinkID, limited bool) {
	gbs := p.graph.Links()[id].GBs
	if gbs <= 0 {
		return 0, false
	}
	link, ok := p.links[id]
	if !ok {
		link = p.network.AddLink(gbs)
		p.links[id] = link
	}
	return link, true
}
