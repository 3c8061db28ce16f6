"""How an environment is configured, for who asks: secrets by name only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.text import code, day, escape
from dg.core.environments.models import EnvironmentState

_MOST = 12


def answer(found: EnvironmentState) -> Rendered:
    """One environment: what it is, and who changed it last."""
    domain = f"  {code(found.domain, 120)}" if found.domain else ""
    lines = [f"*{found.name.value}*{domain}  ·  {_version(found)}"]
    targets = [*found.targets.hosts, *found.targets.clusters, *found.targets.regions]
    parts = {
        "settings": [f"{code(key, 40)} {code(_value(value), 60)}" for key, value in found.config.items()],
        "secrets": [f"{code(key, 60)} version {each.version}" for key, each in found.secrets.items()],
        "targets": [code(each, 60) for each in targets],
        "probes": [code(each, 40) for each in found.probes],
        "protection": [code(each, 40) for each in found.protection],
    }
    lines += [f"*{name}*: {_some(each)}" for name, each in parts.items() if each]
    lines.append(f"More: {code('dg env show ' + found.name.value)}")
    return Rendered(f"{found.name.value}: {_plain_version(found)}", (b.section("\n".join(lines)),))


def _version(found: EnvironmentState) -> str:
    if not found.version or found.changed_at is None:
        return "never configured"
    by = escape(found.changed_by_name or found.changed_by or "", 60).replace("*", "")
    return f"version {found.version} of {day(found.changed_at)}, by *{by}*"


def _plain_version(found: EnvironmentState) -> str:
    return f"version {found.version}" if found.version else "never configured"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _some(parts: Iterable[str]) -> str:
    found = list(parts)
    more = f" _and {len(found) - _MOST} more_" if len(found) > _MOST else ""
    return ", ".join(found[:_MOST]) + more
