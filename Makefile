# Every target does its own set-up, can be run again at once, and goes on where it was interrupted.
# The logic is in Python: tests/cluster (cluster, images, stages) and tests/support (generated files).
PYTHON  := .venv/bin/python
CLUSTER := $(PYTHON) -m tests.cluster
STAGES  := $(PYTHON) -m tests.cluster.pipeline
LOCK    := .venv/bin/uv pip compile pyproject.toml -q --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-header
NODES   ?=
K       ?=
N       ?=
export KUBE_CONTEXT
# Where it is set, each of some hundred processes compiles torch and all else again: 5 s of CPU each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup venv check unit dev demo test test-kueue test-flux lint generate docs lock verify images push load bundle cluster-up cluster-down \
        cluster-status env gitops readme

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {gsub(/\$$\$$/, "$$", $$2); printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Debian packages and .venv, from the hashed lock
	@python3 -m tests.cluster.bootstrap

venv: ## .venv alone, from the hashed lock: no root, no Debian packages
	@python3 -m tests.cluster.bootstrap --venv

check: venv ## lint, unit and contract tests: no root, no cluster; some minutes
	@$(STAGES) check

unit: venv ## Unit tests; make unit K=suspend runs those whose names match
	@$(PYTHON) -m pytest tests/unit $(if $(K),-k "$(K)")

dev: venv ## The operator of this checkout, outside the cluster, against the current kubeconfig context
	@$(PYTHON) -m tests.support.dev

demo: setup ## From nothing to a served model on a real Kubernetes (KUBE_CONTEXT=name: on a cluster of yours)
	@$(STAGES) demo

test: setup ## All tests: lint, unit, contract, wiring, end to end
	@$(STAGES) test

test-kueue: setup ## Kueue itself beside the operator, on a control plane of its own (builds Kueue first: 10 minutes)
	@$(CLUSTER) build kubernetes etcd kwok kueue
	@$(STAGES) run $(PYTHON) -m pytest -q tests/kueue

test-flux: setup ## Flux itself applies and judges models on the cluster (builds two of its controllers first: 15 minutes)
	@$(CLUSTER) build source-controller kustomize-controller
	@$(CLUSTER) up
	@$(CLUSTER) load
	@$(STAGES) run $(PYTHON) -m pytest -q tests/flux

lint: venv ## ruff, mypy, import-linter
	@$(STAGES) lint

generate: venv ## Write the generated files: CRD, the chart's copy, install.yaml, dashboards, docs/reference.md
	@$(PYTHON) -m tests.support.generate --write

docs: venv ## The documents as a site, in build/site; it needs no network, to be made or read
	@$(PYTHON) -m tests.support.site

lock: venv ## Refresh the hashed locks from pyproject.toml
	@$(LOCK) --extra operator --extra trainer --group docs --group tests --group tools -o requirements.lock
	@$(LOCK) --extra operator -o requirements-operator.lock
	@$(LOCK) --extra server -o requirements-server.lock
	@$(LOCK) --extra trainer -o requirements-trainer.lock

verify: venv ## Check that the generated files are current, and lint
	@$(STAGES) verify

images: setup ## Build the images of operator, trainer and server (BASE_IMAGE=, TORCH_BACKEND=cpu)
	@$(CLUSTER) images

push: setup ## Push the images: make push REGISTRY=host/path
	@test -n "$(REGISTRY)" || { echo "usage: make push REGISTRY=host/path" >&2; exit 2; }
	@$(CLUSTER) push "$(REGISTRY)"

load: setup ## Load the images into the local cluster (KIND=name: into a kind cluster)
	@$(CLUSTER) load $(if $(KIND),--kind "$(KIND)")

bundle: setup ## Images, chart, install.yaml and digests in one tar, for clusters without internet
	@$(CLUSTER) bundle

cluster-up: setup ## Start the local Kubernetes, or what is missing of it (NODES=2: two nodes)
	@$(CLUSTER) up $(if $(NODES),--nodes $(NODES))

cluster-down: setup ## Stop and delete the local Kubernetes; images stay cached
	@$(CLUSTER) down

cluster-status: venv ## Which components run
	@$(CLUSTER) status

env: venv ## Print exports for a shell: eval "$$(make -s env)"
	@$(CLUSTER) env

bench-operator: setup ## Figures of the operator, and KServe's beside it, on control planes with simulated nodes and pods (N=1000)
	@$(CLUSTER) build kubernetes etcd kwok kserve
	@$(STAGES) run $(PYTHON) -m tests.bench.operator $(if $(N),--services $(N) --resync)

bench-operator-growth: setup ## Whether one more ModelService costs the same at 100, 1,000 and 3,000 (half an hour)
	@$(CLUSTER) build kubernetes etcd kwok
	@$(STAGES) run $(PYTHON) -m tests.bench.operator_growth

bench-hostile: setup ## Figures of the operator while a tenant does what it can, on such a control plane
	@$(CLUSTER) build kubernetes etcd kwok
	@$(STAGES) run $(PYTHON) -m tests.bench.hostile

bench-quality: venv ## How well tables are learned, beside scikit-learn's: goes on where it was stopped (two hours)
	@$(PYTHON) -m tests.bench.quality

bench-training: venv ## What a training costs beside bare torch and scikit-learn: CPU time, start, memory (half an hour)
	@$(PYTHON) -m tests.bench.training

bench-distributed: venv ## Two workers beside two copies, rows a second, and four beside one, weights (wants a quiet machine)
	@$(PYTHON) -m tests.bench.distributed

bench-compression: venv ## How small networks become, and what that costs: goes on where it was stopped (two hours)
	@$(PYTHON) -m tests.bench.compression

bench-page: venv ## How soon the page of a model is painted, and answers what is typed, in Chromium
	@$(PYTHON) -m tests.bench.page

bench-gpu: venv ## Trainings and servers on a GPU, beside the CPUs of the same machine: goes on where it was stopped
	@$(PYTHON) -m tests.bench.gpu

bench-fewshot: venv ## What a frozen encoder is worth with 8 to 125 examples a class: goes on where it was stopped (an hour)
	@$(PYTHON) -m tests.bench.fewshot

gitops: setup ## What Argo CD's Lua and Flux's kstatus make of each situation; the patch of Argo CD's ConfigMap on the cluster
	@$(CLUSTER) build gitops-health
	@$(CLUSTER) up
	@$(STAGES) run $(PYTHON) -m pytest tests/gitops

readme: setup ## Put what the demo and the end-to-end tests showed into README and docs/benchmarks.md (benches: --readme)
	@$(STAGES) run $(PYTHON) -m tests.bench.transcripts

bench-%: setup ## Figures of one bench (bench-serving), also in build/bench/NAME.json
	@$(STAGES) run $(PYTHON) -m tests.bench.$(subst -,_,$*)
