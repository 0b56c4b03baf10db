package reports

import (
	"maps"
	"slices"
	"strconv"

	"orrery/sim/result"
)

func definitionsPanel() Panel {
	return Panel{"definitions", "Sources, definitions, versions", "Where does each figure come from?", buildDefinitions}
}

func buildDefinitions(d *result.Data) Content {
	c := Content{Headline: "Every figure is a fold over the run's journal; prices and power have named sources."}
	if len(d.Pools) > 0 {
		c.Tables = append(c.Tables, sourcesTable(d.Pools))
	}
	c.Tables = append(c.Tables, glossary(), provenance(&d.Summary))
	return c
}

func sourcesTable(pools []result.Pool) Table {
	t := Table{ID: "sources", Title: "Sources of prices and power", Columns: []Column{{"pool", "Pool", "", Text},
		{"quantity", "Quantity", "", Text}, {"value", "Value", "", Number}, {"unit", "Unit", "", Text},
		{"source", "Source", "", Text}}}
	for _, p := range pools {
		if p.GPUs <= 0 {
			continue
		}
		add := func(quantity string, value float64, unit, source string) {
			if source == "" {
				source = "none given"
			}
			t.Rows = append(t.Rows, []Cell{T(p.Name), T(quantity), numIf(value > 0, value), T(unit), T(source)})
		}
		add("price", p.USDPerGPUHour, "USD per GPU-hour", p.PriceSource)
		add("power, idle", p.IdleWatts, "W per GPU", p.IdleWattsSrc)
		add("power, in use", p.BusyWatts, "W per GPU", p.BusyWattsSrc)
	}
	return t
}

func glossary() Table {
	t := Table{ID: "glossary", Title: "Definitions", Columns: []Column{{"figure", "Figure", "", Text},
		{"definition", "Definition", "", Text}}}
	for _, x := range [][2]string{
		{"job, pod, node", "A job is what a user submits; its pods are the parts that each run on one node, a server."},
		{"gang", "A job whose pods are placed all together or not at all, as they need each other."},
		{"domain, layer", "A domain is a part of the network, such as all nodes below one leaf switch or in one NVLink " +
			"network; domains of a kind are a layer."},
		{"MIG instance", "A part of an NVIDIA GPU with compute and memory of its own: 1g.10gb has one of seven compute " +
			"slices, and 10 GB."},
		{"GPU time", "GPU-hours. At every instant capacity = used + idle + down, and idle = fits nowhere + not yet " +
			"judged + no demand, in whole and shared GPUs alike."},
		{"used", "Owned by a pod, from binding to release, whether or not the pod computes."},
		{"idle: fits nowhere", "Free GPUs asked for by pods whose latest scheduling attempt found no node, until " +
			"the next attempt: their back-off counts here."},
		{"idle: not yet judged", "Free GPUs asked for by pods without a verdict so far, or whose latest attempt was an " +
			"error."},
		{"idle: no demand", "Free GPUs beyond what all waiting pods ask for."},
		{"down", "GPUs of nodes that exist but are out of service."},
		{"used share", "Used ÷ (capacity − down)."},
		{"queue wait", "From a job's submission until each of its pods has been bound once, even if another was " +
			"preempted meanwhile. Jobs never placed have none."},
		{"start-up", "From the end of the queue wait until each pod of the job has run. It holds the second wait of a pod " +
			"preempted before it ran."},
		{"job completion", "From submission to the end, of jobs that succeeded."},
		{"slowdown", "Job completion ÷ run time, of jobs that succeeded; at least 1."},
		{"percentiles", "Values of the full sample by nearest rank, not estimates."},
		{"TTFT", "Time to first token: from the client's sending of a request until its first token is back, stages of the " +
			"pipeline, network and queue included."},
		{"TPOT", "Time per output token after the first, of requests of two tokens and more: (last token − first) ÷ " +
			"(tokens − 1)."},
		{"end to end", "From the client's sending to the last token. Latencies are of requests that completed; their " +
			"percentiles are within 0.8 %."},
		{"objective (SLO)", "Bounds on TTFT, TPOT or end to end, and the part of the requests that should be within all of " +
			"them. A request within them is good."},
		{"attained", "Good ÷ requests that completed, were rejected or timed out; those that a stage answered or refused " +
			"do not count."},
		{"error budget", "The part of the requests that may miss: 1 − wanted. Used: what missed ÷ what may miss."},
		{"goodput", "Good requests per second of simulated time."},
		{"replica", "One server of a model, of one pod or several: starting, ready (it takes requests), draining (it ends " +
			"what it has) or gone."},
		{"paid, used, idle of replicas", "Paid: GPU time from a replica's binding to the release of its GPUs. Busy: the " +
			"part in which it computed. Ready and idle: the rest of the time in which it took requests or ended those it had."},
		{"cost of tokens", "What a service paid ÷ tokens of completed requests, idle and starting replicas included. Input " +
			"pays for the busy time that arithmetic limited, output for the rest."},
		{"cold start", "From the creation of a pod until it takes requests: the wait for a node, then the stages on it."},
		{"lost work", "GPU time whose progress a restart threw away; part of the used time."},
		{"cost", "Capacity × price over the simulated span = used + idle + down + nodes without GPUs."},
		{"energy", "Power of GPUs idle and in use, over time, times the PUE. The rest of the nodes (CPUs, " +
			"fans, network) counts as 0 unless the price book gives its power."},
	} {
		t.Rows = append(t.Rows, []Cell{T(x[0]), T(x[1])})
	}
	return t
}

func provenance(s *result.Summary) Table {
	t := Table{ID: "provenance", Title: "This run", Columns: []Column{{"item", "Item", "", Text},
		{"value", "Value", "", Text}}}
	add := func(item, value string) {
		if value != "" {
			t.Rows = append(t.Rows, []Cell{T(item), T(value)})
		}
	}
	add("scenario", s.Scenario)
	add("description", s.Description)
	add("trace", s.Trace)
	add("seed", strconv.FormatUint(s.Seed, 10))
	add("time zero", s.Epoch)
	add("simulated time", FormatDuration(s.SimulatedSeconds))
	add("ended because", endReason(s.EndReason))
	add("repeatable", map[bool]string{true: "yes, byte for byte", false: "no"}[s.Repeatable])
	add("journal records", strconv.FormatInt(s.Journal.Records, 10))
	add("journal SHA-256", s.Journal.SHA256)
	for _, name := range slices.Sorted(maps.Keys(s.Versions)) {
		add("version of "+name, s.Versions[name])
	}
	return t
}

// endReason says in words why the run ended.
func endReason(s string) string {
	switch s {
	case "drained":
		return "the trace was exhausted and nothing left could change"
	case "horizon":
		return "the scenario's time limit was reached"
	}
	return s
}
