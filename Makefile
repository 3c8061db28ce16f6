.PHONY: check test generated bench sandbox

check: ## everything: format, lint, types, contracts, tests, and the long suites
	bin/test --long

test: ## everything but the long suites
	bin/test

generated: ## make anew what is generated from contracts and settings
	bin/generate

bench: ## measure against floors and budgets; a few minutes, best on a quiet machine
	bin/environment --dev
	.venv/bin/python -m benchmarks

sandbox: ## a whole story of deployments on this machine
	bin/dg sandbox
