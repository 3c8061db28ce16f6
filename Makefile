.PHONY: check test sandbox

check: ## everything: format, lint, types, contracts, tests, and the long suites
	bin/test --long

test: ## everything but the long suites
	bin/test

sandbox: ## a whole story of deployments on this machine
	bin/dg sandbox
