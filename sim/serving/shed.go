package serving

// sheds says whether a request is one of those that the router turns away while its replicas are saturated, as the
// Gateway API inference extension does with requests of negative priority (kubernetes-sigs/
// gateway-api-inference-extension, pkg/epp/requestcontrol/admission.go at 014fd18, rejectIfSheddableAndSaturated).
func (s *service) sheds(r *request) bool {
	shed := s.plan.Router.Shed
	if shed == nil {
		return false
	}
	for _, t := range shed.Tenants {
		if t == r.tenant {
			return s.entry.saturated()
		}
	}
	return len(shed.Tenants) == 0 && s.entry.saturated()
}

// saturated says whether replicas have as much to do on average as they should have (utilizationdetector/detector.go at
// 275ac76, Saturation): each the greater of waiting ÷ bound and used part of its KV cache ÷ bound. No replica is
// saturated, too.
func (o *pool) saturated() bool {
	if len(o.ready) == 0 {
		return true
	}
	shed := o.svc.plan.Router.Shed
	sum := 0.0
	for _, r := range o.ready {
		r.glance()
		sum += max(float64(r.seen.waiting)/float64(shed.QueueDepth), r.seen.kv/shed.KV)
	}
	return sum >= float64(len(o.ready))
}

// glance scrapes the replica if its figures are older than the router's interval.
func (r *replica) glance() {
	now := r.p.now
	if r.seen.valid && now.Sub(r.seen.at) < r.svc.plan.Router.MetricsAge {
		return
	}
	r.seen = figures{at: now, valid: true}
	if r.has.n == 0 {
		return
	}
	r.advance()
	load := r.engine.Load()
	r.seen.waiting = load.Waiting
	if load.KVTokens > 0 {
		r.seen.kv = float64(load.KVUsed) / float64(load.KVTokens)
	}
}
