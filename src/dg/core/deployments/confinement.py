"""Whether this server may and this machine can do what steps ask of it: limits, another user, no network.

Asked when a deployment is made, previewed and started; the runner, which does it, has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dg.core.deployments.parts import Parts
from dg.core.errors import Refused
from dg.runner.abilities import Abilities
from dg.runner.limits import StepLimits, keep
from dg.settings.tree import Runner

_ROOT_ONLY = "`user` needs a server that runs as root"


async def check(parts: Parts, steps: Sequence[Mapping[str, Any]]) -> None:
    """Raise Refused (`cannot_confine`) naming each of the ticket's steps that must not run here, and why."""
    if not any(step["limits"] or step["user"] or not step["network"] for step in steps):
        return
    abilities = await parts.machine.abilities()
    found = [
        (step["name"], sentence)
        for step in steps
        for sentence in objections(step, parts.settings.runner, abilities)
    ]
    if found:
        name, sentence = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise Refused(
            f"step `{name}` cannot run here: {sentence}{more}",
            reason="cannot_confine",
            errors=[{"field": name, "message": sentence} for name, sentence in found],
        )


def objections(step: Mapping[str, Any], settings: Runner, abilities: Abilities) -> Iterator[str]:
    """What speaks against one of the ticket's steps."""
    user = step["user"]
    if user is not None and user not in settings.users:
        yield f"the user {user} is not among `runner.users` of the server's settings"
    elif user is not None and not abilities.users:
        yield _ROOT_ONLY
    if not step["network"] and not abilities.network:
        yield "this machine gives no network namespace, so `network = false` cannot be kept"
    if settings.limits == "required":
        controllers = frozenset() if step["background"] else abilities.controllers
        yield from keep(StepLimits(**step["limits"]), controllers, user).broken
