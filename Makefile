# SPDX-License-Identifier: Apache-2.0
#
# All commands that build and test. On a fresh Debian 12 or 13, `make demo` and
# `make test` install what is missing (ci/setup).

SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# A go command of the version that go.mod needs; fetched at first use (ci/setup/go).
GO = $(eval GO := $$(or $$(shell ci/setup/go),$$(error no Go: see above)))$(GO)
# The prefix for commands that need root. Nothing is compiled as root. sudo has a PATH of
# its own.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env env "PATH=$$PATH")
# For a recipe that boots machines: the QEMU that it finds.
QEMU := PATH="$$(ci/setup/qemu .tools/qemu)"; export PATH;

# What was compiled in one clone is not compiled again in the next (-trimpath), and tests and
# linters use what the build compiled: without cgo, since packages that import net differ.
export CGO_ENABLED := 0
export GOFLAGS := $(filter-out -trimpath -buildvcs=false,$(GOFLAGS)) -trimpath -buildvcs=false

VERSION ?= $(or $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null),v0.0.0-dev)
# Architectures of the nodes that kairos-build can make, as Go names them: amd64 arm64.
ARCHES ?= amd64
OUT ?= out
# Where the end-to-end tests find a kernel, its modules and a boot loader.
FIXTURES := .tools/fixtures
# What the machines of `kairos-build test` start from.
ARTIFACTS := image,raw,iso
FUZZTIME ?= 10m
# `make crash` records the firmware CRASH_FIRMWARE (bios or uefi), checks CRASH_STATES
# power cuts and boots CRASH_BOOTS of them.
CRASH := .tools/crash
CRASH_STATES ?= 100000
CRASH_BOOTS ?= 100
CRASH_FIRMWARE ?= bios
CRASH_FULL = $(CRASH)/full-$(CRASH_FIRMWARE)
GOLANGCI_LINT_VERSION := v2.15.0
# The test runner that says again at the end what failed, and which tests were the slowest.
GOTESTSUM_VERSION := v1.13.0
GOTESTSUM := .tools/gotestsum-$(GOTESTSUM_VERSION)
E2E_RESULTS := .tools/e2e.json
GREMLINS_VERSION := v0.6.0
GREMLINS := .tools/gremlins-$(GREMLINS_VERSION)
MUTATED := framework/slot framework/slot/slotimage framework/grub/bootenv framework/grub/bootconf \
	framework/node/settle framework/node/health framework/upgrade framework/source framework/initramfs \
	cmd/kairos-build/internal/factory
# The percentage of mutants that must be noticed; less where unit tests cannot reach all of
# the code, see docs/mutants.md.
MUTANTS ?= 90
MUTANTS_initramfs := 55
MUTANTS_bootenv := 85

# Equal source gives equal bytes: no local paths, no commit, no cgo.
GOBUILD = GOFLAGS= $(GO) build -trimpath -buildvcs=false
PAYLOAD := framework/rootfs/payload/bin
LINT := .tools/golangci-lint-$(GOLANGCI_LINT_VERSION)
# Packages with tests that need root, QEMU or the programs of `ci/setup/install test`.
E2E = $(sort $(dir $(shell grep -rl --include='*_test.go' '^//go:build e2e' ci cmd flavors framework recipes signing)))
# The packages of the stand-ins for k3s and k0s that need no Kubernetes.
STANDIN := ./bundle ./cluster ./container ./host ./hollow ./images ./k0s ./k3s/... ./mirror ./notify ./process ./shell
KUBERNETES := .tools/kubernetes

