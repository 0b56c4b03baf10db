package kubescheduler

import (
	"strings"
	"testing"
)

func TestLoadConfig(t *testing.T) {
	cfg, err := LoadConfig("default", []byte(DefaultConfig))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Profiles) != 1 || cfg.Profiles[0].SchedulerName != "default-scheduler" || cfg.PodMaxBackoffSeconds != 10 {
		t.Errorf("upstream's defaults were not applied: %+v", cfg)
	}
	if cfg.ClientConnection.QPS != 50 {
		t.Errorf("client QPS %v, upstream's default is 50", cfg.ClientConnection.QPS)
	}
}

// TestBadConfig checks that each mistake is reported with its line, and that several are reported at once.
func TestBadConfig(t *testing.T) {
	const head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"unknown field": {head + "profiles:\n- schedulerName: a\n  plugin:\n    score: {}\n", []string{`f.yaml:5: unknown field "profiles[0].plugin"`}},
		"two unknown fields": {head + "foo: 1\nprofiles:\n- schedulerName: a\n  bar: 2\n",
			[]string{`f.yaml:3: unknown field "foo"`, `f.yaml:6: unknown field "profiles[0].bar"`}},
		"wrong kind":      {"apiVersion: v1\nkind: Pod\n", []string{"f.yaml:1:", "Pod"}},
		"wrong type":      {head + "profiles: 7\n", []string{"f.yaml:"}},
		"bad value":       {head + "podInitialBackoffSeconds: 0\nparallelism: -1\n", []string{"f.yaml:3: podInitialBackoffSeconds", "f.yaml:4: parallelism"}},
		"extender":        {head + "extenders:\n- urlPrefix: http://127.0.0.1:1/\n  filterVerb: filter\n", []string{"f.yaml:", "virtual time"}},
		"not yaml":        {head + "profiles: [\n", []string{"f.yaml:"}},
		"empty":           {"", []string{"f.yaml:1"}},
		"bad plugin args": {head + "profiles:\n- pluginConfig:\n  - name: NodeResourcesFit\n    args:\n      scoringStrategyy: {}\n", []string{"f.yaml:", "scoringStrategyy"}},
		"unknown plugins": {head + "profiles:\n- plugins:\n    score:\n      enabled: [{name: Nope}]\n  pluginConfig:\n" +
			"  - name: NodeResourceFit\n    args: {}\n",
			[]string{`f.yaml:6: profile default-scheduler: kube-scheduler`, `no plugin "Nope"; write one of DefaultBinder`,
				`f.yaml:8: `, `no plugin "NodeResourceFit"`}},
		"bad plugin value": {head + "profiles:\n- pluginConfig:\n  - name: InterPodAffinity\n    args:\n      hardPodAffinityWeight: 200\n",
			[]string{"f.yaml:7:", "hardPodAffinityWeight"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadConfig("f.yaml", []byte(tc.text))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error\n%v\nlacks %q", err, w)
				}
			}
		})
	}
}

func TestRepeatable(t *testing.T) {
	if !Repeatable(nil) || !Repeatable(map[string]bool{"SchedulerAsyncPreemption": false}) {
		t.Error("what the tests show is not claimed")
	}
	for _, gates := range []map[string]bool{{"SchedulerAsyncPreemption": false, "OpportunisticBatching": false},
		{"SchedulerPopFromBackoffQ": false}, {"GenericWorkload": true, "SchedulerAsyncAPICalls": true}} {
		if Repeatable(gates) {
			t.Errorf("more is claimed than a test shows: %v", gates)
		}
	}
}

func TestFeatureGates(t *testing.T) {
	_, err := SetFeatureGates(map[string]bool{"NoSuchGate": true, "AlsoNot": false})
	if err == nil || !strings.Contains(err.Error(), "NoSuchGate") || !strings.Contains(err.Error(), "AlsoNot") {
		t.Errorf("want both unknown gates named, got %v", err)
	}
	for _, gate := range []string{"CompositePodGroup", "DRAWorkloadResourceClaims"} {
		_, err := SetFeatureGates(map[string]bool{"GenericWorkload": true, gate: true})
		if err == nil || !strings.Contains(err.Error(), gate) {
			t.Errorf("%s was accepted, which the lockstep does not drive: %v", gate, err)
		}
	}
	restore, err := SetFeatureGates(map[string]bool{"SchedulerPopFromBackoffQ": false})
	if err != nil {
		t.Fatal(err)
	}
	restore()
}
