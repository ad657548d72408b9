# The recipes that people and CI share. `make help` lists them.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: help
help: ## list the recipes
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: run
run: ## build and serve on :9091, data in ./data
	$(CARGO) run --release --

.PHONY: cluster
cluster: ## build and serve three replicas on :9091, :9092 and :9093, data in ./data/cluster
	$(CARGO) build --release
	scripts/cluster

.PHONY: drill
drill: ## kill the leader of three replicas on this machine ten times; the page is target/drill.html
	$(CARGO) build --release
	target/release/quorumgate drill --local 3 --rounds 10 --html target/drill.html $(DRILL_ARGS)

.PHONY: test-deps
test-deps: ## install what the tests compare with: the original Pushgateway, Prometheus, its Python client, etcd
	scripts/install-test-deps

.PHONY: test
test: ## run all tests (after `make test-deps`)
	$(CARGO) test

.PHONY: jepsen-short
jepsen-short: ## break it for four minutes: the most productive faults (as root, after `make test-deps`)
	$(CARGO) test --quiet --release --test jepsen-like -- short

.PHONY: jepsen
jepsen: ## break it with every fault on its own, then by crashes at places in the code: 40 minutes
	$(CARGO) test --quiet --release --test jepsen-like -- each
	$(CARGO) test --quiet --release --features trials --test jepsen-like -- \
		run --nemesis crash-places --workload mix --seconds 120
	$(CARGO) test --quiet --release --features trials --test jepsen-like -- first-starts

.PHONY: jepsen-ledger
jepsen-ledger: ## break it on purpose: twelve deliberate bugs, each of which must be noticed (as root)
	$(CARGO) test --quiet --release --features trials --lib --test it trials
	$(CARGO) test --quiet --release --features trials --test jepsen-like -- ledger

.PHONY: simulate
simulate: ## break the Raft layer in simulated time, with SIM_SEEDS fresh schedules
	SIM_SEEDS=$(or $(SIM_SEEDS),2000) $(CARGO) test --quiet --release --lib sim:: -- --nocapture

.PHONY: soak
soak: ## break it for HOURS with overlapping faults
	$(CARGO) test --quiet --release --features trials --test jepsen-like -- soak --hours $(or $(HOURS),1)

.PHONY: bench
bench: ## measure alone and beside the original (after `make test-deps`; BENCH_ARGS=--quick to try it)
	$(CARGO) bench --bench isolated --bench log --bench versus -- $(BENCH_ARGS)

.PHONY: bench-cluster
bench-cluster: ## measure three replicas beside etcd (after `make test-deps`; BENCH_ARGS=--quick to try it)
	$(CARGO) bench --bench cluster -- $(BENCH_ARGS)

.PHONY: verify
verify: ## everything that a change must pass; writes nothing
	$(CARGO) fmt --check
	$(CARGO) clippy --quiet --all-targets -- -D warnings
	$(CARGO) clippy --quiet --all-targets --features trials -- -D warnings
	$(MAKE) --no-print-directory test
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --no-deps --document-private-items

.PHONY: deny
deny: ## check licences, sources and known holes of what is depended on (after `cargo install --locked cargo-deny`)
	$(CARGO) deny check

.PHONY: fix
fix: ## the same rules as verify, applied to the tree
	$(CARGO) clippy --quiet --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt
