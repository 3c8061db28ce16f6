"""The first `dg.toml` of a repository, for `dg init`, which looked around and passes what it found."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from dg.core.deployments.remotes import check_ref, check_url

_HEAD = """\
# How `{service}` is deployed. `dg pipeline lint` checks this file, `dg plan` shows what would run.
version = 1
service = {quoted_service}

[source]
git = {git}
ref = {ref}                      # production takes only commits of this branch

[defaults]
timeout = "15m"                   # longest run of one step
# idle = "5m"                     # ends a step that prints nothing for so long
# env_pass = ["SSH_AUTH_SOCK"]    # steps see nothing else of the server's environment

# Steps run in this order, in a fresh checkout of the commit. `run` is an argument list without a shell;
# {{sha}}, {{version}}, {{environment}} and {{env.KEY}} are filled in; steps also see $DG_SHA and so on.
"""

_STEP = """
[[step]]
name = {name}
phase = {phase}
run = {run}
"""

_DEPLOY_HINTS = """\
# secrets = ["database_url"]      # reaches only this step, as $DATABASE_URL, masked in its output
# reversible = false              # a rollback across this step asks first
# resume = "ask"                  # once begun, a retry runs it again only when somebody agrees
"""

_CHECK = """
[[step]]
name = "healthy"
phase = "verify"                  # when this fails, dg rolls back by itself
check = {{ http = "{{env.url}}{path}", status = 200, for = "10s", every = "1s" }}
timeout = "2m"
"""

_TAIL = """
[rollback]
auto = "verify_failed"            # never | verify_failed | failed
lock = "30m"                      # keeps the lane closed after it, so that nobody ships the same again
"""

_ENVIRONMENT = """
[env.{name}.settings]
url = {url}
"""

_PRODUCTION_HINTS = """
# [env.production]                # what must be true before it starts there
# approvals = { count = 1 }         # a second person says `dg approve ID`
# requires = ["staging"]          # this very commit went well there
# windows = [{ deny = "0 17 * * FRI", for = "63h", tz = "Europe/Berlin" }]
"""


def template(
    service: str,
    git: str,
    ref: str = "main",
    *,
    urls: dict[str, str],
    deploy: Sequence[str] = (),
    health_path: str = "/",
    has_dockerfile: bool = False,
    make_targets: Collection[str] = (),
) -> str:
    """Write a commented pipeline that parses and has no findings.

    `urls` gives each environment's address (names of environments to `https://…`), `deploy` the command that
    puts a commit live. Without it `make deploy` is taken where there is such a target, else `./bin/deploy`.

    Raises:
        Invalid: `git` or `ref` is not one dg takes.
    """
    parts = [
        _HEAD.format(
            service=service,
            quoted_service=_quoted(service),
            git=_quoted(check_url(git)),
            ref=_quoted(check_ref(ref)),
        ),
        *_build_steps(service, has_dockerfile, make_targets),
        _step("release", "deploy", deploy or _deploy_command(make_targets)) + _DEPLOY_HINTS,
        _CHECK.format(path=_quoted(_literal(health_path))[1:-1]),
        _TAIL,
        *(_ENVIRONMENT.format(name=name, url=_quoted(url)) for name, url in urls.items()),
        *([_PRODUCTION_HINTS] if "production" in urls else []),
    ]
    return "".join(parts)


def _build_steps(service: str, has_dockerfile: bool, make_targets: Collection[str]) -> list[str]:
    steps = []
    if "test" in make_targets:
        steps.append(_step("test", "build", ["make", "test"]))
    if has_dockerfile:
        image = f"{service}:{{sha}}"
        steps.append(
            _step("image", "build", ["docker", "build", "--tag", image, "."])
            + f"output = {{ image = {_quoted(image)} }}   # kept: a rollback uses it and builds nothing\n"
        )
    elif "build" in make_targets:
        steps.append(_step("build", "build", ["make", "build"]))
    return steps


def _deploy_command(make_targets: Collection[str]) -> list[str]:
    return ["make", "deploy"] if "deploy" in make_targets else ["./bin/deploy"]


def _step(name: str, phase: str, run: Sequence[str]) -> str:
    arguments = ", ".join(_quoted(argument) for argument in run)
    return _STEP.format(name=_quoted(name), phase=_quoted(phase), run=f"[{arguments}]")


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _quoted(text: str) -> str:
    """`text` as a TOML basic string: JSON's, where DEL has to be escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
