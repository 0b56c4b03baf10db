// Package metrics is the path of metrics from pods to controllers: a Prometheus server that scrapes targets, keeps
// what queries can ask for, and evaluates PromQL; and behind it the three metrics APIs of Kubernetes as upstream's
// horizontal pod autoscaler uses them.
//
// # What is upstream's, what is ours
//
// PromQL is github.com/prometheus/prometheus/promql as it is, over a storage of our own. The metrics APIs are the
// client interfaces of k8s.io/metrics, which kube-controller-manager's HPA takes; behind them is what metrics-server
// and prometheus-adapter do, from their documentation and source:
//   - resource metrics (metrics.k8s.io): usage of pods at the resolution at which metrics-server scrapes kubelets;
//   - custom metrics (custom.metrics.k8s.io): prometheus-adapter with its default rules
//     (cmd/config-gen/utils/default.go of kubernetes-sigs/prometheus-adapter at 080ddaa): a series is summed by
//     object, a counter whose name ends in _total is served without that end as its rate over 5 minutes; and rules of
//     the plan, each a PromQL expression;
//   - external metrics (external.metrics.k8s.io): named PromQL expressions of the plan, and what others serve (KEDA).
//
// A colon of a metric's name may be written as an underscore, as in names made for adapters that refuse colons.
//
// # What is stored
//
// Of every series the latest sample; more only as far back as some known query looks (ranges, offsets, subqueries).
// Buckets of histograms are stored only when a known query can match them; without one they are dropped at the scrape.
// A query that becomes known later finds history from then on.
//
// Staleness is Prometheus's: a sample counts for 5 minutes; a series that a scrape no longer shows ends with that
// scrape; the series of a target that has gone end at the scrape that it missed, which the server notices 1.1
// intervals later (scrape/scrape.go, endOfRunStaleness, of prometheus v0.311.3).
//
// # Simplifications
//
// All targets are scraped at the same instant (Prometheus spreads them over the interval), a scrape takes no time, and
// service discovery is immediate; so is the adapter's of new names, which it lists every minute or ten (its flag
// metrics-relist-interval). Native histograms are not scraped. One external metrics API serves both the plan's
// expressions and KEDA's, which in a cluster would be two servers fighting for one APIService.
package metrics
