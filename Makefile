.PHONY: check test bench sandbox

check: ## everything: format, lint, types, contracts, tests, and the long suites
	bin/test --long

test: ## everything but the long suites
	bin/test

bench: ## measure against floors and budgets; a few minutes, best on a quiet machine
	bin/environment --dev
	.venv/bin/python -m benchmarks

sandbox: ## a whole story of deployments on this machine
	bin/dg sandbox
