# What to build and check jamesd with. `make help` lists the targets.
# On a fresh machine Go, git and make are enough.

SHELL   := /bin/bash
.SHELLFLAGS := -euo pipefail -c
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/trusch/jamesd/internal/version.commit=$(COMMIT)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
PREFIX  ?= /usr/local
DESTDIR ?=

# GOARCH, a comma, and for arm and mips the variant.
DIST := amd64 arm64 arm,7 arm,6 arm,5 386 riscv64 mips,softfloat mipsle,softfloat

# For powercut, and for crash; powercut takes another seed each time for 0.
CUTS    ?= 50
SEED    ?= 0

# For kill: how often, on each store, and for how many seconds the database is away.
KILLS   ?= 200
AWAY    ?= 60

.PHONY: help build demo test race crash kill lint e2e powercut bench bench-delta bench-fleet bench-all fuzz cover dist install clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

build: ## the programs, static, into bin/
	@mkdir -p bin
	$(GOBUILD) -o bin/ ./cmd/...

demo: build ## the main job in a scratch directory (KEEP=1 leaves it running)
	@scripts/demo.sh

test: ## all tests with the race detector, on every store
	go test -race -timeout 30m ./...

race: test ## the same as test

crash: ## kill, fail and cut off the agent at every operation of many plans (docs/crash.md; CRASH=plan/operation)
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; go test -c -o "$$dir/crash.test" ./internal/device/txn; \
	 JAMES_CRASH='$(or $(CRASH),all)' JAMES_CRASH_SEED='$(SEED)' "$$dir/crash.test" -test.run '^TestCrash$$' -test.timeout 4h

kill: ## kill jamesd KILLS times under uploads, desired states and reports, on each store, also one of three that share one, and the database for AWAY seconds; SEED=n chooses the moments (docs/crash.md)
	JAMES_TEST_KILLS='$(KILLS)' JAMES_TEST_KILL_SEED='$(SEED)' JAMES_TEST_AWAY='$(AWAY)' go test -count 1 -timeout 4h -run '^(TestKill|TestDatabaseAway)' -v ./internal/server

e2e: ## the end-to-end scripts on the real programs only
	go test -race ./internal/e2e

lint: ## gofmt, go vet, staticcheck, the directions of imports
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	 if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	go vet ./...
	GOARCH=arm go vet ./... # the boards have 32 bits
	go vet -C internal/e2e/mongod ./...
	go tool staticcheck ./...
	go test -run TestDirection ./internal/e2e

powercut: ## a virtual machine loses its power CUTS times in the middle of upgrades (docs/crash.md); SEED=n chooses the moments
	go build -o build/powercut/ ./internal/e2e/powercut
	build/powercut/powercut -cuts $(CUTS) -seed $(SEED)

bench: ## the budgets, each as a ratio within one run (docs/benchmarks.md)
	go test -run '^$$' -bench Budgets -benchtime 1x ./internal/e2e/budget

bench-delta: ## upgrades of real packages on the wire, against other tools (docs/benchmarks.md)
	go test -run '^$$' -bench Delta -benchtime 1x -timeout 3h ./internal/e2e/deltabench

bench-fleet: ## one jamesd and a large simulated fleet, as ratios (docs/sizing.md)
	go test -run '^$$' -bench Fleet -benchtime 1x -timeout 1h ./internal/e2e/budget

bench-all: bench ## the budgets, then every benchmark of the parts
	go test -run '^$$' -bench . -benchtime 2s $$(go list ./... | grep -Ev '/internal/e2e/(budget|deltabench)')

fuzz: ## every fuzz target for FUZZTIME (default 30s)
	@go list ./... | while read -r p; do \
	  for f in $$(go test -list '^Fuzz' "$$p" | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-30s} "$$p"; \
	  done; done

cover: ## coverage of the tests, as a page in cover.html
	go test -coverpkg ./... -coverprofile cover.out ./...
	go tool cover -html cover.out -o cover.html
	@go tool cover -func cover.out | tail -n 1

dist: ## all programs for all boards, into dist/
	@rm -rf dist; mkdir -p dist
	@for target in $(DIST); do \
	  arch=$${target%%,*}; variant=$${target#*,}; name=$$arch; \
	  [ "$$variant" = "$$target" ] && variant=""; \
	  case $$arch in arm) name=armv$$variant;; esac; \
	  out=dist/linux-$$name; mkdir -p $$out; \
	  GOOS=linux GOARCH=$$arch GOARM=$$([ $$arch = arm ] && echo $$variant || true) GOMIPS=softfloat \
	    $(GOBUILD) -o $$out/ ./cmd/...; \
	  (cd $$out && sha256sum *) > $$out.sha256; \
	  echo "$$out: $$(cd $$out && stat -c '%n %s' * | tr '\n' ' ')"; \
	done

install: build ## the programs and the systemd units, under PREFIX (/usr/local) and DESTDIR
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install.sh --from bin server agent

clean: ## what the other targets have built
	rm -rf bin dist build cover.out cover.html
