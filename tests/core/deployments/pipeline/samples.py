"""Pipelines that several facts start from."""

from __future__ import annotations

HEAD = """
version = 1
service = "web"

[source]
git = "git@github.com:acme/web.git"
"""

FULL = (
    HEAD
    + """
ref = "main"
trust = "protected"

[defaults]
timeout = "20m"
idle = "5m"
grace = "15s"
env_pass = ["SSH_AUTH_SOCK"]

[[step]]
name = "image"
phase = "build"
run = ["docker", "build", "-t", "acme/web:{sha}", "."]
output = { image = "acme/web:{sha}" }

[[step]]
name = "migrate"
phase = "deploy"
on = ["deploy"]
run = ["./bin/migrate", "up"]
secrets = ["database_url"]
reversible = false
timeout = "1h30m"
idle = 0

[[step]]
name = "rollout"
phase = "deploy"
shell = "kamal deploy --skip-push --version {sha} && echo ${HOME} {a,b}"
env = { TARGETS = "{env.targets}", LABEL = "{service}/{version}" }
cancel = "finish"

[[step]]
name = "switch"
phase = "deploy"
run = ["./switch", "{outputs.image}", "--json={{}}", "{environment}", "{kind}", "{id}"]
background = true

[[step]]
name = "smoke"
phase = "verify"
timeout = "5m"

[step.check]
http = "https://{env.domain}/health"
status = [200, 204]
contains = "{version}"
for = "2m"
every = "5s"

[[step]]
name = "port"
phase = "verify"
check = { tcp = "{env.domain}:443", timeout = 2 }

[[step]]
name = "tell"
phase = "verify"
when = "always"
run = ["./bin/annotate", "{id}"]

[rollback]
auto = "failed"
lock = 0

[env.staging.settings]
domain = "staging.example.com"
targets = "eu-0"

[env.production.settings]
domain = "www.example.com"
targets = "eu-1, us-1"
"""
)


def with_step(step: str, *, after: str = "") -> str:
    """A pipeline whose only step has `step` beside its name; `after` follows it."""
    return f'{HEAD}\n[[step]]\nname = "one"\n{step}\n{after}'


def with_run(rest: str = "", *, after: str = "") -> str:
    """A pipeline with one deploy step that runs `true`."""
    return with_step(f'phase = "deploy"\nrun = ["true"]\n{rest}', after=after)
