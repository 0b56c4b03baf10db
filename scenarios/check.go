package scenarios

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"orrery/sim/strict"
)

// Forms of Kubernetes names (k8s.io/apimachinery v0.37.2 pkg/util/validation).
var (
	labelName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	dnsName     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	keyPart     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
	labelValues = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)
	sha256Form  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// isKey says whether s is a qualified name: an optional DNS name and a slash before a name.
func isKey(s string) bool {
	prefix, name, slash := strings.Cut(s, "/")
	if !slash {
		return keyPart.MatchString(s)
	}
	return len(prefix) <= 253 && dnsName.MatchString(prefix) && keyPart.MatchString(name)
}

// check reports everything that single fields cannot show to be wrong.
func (s *Scenario) check() {
	p := s.doc.Problemf
	if s.doc.Has("name") && !labelName.MatchString(s.Name) {
		p("name", "name: %q is not made of a-z, 0-9 and -, at most 63 of them; write it like my-cluster", s.Name)
	}
	s.checkCluster()
	s.checkTrace()
	s.checkSharing()
	s.checkFractions()
	s.checkWorkload()
	s.checkTraining()
	s.checkServices()
	s.checkAutoscaling()
	s.checkExpander()
	s.checkJobObjects()
	s.checkSubmit()
	s.checkProfiles()
	s.checkPriorities()
	s.checkPricing()
	s.checkExpect()
	s.checkTopology()
	s.checkGangs() // asks the topology for its labels, when there is nothing wrong with it
}

func (s *Scenario) checkCluster() {
	p := s.doc.Problemf
	if s.doc.Has("cluster") && len(s.Cluster.Pools) == 0 && s.Cluster.NodeList == nil {
		p("cluster", "cluster has no nodes; add pools or a nodeList")
	}
	pools := map[string]int{}
	nodes := map[string]string{}
	total := 0
	for i := range s.Cluster.Pools {
		path := fmt.Sprintf("cluster.pools[%d]", i)
		pool := &s.Cluster.Pools[i]
		s.checkPool(path, pool)
		if first, twice := pools[pool.Name]; twice && pool.Name != "" {
			p(path+".name", "%s.name: pool %q is there twice, first as pools[%d]; rename one", path, pool.Name, first)
		}
		pools[pool.Name] = i
		if total += pool.Nodes; total > nodesMax {
			p(path+".nodes", "%s.nodes: the cluster has more than %d nodes; write less", path, nodesMax)
			return
		}
		for j, name := range pool.nodeNames() {
			if other, twice := nodes[name]; twice && pool.Name != "" {
				p(path, "%s: node name %q is also in pool %q; set another nodeNamePrefix or change nodeNames", path,
					name, other)
				break
			}
			if len(name) > 253 || !dnsName.MatchString(name) {
				p(fmt.Sprintf("%s.nodeNames[%d]", path, j),
					"%s: node name %q is not made of a-z, 0-9, - and .; correct it",
					path, name)
				break
			}
			nodes[name] = pool.Name
		}
	}
}

// nodesMax bounds a cluster. Kubernetes itself is tested up to 5,000 nodes (kubernetes.io/docs/setup/best-practices).
const nodesMax = 200_000

func (s *Scenario) checkPool(path string, pool *Pool) {
	p := s.doc.Problemf
	if s.doc.Has(path+".name") && !labelName.MatchString(pool.Name) {
		p(path+".name", "%s.name: %q is not made of a-z, 0-9 and -, at most 63 of them; write it like h100-a", path,
			pool.Name)
	}
	switch {
	case pool.GPU != "" && pool.GPUsPerNode == 0 && !s.doc.Has(path+".gpusPerNode"):
		p(path, "%s.gpusPerNode is missing for GPU %q; add it", path, pool.GPU)
	case pool.GPU != "" && pool.GPUsPerNode == 0:
		p(path+".gpusPerNode", "%s.gpusPerNode: 0 with GPU %q; write at least 1, or remove gpu", path, pool.GPU)
	case pool.GPU == "" && pool.GPUsPerNode > 0:
		p(path+".gpusPerNode", "%s.gpusPerNode: %d without a GPU model; add e.g. gpu: H100", path, pool.GPUsPerNode)
	}
	if pool.GPU != "" {
		if _, err := s.catalog.Lookup(pool.GPU); err != nil {
			p(path+".gpu", "%s.gpu: %v; or add it in a file under catalog:", path, err)
		}
	}
	if n := len(pool.NodeNames); n > 0 && n != pool.Nodes {
		p(path+".nodeNames", "%s.nodeNames: %d names for %d nodes; give as many or none", path, n, pool.Nodes)
	}
	if pool.NodeNamePrefix != "" && (len(pool.NodeNamePrefix) > 200 || !dnsName.MatchString(pool.NodeNamePrefix+"0")) {
		p(path+".nodeNamePrefix", "%s.nodeNamePrefix: %q cannot begin a node name; use a-z, 0-9, - and .", path,
			pool.NodeNamePrefix)
	}
	s.checkLabels(path, pool)
	s.checkPoolSharing(path, pool)
	s.checkDRA(path, pool)
	s.checkElastic(path, pool)
	s.checkPrice(path+".price", pool)
}