.PHONY: help
help: ## Print this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: payload ## Compile bin/kairos-build, with the node programs inside
	@mkdir -p bin
	$(GOBUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/kairos-build ./cmd/kairos-build

.PHONY: payload
payload: ## Compile the programs that end up on nodes (ARCHES="amd64 arm64": for these architectures)
	@rm -rf $(filter-out $(ARCHES:%=$(PAYLOAD)/%/),$(wildcard $(PAYLOAD)/*/)) # what is there is embedded
	@$(foreach arch,$(ARCHES),mkdir -p $(PAYLOAD)/$(arch); \
		GOOS=linux GOARCH=$(arch) $(GOBUILD) -ldflags '-s -w' -o $(PAYLOAD)/$(arch)/init ./framework/initramfs; \
		GOOS=linux GOARCH=$(arch) $(GOBUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o $(PAYLOAD)/$(arch)/kairos-agent ./framework/agent; \
		GOOS=linux GOARCH=$(arch) $(GOBUILD) -ldflags '-s -w' -o $(PAYLOAD)/$(arch)/kairos-assemble ./framework/rootfs/assemble;)

# kairos-build for linux/amd64 and linux/arm64 from the commit HEAD, with checksums, SBOM and
# provenance; SIGN names who signs: a key or `keyless`. See docs/release.md.
RELEASE = bin/release/$(VERSION)
.PHONY: release
release: ## Make a release of kairos-build from HEAD (VERSION=v1.2.3, SIGN=KEY) in bin/release
	@$(GO) run ./cmd/kairos-build/internal/release -go $(GO) -o '$(RELEASE)' -version '$(VERSION)' $(if $(SIGN),-sign '$(SIGN)') $(if $(BUILDER),-builder '$(BUILDER)')

# The same commit in two clones gives the same files.
TWICE := .tools/release
.PHONY: release-twice
release-twice: ## Make a release in two folders and compare every byte
	@rm -rf $(TWICE); mkdir -p $(TWICE)
	@for folder in one another-folder; do \
		git clone --quiet --shared . $(TWICE)/$$folder/clone; \
		$(MAKE) -C $(TWICE)/$$folder/clone release VERSION=$(VERSION:%-dirty=%) RELEASE=$(CURDIR)/$(TWICE)/$$folder/files SIGN= TMPDIR=$(CURDIR)/$(TWICE)/$$folder; \
	done
	@diff --recursive --brief $(TWICE)/one/files $(TWICE)/another-folder/files
	@cd $(TWICE)/one/files; sha256sum --check SHA256SUMS
	@echo '== two folders, the same bytes'

.PHONY: demo
demo: ## Build debian-13 from Debian's archive and boot it on this terminal
	@ci/setup/install build run
	@$(MAKE) build
	$(SUDO) bin/kairos-build flavor debian-13 --sign new --output $(OUT)/debian-13 --cloud-config docs/examples/demo.yaml
	$(SUDO) bin/kairos-build run $(OUT)/debian-13

.PHONY: test
test: ## Run a part of every kind of test, in about half an hour; this is what CI calls
	@ci/setup/install build run test arm64
	@ci/setup/emulation
	@ci/setup/qemu .tools/qemu >/dev/null
	@$(MAKE) check LATER=1
	@$(MAKE) fixtures crash-programs standins $(GOTESTSUM)
	@rm -f $(E2E_RESULTS)
	@$(MAKE) -j2 SLICE=1 BUILT=1 first-half second-half || { $(FAILED); exit 1; }
	@echo '== all tests passed'

# What failed in one half stands far above what the other has printed since.
FAILED = [ ! -s $(E2E_RESULTS) ] || { echo '== of the end-to-end tests'; PATH="$(dir $(GO)):$$PATH" $(GOTESTSUM) --raw-command --format pkgname --hide-summary skipped -- cat $(E2E_RESULTS); }

# The halves of `make test`, which take about the same time.
.PHONY: first-half second-half
first-half:
	@$(MAKE) e2e
	@$(MAKE) kubernetes-slice
second-half:
	@$(MAKE) crash-slice
	@$(MAKE) acceptance

# Each part can be interrupted and continues later: out/FLAVOR/test-state holds the
# machines that passed, .tools/crash the states that were explored.
.PHONY: prove
prove: ## Run everything there is, for hours: every firmware, story, fault and flavor, crash, fuzz, mutants (FLAVOR=NAME: this flavor alone)
ifdef FLAVOR
	@$(MAKE) prove-flavor
else
	@ci/setup/install browser
	@$(MAKE) test
	@$(MAKE) e2e
	@$(MAKE) prove-flavors
	@$(MAKE) prove-arm64
	@$(MAKE) prove-standins
	@$(MAKE) prove-kubernetes
	@$(MAKE) crash
	@$(MAKE) crash CRASH_FIRMWARE=uefi CRASH_BOOTS=4
	@$(MAKE) attack
	@$(MAKE) release-twice
	@$(MAKE) fuzz
	@$(MAKE) mutate
	@echo '== all is proven'
endif

.PHONY: check
check: format lint unit ## Format, lint and unit tests: no root, no network but for Go modules

.PHONY: format
format:
	@echo '== format'
	@list=$$($(dir $(GO))gofmt -l ci cmd flavors framework recipes signing); [ -z "$$list" ] || { echo "these files want gofmt -w:"; echo "$$list"; exit 1; }

.PHONY: lint
lint: $(LINT) payload ## Run the linters of .golangci.yml, vet among them
	@echo '== lint'
	@PATH="$(dir $(GO)):$$PATH" $(LINT) run --build-tags e2e ./...
	@cd ci/kubernetes && PATH="$(dir $(GO)):$$PATH" $(CURDIR)/$(LINT) run --config ../../.golangci.yml $(STANDIN)

$(LINT):
	@echo '== golangci-lint $(GOLANGCI_LINT_VERSION) (compiled once, about two minutes)'
	@mkdir -p .tools
	@GOFLAGS= GOBIN=$(CURDIR)/.tools/new $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv .tools/new/golangci-lint $@

# `make lint` has vetted the code: no test does that again.
#
# LATER=1 leaves out the packages whose unit tests `make e2e` runs with the others. The test
# of an upgrade's memory is none of those: -short skips it.
UNIT = $(if $(LATER),$$($(GO) list ./... | grep --invert-match --line-regexp $(patsubst %/,--regexp '.*/%',$(filter-out framework/upgrade/,$(E2E)))),./...)
.PHONY: unit
unit: payload ## Run the unit tests: no root, no network, no QEMU
	@echo '== unit tests'
	@$(GO) test -vet off $(UNIT)
	@$(GO) test -C ci/kubernetes -vet off $(STANDIN)

# SLICE=1 skips tests that repeat another on different hardware. BUILT=1 says that the
# programs and the fixtures exist: nothing is compiled a second time.
.PHONY: e2e
e2e: $(if $(BUILT),,build fixtures) $(GOTESTSUM) ## Run the tests that need root and QEMU
	@ci/setup/install run test arm64
	@ci/setup/emulation
	@echo '== end-to-end tests'
	@$(if $(SUDO),$(GO) test -C ci/kubernetes -vet off -count 1 -exec "$(subst ",,$(SUDO))" ./shell)
	@$(QEMU) PATH="$(dir $(GO)):$$PATH:/usr/sbin:/sbin"; env $$(cat $(FIXTURES)/env) $(GOTESTSUM) --format pkgname-and-test-fails --hide-summary skipped --jsonfile $(E2E_RESULTS) -- -vet off -tags e2e -count 1 -p 1 -timeout $(if $(SLICE),80m -short,3h) $(if $(SUDO),-exec "$(subst ",,$(SUDO))") $(E2E:%=./%)
	@PATH="$(dir $(GO)):$$PATH" $(GOTESTSUM) tool slowest --jsonfile $(E2E_RESULTS) --threshold 10s

$(GOTESTSUM):
	@mkdir -p .tools
	@GOFLAGS= GOBIN=$(CURDIR)/.tools/new $(GO) install gotest.tools/gotestsum@$(GOTESTSUM_VERSION)
	@mv .tools/new/gotestsum $@

# The end-to-end tests boot and run parts of a debian-13 that is built once;
# `make acceptance` finds it unchanged.
.PHONY: fixtures
fixtures: build
	@ci/setup/install run
	@echo '== a debian-13 for the end-to-end tests'
	@$(SUDO) bin/kairos-build flavor debian-13 --output $(OUT)/debian-13 --artifact $(ARTIFACTS) --progress plain
	@mkdir -p $(FIXTURES)
	@$(GO) run ./ci/fixtures $(OUT)/debian-13/image $(FIXTURES) >$(FIXTURES)/env

.PHONY: acceptance
acceptance: $(if $(BUILT),,build) ## Build Debian 13, boot, upgrade and break it: a part of what `make prove` does
	@ci/setup/install run
	@echo '== acceptance: debian-13'
	@$(SUDO) bin/kairos-build flavor debian-13 --output $(OUT)/debian-13 --artifact $(ARTIFACTS) --progress plain
	@$(QEMU) $(SUDO) bin/kairos-build test $(OUT)/debian-13 --short

# The results that `kairos-build list` shows. Debian 12 is also upgraded to Debian 13.
.PHONY: prove-flavors
prove-flavors: build ## Every firmware, story and fault of every flavor; writes flavors/*/proven.json
	@ci/setup/install run test
	@for flavor in debian-13 debian-12; do \
		echo "== build $$flavor"; \
		$(SUDO) bin/kairos-build flavor $$flavor --output $(OUT)/$$flavor --artifact $(ARTIFACTS) --progress plain; \
	done
	@echo '== debian-13, every firmware, story and fault'
	@$(QEMU) $(SUDO) bin/kairos-build test $(OUT)/debian-13 --every-firmware --resume --record flavors/debian-13/proven.json
	@echo '== debian-12, every firmware, story and fault, and from it to debian-13'
	@$(QEMU) $(SUDO) bin/kairos-build test $(OUT)/debian-12 --every-firmware --resume --to $(OUT)/debian-13 --record flavors/debian-12/proven.json

# A node of another architecture: emulated in the build, and in QEMU. See docs/arm64.md.
.PHONY: prove-arm64
prove-arm64: ## Build Debian 13 for arm64 with emulation, and every firmware, story and fault of it
	@ci/setup/install run test arm64
	@ci/setup/emulation
	@$(MAKE) build ARCHES='amd64 arm64'
	@echo '== build debian-13 for arm64'
	@$(SUDO) bin/kairos-build flavor debian-13 --arch arm64 --output $(OUT)/debian-13-arm64 --artifact $(ARTIFACTS) --progress plain
	@echo '== debian-13 for arm64, every firmware, story and fault'
	@$(QEMU) $(SUDO) bin/kairos-build test $(OUT)/debian-13-arm64 --every-firmware --resume --record flavors/debian-13/proven-arm64.json

# A flavor from its distribution's own archive, on a machine that can reach the archive.
.PHONY: prove-flavor
prove-flavor: build ## Every firmware, story and fault of FLAVOR=NAME; writes its proven.json
	@ci/setup/install run
	@echo '== build $(FLAVOR)'
	@$(SUDO) bin/kairos-build flavor $(FLAVOR) --output $(OUT)/$(FLAVOR) --artifact $(ARTIFACTS) --progress plain
	@echo '== $(FLAVOR), every firmware, story and fault'
	@$(QEMU) $(SUDO) bin/kairos-build test $(OUT)/$(FLAVOR) --every-firmware --resume --record flavors/$(FLAVOR)/proven.json

# Stand-ins for distributions whose archives cannot be reached, see docs/standins.md. The
# last line of bin/standin is the command that builds one. Their GRUB has no signature: no Secure
# Boot.
DISTRIBUTIONS := ubuntu-24.04 rocky-9 opensuse-leap-16.0
.PHONY: prove-standins
prove-standins: build ## Make stand-ins for other distributions, build their flavors, boot, upgrade and break them
	@ci/setup/install run standin
	@$(GOBUILD) -o bin/standin ./ci/standin
	@mkdir -p .tools/standin
	@for flavor in $(DISTRIBUTIONS); do \
		dir=$(CURDIR)/.tools/standin/$$flavor; \
		echo "== a stand-in for $$flavor"; \
		$(SUDO) bin/standin $$flavor $$dir >$$dir.made; cat $$dir.made; \
		$(SUDO) bin/$$(tail -n 1 $$dir.made) --output $(OUT)/standin/$$flavor --artifact $(ARTIFACTS) --progress plain; \
		echo "== the stand-in for $$flavor, every story and fault"; \
		$(QEMU) $(SUDO) bin/kairos-build test $(OUT)/standin/$$flavor --boot bios,uefi --resume --record flavors/$$flavor/proven.json; \
	done

# Stand-ins for k3s and k0s without Kubernetes inside: seconds to compile and to boot.
STANDIN_VERSIONS := v1.35.1+k3s1,etcd=3.5.20 v1.36.3+k3s1,etcd=3.6.13 v1.35.1+k0s.0 v1.36.3+k0s.0
.PHONY: standins
standins:
	@echo '== stand-ins for k3s and k0s'
	@mkdir -p $(KUBERNETES)/hollow
	@cd ci/kubernetes && $(GOBUILD) -ldflags '-s -w' -o $(CURDIR)/$(KUBERNETES)/ ./shell ./container ./mirror
	@cd ci/kubernetes && $(GOBUILD) -ldflags '-s -w' -o $(CURDIR)/$(KUBERNETES)/hollow/ ./hollow
	@$(KUBERNETES)/mirror -o $(KUBERNETES)/mirror-hollow -shell $(KUBERNETES)/shell -programs $(KUBERNETES)/hollow -container $(KUBERNETES)/container $(STANDIN_VERSIONS)

# The part of `make prove-kubernetes` that runs for every change.
.PHONY: kubernetes-slice
kubernetes-slice: $(if $(BUILT),,build standins)
	@ci/setup/install run
	@echo '== acceptance: debian-13 with k3s'
	@$(SUDO) bin/kairos-build flavor debian-13 --k3s v1.35 --mirror k3s=file://$(CURDIR)/$(KUBERNETES)/mirror-hollow --output $(OUT)/debian-13-k3s --progress plain
	@$(QEMU) $(SUDO) bin/kairos-build test $(OUT)/debian-13-k3s --short --boot bios --machine kubernetes

# Real Kubernetes on a node: Ready, a pod, a reboot, another minor version and back. The
# release files are stand-ins with a real Kubernetes inside; PUBLISHED=1 takes the
# publishers' own. See docs/kubernetes-tests.md.
OLD_MINOR := v1.35
NEW_MINOR := v1.36
.PHONY: prove-kubernetes
prove-kubernetes: build $(if $(PUBLISHED),,kubernetes standins) ## k3s and k0s in debian-13: every story of a cluster (PUBLISHED=1: the publishers' files)
	@ci/setup/install run
	@$(if $(PUBLISHED),,echo '== k3s and k0s with a real Kubernetes, without a node'; \
		KAIROS_KUBERNETES=$(CURDIR)/$(KUBERNETES)/real $(GO) test -C ci/kubernetes -count 1 -timeout 60m $(if $(SUDO),-exec "$(subst ",,$(SUDO))") -run TestReal ./shell)
	@$(if $(PUBLISHED),,$(KUBERNETES)/mirror -o $(KUBERNETES)/mirror-real -shell $(KUBERNETES)/shell -programs $(KUBERNETES)/real -container $(KUBERNETES)/container $(STANDIN_VERSIONS))
	@for kind in k3s k0s; do \
		for minor in $(OLD_MINOR) $(NEW_MINOR); do \
			echo "== build debian-13 with $$kind $$minor"; \
			$(SUDO) bin/kairos-build flavor debian-13 --$$kind $$minor --airgap $(if $(PUBLISHED),,--mirror $$kind=file://$(CURDIR)/$(KUBERNETES)/mirror-real) --output $(OUT)/debian-13-$$kind-$$minor --progress plain; \
		done; \
		echo "== a cluster of $$kind"; \
		$(QEMU) $(SUDO) bin/kairos-build test $(OUT)/debian-13-$$kind-$(OLD_MINOR) --to $(OUT)/debian-13-$$kind-$(NEW_MINOR) --boot bios --machine kubernetes,kubernetes-minor --resume; \
	done

# The programs of the stand-ins for k3s and k0s. They stay while no file of ci/kubernetes
# changes. `mirror` makes release files of them; docs/kubernetes-tests.md shows how.
.PHONY: kubernetes
kubernetes: ## Compile Kubernetes for the tests of --k3s and --k0s (20 minutes of one core, once)
	@mkdir -p $(KUBERNETES)/real $(KUBERNETES)/hollow
	@sum=$$(find ci/kubernetes -type f -not -name '*_test.go' | LC_ALL=C sort | xargs sha256sum | sha256sum); \
	if [ "$$sum" = "$$(cat $(KUBERNETES)/sum 2>/dev/null)" ]; then exit 0; fi; \
	echo '== Kubernetes for tests'; \
	rm -f $(KUBERNETES)/sum; \
	cd $(KUBERNETES); rm -rf runc_*.deb runc; apt-get -q download runc || { $(SUDO) apt-get -q update; apt-get -q download runc; }; dpkg-deb --extract runc_*.deb runc; mv runc/usr/sbin/runc real/runc; \
	cd $(CURDIR)/ci/kubernetes; \
	$(GOBUILD) -ldflags '-s -w' -o $(CURDIR)/$(KUBERNETES)/ ./shell ./container ./mirror; \
	$(GOBUILD) -ldflags '-s -w' -o $(CURDIR)/$(KUBERNETES)/hollow/ ./hollow; \
	$(GOBUILD) -ldflags '-s -w' -o $(CURDIR)/$(KUBERNETES)/real/ tool; \
	$(GOBUILD) -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3' -o $(CURDIR)/$(KUBERNETES)/real/ ./kubernetes; \
	echo "$$sum" >$(CURDIR)/$(KUBERNETES)/sum

# `make unit` runs a part of it.
.PHONY: attack
attack: ## Try every attack of ci/attack on the agent: a hostile registry, a stranger's key, old and foreign images
	@echo '== attacks'
	@KAIROS_ATTACK=all $(GO) test -count=1 -v -run 'TestAttacks|TestHonest' -timeout 20m ./ci/attack

.PHONY: crash
crash: fixtures crash-programs ## Cut a node's power at CRASH_STATES moments, boot CRASH_BOOTS of the disks
	@mkdir -p $(CRASH_FULL)
	@if [ $(CRASH_FULL)/recorded -nt $(OUT)/debian-13/disk.raw ]; then \
		echo '== crash: going on with the recording of before, $(CRASH_FIRMWARE)'; \
	else \
		echo '== crash: recording an upgrade and a rollback, $(CRASH_FIRMWARE)'; \
		rm -f $(CRASH_FULL)/recorded $(CRASH_FULL)/*.progress; \
		$(QEMU) bin/crash/record -boot $(CRASH_FIRMWARE) -o $(CRASH_FULL) $(OUT)/debian-13 >$(CRASH_FULL)/record.txt; \
		touch $(CRASH_FULL)/recorded; \
	fi
	@echo '== crash: $(CRASH_STATES) states'
	bin/crash/explore -recording $(CRASH_FULL) -states $(CRASH_STATES) -resume $(CRASH_FULL)/explore.progress >$(CRASH_FULL)/explore.txt
	@echo '== crash: $(CRASH_BOOTS) boots'
	$(QEMU) bin/crash/boot -states $(CRASH_BOOTS) -resume $(CRASH_FULL)/boot.progress -report $(CRASH_FULL)/boot.json $(CRASH_FULL) >$(CRASH_FULL)/boot.txt
	@cat $(CRASH_FULL)/record.txt $(CRASH_FULL)/explore.txt $(CRASH_FULL)/boot.txt

# The part of `make crash` that runs for every change.
.PHONY: crash-slice
crash-slice: $(if $(BUILT),,fixtures crash-programs)
	@echo '== cuts of power in an upgrade: 2000 states, 2 of them booted'
	@mkdir -p $(CRASH)/short
	@$(QEMU) bin/crash/record -short -o $(CRASH)/short $(OUT)/debian-13
	@bin/crash/explore -recording $(CRASH)/short -states 2000
	@$(QEMU) bin/crash/boot -states 2 -again 500 $(CRASH)/short

.PHONY: crash-programs
crash-programs:
	@ci/setup/install run test
	@mkdir -p bin/crash
	@$(GOBUILD) -o bin/crash/ ./ci/crash/record ./ci/crash/explore ./ci/crash/boot

# Can be interrupted and goes on: ci/fuzz/passed.json has what passed, with the digest of the
# package's code. `go test` finds the targets; `make unit` runs their seeds.
.PHONY: fuzz
fuzz: payload ## Run every fuzz target for FUZZTIME (default 10m) whose package has changed since it passed
	@$(GO) run ./ci/fuzz -go $(GO) -time $(FUZZTIME) -passed ci/fuzz/passed.json ./...

# Each mutant changes one operator; the tests of its package must notice it. Of the
# mutants that tests reach, MUTANTS percent must be noticed in each package.
# Packages below a package are separate packages and left out.
.PHONY: mutate
mutate: $(GREMLINS) payload ## Change the code of the packages that carry the promise: do their tests notice?
	@$(foreach package,$(MUTATED),echo "== mutants of $(package)"; \
		MUTATE_GO=$(GO) PATH="$(CURDIR)/ci/mutate:$(dir $(GO)):$$PATH" $(GREMLINS) unleash ./$(package) --invert-logical --exclude-files / --workers 1 --timeout-coefficient 20 \
			--threshold-efficacy $(or $(MUTANTS_$(notdir $(package))),$(MUTANTS)) --output-statuses l;)

$(GREMLINS):
	@mkdir -p .tools
	@GOFLAGS= GOBIN=$(CURDIR)/.tools/new $(GO) install github.com/go-gremlins/gremlins/cmd/gremlins@$(GREMLINS_VERSION)
	@mv .tools/new/gremlins $@

.PHONY: bench-mirror
bench-mirror: kubernetes
	@$(KUBERNETES)/mirror -o $(KUBERNETES)/mirror-bench -shell $(KUBERNETES)/shell -programs $(KUBERNETES)/real -container $(KUBERNETES)/container \
		$(foreach patch,100 101 102 103 104 105,v1.36.$(patch)+k3s1)

.PHONY: bench-standin
bench-standin: build
	@ci/setup/install standin
	@$(GOBUILD) -o bin/standin ./ci/standin
	@mkdir -p .tools/standin
	@$(SUDO) bin/standin rocky-9 $(CURDIR)/.tools/standin/rocky-9

# What a row needs is made for that row.
MEASURED = $(if $(ONLY),$(filter $(1),$(subst $(comma), ,$(ONLY))),all)
comma := ,
.PHONY: bench
bench: build $(if $(call MEASURED,kubernetes),bench-mirror) $(if $(call MEASURED,matrix),standins) $(if $(call MEASURED,rpm),bench-standin) ## Measure against mkosi, qemu-img, dracut and dd, and write docs/bench.md (ONLY=boot,faults: these rows)
	@ci/setup/install run bench
	$(GOBUILD) -o bin/bench ./ci/bench
	$(SUDO) bin/bench -o docs/bench.md $(if $(ONLY),-only $(ONLY))

.PHONY: clean
clean: ## Remove what was built here (caches stay: see `kairos-build cache`)
	rm -rf bin .tools framework/rootfs/payload/bin/*/
	$(if $(wildcard $(OUT)),$(SUDO) rm -rf $(OUT))
