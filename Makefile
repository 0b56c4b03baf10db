# Orrery: developers' entry points. `make help` lists them.
GO      ?= go
BIN     := bin/orrery
OUT     ?= out/demo
SEED    ?= 1
LINTER  := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

PLAIN   = $$($(GO) list ./... | grep -v -e /sim/kube -e /sim/kwok -e /sim/policy -e '^orrery/sim$$' -e /cmd/)

.PHONY: help build demo test race portable lint fmt exact fuzz bench fgd golden update-golden verify clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/orrery
	$(GO) build -trimpath -o $(BIN) ./cmd/orrery

demo: build ## build, run the embedded demo scenario and name its report
	@rm -rf $(OUT)
	$(BIN) run demo --seed $(SEED) --out $(OUT)

test: ## all tests (the browser test needs Chromium and is skipped without it)
	$(GO) test -timeout 30m ./...

race: ## tests of the packages without Kubernetes under the race detector
	$(GO) test -race $(PLAIN)

# Compilers may round a product and a sum once, on arm64 but not on amd64, and results would differ: write
# float64(a*b) + c. The uniform numbers of draw.go and step.go are exact products and may be fused. traces/gen is left
# out: it draws by the platform's own logarithms.
portable: ## that nothing is fused in the packages without Kubernetes
	@f=$$(mktemp) && trap "rm -f $$f" EXIT && \
		{ GOARCH=arm64 $(GO) build -gcflags='orrery/...=-S' $(PLAIN) >$$f 2>&1 || { tail -n 20 $$f; exit 1; }; } && \
		! grep -E 'FN?M(ADD|SUB)[DS]' $$f | grep -v -E '(serving|requests/gen)/(draw|step)\.go|traces/gen/|reports/reportstest/'

lint: ## formatting, vet and golangci-lint
	@test -z "$$(gofmt -l cmd sim scenarios traces reports)" || { gofmt -l cmd sim scenarios traces reports; exit 1; }
	$(GO) vet ./...
	$(GO) run $(LINTER) run ./...

fmt: ## format the code
	gofmt -w cmd sim scenarios traces reports

exact: ## the incremental scheduling cycle against upstream's own at length: 3,000 random worlds, public traces
	ORRERY_EXACT_SEEDS=3000 $(GO) test ./sim/policy/kubescheduler -run TestExact -timeout 60m -v
	ORRERY_EXACT_TRACES=1 $(GO) test ./sim -run TestExact -timeout 60m -v

FUZZTIME ?= 30s
fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' cmd sim scenarios traces reports | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -h -o '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
			echo "$$pkg $$f"; $(GO) test ./$$pkg -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME); done; done

bench: ## the figures of the README, as ratios within one run
	$(GO) test ./sim/bench -run '^$$' -bench . -benchtime 1x -timeout 180m

SEEDS ?= 3
fgd: ## the published fragmentation experiment, SEEDS runs of each policy and workload, into sim/policy/plugins/openb.md
	ORRERY_FGD=$(SEEDS) $(GO) test ./sim/bench -run TestFGDGrid -timeout 180m -v

golden: ## check that golden files are what the code writes
	$(GO) test ./... -run 'Script|Golden'

update-golden: ## rewrite golden files; read the diff line by line before committing
	$(GO) test ./sim/... ./scenarios/... ./traces/... ./reports/... -run 'Script|Golden' -rewrite -update

verify: lint portable test ## what CI runs
	@test -z "$$(git status --porcelain)" || { git status --short; echo 'the tree is dirty'; exit 1; }

clean: ## remove what was built
	rm -rf bin out
