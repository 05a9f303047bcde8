# Two commands on a fresh Debian or Ubuntu: `make demo` shows it, `make test` proves it. Both install
# what they lack first (scripts/setup.sh) and are quick the second time.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test lint build bench bench-counts bench-peers soak clean-cache

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The development build, and with the features that the tests add to some crates (that is what naming one
# of them does): so the demo and the tests share all that takes minutes to compile.
demo: ## see it work: embedded Kafka and Cosmos DB, the simulator, the service, the verification
	@scripts/setup.sh demo
	cargo build --locked --bin streamproc --test tidy
	$(or $(CARGO_TARGET_DIR),target)/debug/streamproc demo $(ARGS)

test: ## every check and every test, with real Kafka brokers
	@scripts/setup.sh test
	@scripts/check.sh test

lint: ## the checks alone: form, clippy, licences, shell scripts
	@scripts/setup.sh lint
	@scripts/check.sh lint

build: ## the release binary, target/release/streamproc
	@scripts/setup.sh demo
	cargo build --locked --release

bench: ## what an event costs: real Kafka, the service, an endpoint that answers at once
	@scripts/setup.sh test
	cargo bench --locked --bench pipeline -- $(ARGS)

bench-counts: ## the instructions an event takes in each step, beside the committed ones
	@scripts/setup.sh test
	cargo run --locked --release --quiet --package streamproc-instructions -- $(ARGS)

bench-peers: ## the same backlog through the job that this replaces, in Spark, and through this
	@scripts/setup.sh peers
	cargo bench --locked --bench peers -- $(ARGS)

soak: ## one scenario of tests/chaos for long: SCENARIO=everything MINUTES=30
	@scripts/setup.sh test
	@scripts/soak.sh $(or $(SCENARIO),everything) $(or $(MINUTES),30)

clean-cache: ## remove what the set-up fetched (.cache)
	rm -rf .cache
