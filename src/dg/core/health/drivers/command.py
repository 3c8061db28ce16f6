"""Runs a command that knows whether something is well."""

from __future__ import annotations

from collections.abc import Mapping

from dg.core import command
from dg.core.health.drivers.attempts import Attempt, Failed, Unable
from dg.core.health.probes import CommandProbe
from dg.core.text import plain

_PRINTED = 16 << 10
_LONGEST = 200


async def ask(environ: Mapping[str, str], attempt: Attempt[CommandProbe]) -> None:
    """Run it in a process group of its own, which its time ends. Raises Failed, Unable, TimeoutError."""
    probe = attempt.probe
    env = {
        **environ,
        "DG_ENVIRONMENT": attempt.environment.value,
        "DG_SERVICE": probe.service,
        **{name.upper(): attempt.secrets[name] for name in probe.secrets},
    }
    attempt.connected = True
    try:
        ended = await command.run(probe.run, env=env, timeout=probe.limit, cap=_PRINTED)
    except (FileNotFoundError, PermissionError) as error:
        raise Unable(f"the command cannot be run: {error.strerror}") from None
    attempt.facts["code"] = ended.code
    if ended.code != 0:
        said = _last_line(ended.stdout) or _last_line(ended.stderr)
        raise Failed(said or f"ended with {ended.code}")


def _last_line(printed: bytes) -> str:
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return plain(lines[-1], limit=_LONGEST) if lines else ""
