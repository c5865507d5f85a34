# The habits of this repository, each a line or two. `make help` lists them.

PORT ?= 6379
SECONDS ?= 600

.PHONY: help run cluster test fuzz lint bench jepsen mutants

help: ## Lists these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1  \t/p' $(MAKEFILE_LIST)

run: ## Builds the release and serves, memory only, on port 6379 (PORT=... for another)
	cargo run --release --locked -p hallpass-server --bin hallpass-server -- --port $(PORT)

cluster: ## Starts three nodes on this machine and says what to try; Ctrl-C stops them
	examples/cluster

test: ## Installs what the tests need and runs all of them: Rust, protocol, real clients
	tests/run

fuzz: ## Fuzzes the parser, the readers of snapshots and RDB values, and the commands, ten minutes each (SECONDS=... for other)
	fuzz/run all $(SECONDS)

lint: ## Formatting, clippy, documentation, and dependencies, with warnings as errors
	tests/lint

bench: ## Measures the engine, the server beside Redis, Valkey and the floor, and a cluster, in short
	cargo build --release --locked -p hallpass-server --bin hallpass-server
	cargo run --release --locked -p hallpass-benches --bin targets -- --short
	cargo run --release --locked -p hallpass-benches --bin compare -- --short
	cargo run --release --locked -p hallpass-benches --bin replicated -- --short

jepsen: ## Hurts real clusters for some minutes and judges what clients saw (as root: it makes network namespaces)
	cargo build --release --locked -p hallpass-server --bin hallpass-server
	cargo run --release --locked -p hallpass-jepsen -- run --seconds 10

mutants: ## Plants a known bug after the other in the cluster, and fails unless each is found (as root)
	cargo build --locked -p hallpass-server --bin hallpass-server --features mutants
	cargo run --locked -p hallpass-jepsen -- mutants --server target/debug/hallpass-server
