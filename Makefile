# ECSigner core. `make help` lists what can be made.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help packages build demo test model fuzz fuzz-long interop lint fmt generate generate-check readme bench clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

packages: ## install the Debian packages that are missing
	@.ci/install-packages

build: packages ## build bin/ecsigner
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ecsigner ./cmd/ecsigner

demo: ## from a voucher to a signed PDF that independent programs accept (OUT=DIR keeps the results)
	@start=$$SECONDS; $(MAKE) --no-print-directory -s build; \
	bin/ecsigner demo $(if $(OUT),--out $(OUT),); \
	echo "make demo took $$((SECONDS - start)) s, installation and build included."

test: packages ## all tests under the race detector; with CI=true nothing may be skipped
	$(GO) vet ./...
	.ci/test

model: ## random histories of enrolment and signing, held against a model (HISTORIES=N; 10,000. SEED=N: others)
	$(GO) test ./cmd/ecsigner/model -run TestHistories -count=1 -v -timeout 0 $(if $(HISTORIES),-histories $(HISTORIES)) $(if $(SEED),-rapid.seed $(SEED))

fuzz: packages ## every fuzz target for 15 s (FUZZTIME=…; JOBS=…; ONLY=REGEXP)
	.ci/fuzz

fuzz-long: packages ## every fuzz target for 10 minutes and 100,000 damaged files of each kind; writes docs/fuzzing.md
	FUZZTIME=$${FUZZTIME:-10m} .ci/fuzz docs/fuzzing.md

interop: packages ## judges and clients from PyPI, Maven Central and npm, installed once; writes docs/interop.md
	.ci/interop

lint: ## format, static checks, proto rules and compatibility
	$(GO) mod tidy -diff
	@test -z "$$($$(.ci/tool gofumpt) -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$'))" || \
		{ echo 'not gofumpt-formatted (make fmt mends it):'; $$(.ci/tool gofumpt) -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$'); exit 1; }
	$$(.ci/tool golangci-lint) run ./...
	$$(.ci/tool buf) lint
	$$(.ci/tool buf) breaking --against proto/baseline.binpb

fmt: ## format the Go code
	$$(.ci/tool gofumpt) -w $$(git ls-files '*.go' | grep -v '\.pb\.go$$')

generate: ## make the generated code anew
	PATH="$$(dirname $$(.ci/tool protoc-gen-go)):$$(dirname $$(.ci/tool protoc-gen-go-grpc)):$$PATH" $$(.ci/tool buf) generate
	$$(.ci/tool sqlc) generate -f store/sqlc.yaml

generate-check: generate ## fail when the committed generated code is out of date
	git diff --exit-code -- proto store/sqlc

readme: build ## run the commands of README and operations
	.ci/readme README.md
	.ci/readme docs/operations.md

bench: build ## measure: raw HSM, and authorised signatures through the whole service
	bin/ecsigner bench

clean: ## remove what was built
	rm -rf bin out