func (s *Scenario) checkLabels(path string, pool *Pool) {
	p := s.doc.Problemf
	for _, key := range sortedKeys(pool.Labels) {
		at := path + ".labels[\"" + key + "\"]"
		switch {
		case !isKey(key):
			p(at, "%s.labels: %q is not a label key; write it like example.com/name", path, key)
		case key == hostnameLabel:
			p(at, "%s.labels: %s is set by the simulator; remove it", path, key)
		}
		if !labelValues.MatchString(pool.Labels[key]) {
			p(at, "%s.labels: %q cannot be a label value; use at most 63 letters, digits, - _ and .", path,
				pool.Labels[key])
		}
	}
	for _, f := range []struct{ name, value string }{
		{"zone", pool.Zone}, {"region", pool.Region}, {"instanceType", pool.InstanceType},
	} {
		if !labelValues.MatchString(f.value) {
			p(path+"."+f.name, "%s.%s: %q cannot be a label value; use at most 63 letters, digits, - _ and .", path,
				f.name, f.value)
		}
	}
	for i, t := range pool.Taints {
		at := fmt.Sprintf("%s.taints[%d]", path, i)
		if t.Key != "" && !isKey(t.Key) {
			p(at+".key", "%s.key: %q is not a taint key; write it like example.com/name", at, t.Key)
		}
		if !labelValues.MatchString(t.Value) {
			p(at+".value", "%s.value: %q cannot be a taint value; use at most 63 letters, digits, - _ and .", at,
				t.Value)
		}
	}
}

func (s *Scenario) checkPrice(path string, pool *Pool) {
	price := pool.Price
	if price == nil {
		return
	}
	p := s.doc.Problemf
	given := 0
	for _, yes := range []bool{price.USDPerGPUHour != nil, price.USDPerNodeHour != nil, price.Owned != nil} {
		if yes {
			given++
		}
	}
	owned := s.Pricing.Basis == BasisOwned
	switch {
	case given != 1:
		p(path, "%s: give exactly one of usdPerGPUHour, usdPerNodeHour and owned", path)
	case price.USDPerNodeHour != nil && pool.GPU != "":
		p(path+".usdPerNodeHour", "%s.usdPerNodeHour: nodes with GPUs are priced by the GPU; write usdPerGPUHour", path)
	case price.USDPerNodeHour == nil && pool.GPU == "":
		p(path, "%s: the pool has no GPUs; write usdPerNodeHour", path)
	case price.USDPerGPUHour != nil && owned:
		p(path+".usdPerGPUHour", "%s.usdPerGPUHour: with pricing.basis owned, write owned: {usdPerGPU, years}", path)
	case price.Owned != nil && !owned:
		p(path+".owned", "%s.owned: pricing.basis is %s; write usdPerGPUHour, or pricing.basis: owned", path,
			s.Pricing.Basis)
	}
}

func (s *Scenario) checkTrace() {
	p := s.doc.Problemf
	t := &s.Trace
	var given []string
	for _, f := range []string{"file", "generate", "builtin"} {
		if s.doc.Has("trace." + f) {
			given = append(given, f)
		}
	}
	switch {
	case len(given) > 1:
		p("trace", "trace: %s are given together; keep one (on the command line, replace the block: "+
			"--set 'trace={%s: …}')", strings.Join(given, " and "), given[0])
	case len(given) == 0 && !s.doc.Has("trace") && s.doc.Has("services"):
		t.Builtin = builtinEmpty
	case len(given) == 0 && !s.doc.Has("trace"):
		p("", "trace is missing: there are no jobs and no services; add one of them")
	case len(given) == 0:
		p("trace", "trace: no jobs are given; add one of file, generate and builtin, or --set trace.file=<path>")
	}
	if s.doc.Has("trace.file") && t.File == "" {
		p("trace.file", "trace.file: the path is empty; name a trace file (--set trace.file=<path>)")
	}
	if len(given) > 0 && !s.doc.Has("trace.file") {
		for _, f := range []string{"format", "options", "skipBad", "sha256"} {
			if s.doc.Has("trace." + f) {
				p("trace."+f, "trace.%s: only a trace file has one; remove it, or write file", f)
			}
		}
	}
	if t.Format != "" {
		if hint, ok := knownFormat(t.Format); !ok {
			p("trace.format", "trace.format: %q is not a format; %s", t.Format, hint)
		}
	}
	if t.SHA256 != "" && !sha256Form.MatchString(t.SHA256) {
		p("trace.sha256", "trace.sha256: want 64 hexadecimal digits in lower case; write the file's own or remove it")
	}
	s.checkGenerated()
}

func (s *Scenario) checkPricing() {
	p := s.doc.Problemf
	if name := s.Pricing.Provider; name != "" {
		if list := s.catalog.Providers(); !contains(list, name) {
			p("pricing.provider", "pricing.provider: no price of %q is in the catalogue; %s", name,
				strict.Suggest(name, list))
		}
	}
	if s.Pricing.Basis == BasisOwned && s.Pricing.Provider != "" {
		p("pricing.provider", "pricing.provider: owned hardware has no provider; remove it")
	}
}

func (s *Scenario) checkExpect() {
	p := s.doc.Problemf
	for _, path := range sortedKeys(s.Expect) {
		b := s.Expect[path]
		at := "expect[\"" + path + "\"]"
		if !strings.ContainsAny(path, ".[]\"") {
			at = "expect." + path
		}
		if err := s.numberPath(path); err != nil {
			p(at, "expect: %v", err)
		}
		switch {
		case b.Min == nil && b.Max == nil:
			p(at, "expect: %s has no bound; add min, max or both", path)
		case b.Min != nil && b.Max != nil && *b.Min > *b.Max:
			p(at, "expect: %s: min %v is above max %v; exchange them", path, *b.Min, *b.Max)
		}
	}
	if t := s.Workload.TerminationGraceSeconds; t != math.Trunc(t*1e6)/1e6 {
		p("workload.terminationGraceSeconds", "workload.terminationGraceSeconds: %v is finer than a microsecond", t)
	}
}
