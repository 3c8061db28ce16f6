"""A check of the environment's probes: what the server that asks them last wrote of them into the run folder.

The server may die and come back meanwhile. While nobody says how a probe stands it is unknown, which neither
passes the check nor fails it; how long a probe has been healthy is the server's to know.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dg.runner import spool
from dg.runner.checks import Attempt
from dg.runner.outcome import seconds

_SECOND = 1_000_000
OLD = 15
"""Seconds after which what the server wrote says nothing any more; it writes every few."""


class Standing(NamedTuple):
    """How a probe stands since when, and when it was last asked; microseconds since the epoch.

    `status` is healthy, degraded, unhealthy, unknown, or doubted: healthy, but for what was found last.
    """

    status: str
    since: int
    checked: int
    detail: str


def look(run_dir: str, names: Sequence[str], hold: float, began: int, now: int | None = None) -> Attempt:
    """Good when each probe was asked after `began` and has been healthy for `hold` seconds after it.

    One that became unhealthy after `began` ends the check. Times in microseconds since the epoch.
    """
    now = time.time_ns() // 1000 if now is None else now
    found = _read(run_dir, now)
    if found is None:
        stand = "stands" if len(names) == 1 else "stand"
        return Attempt(False, f"how {_listed(names)} {stand} is not known: the server does not say")
    looks = [_judge(name, found.get(name), hold, began, now) for name in names]
    ended = next((each for each in looks if each.final), None)
    waits = next((each for each in looks if not each.good), None)
    healthy = f"{_listed(names)} {'is' if len(names) == 1 else 'are'} healthy"
    lasting = f" for {seconds(hold)}" if hold else ""
    return ended or waits or Attempt(True, f"{healthy}{lasting}")


def _judge(name: str, standing: Standing | None, hold: float, began: int, now: int) -> Attempt:
    if standing is None:
        return Attempt(False, f"the environment has no probe `{name}`")
    said = f"probe `{name}` is {standing.status}" + (f": {standing.detail}" if standing.detail else "")
    if standing.status == "unhealthy" and standing.since >= began:
        return Attempt(False, said, final=True)
    if standing.status != "healthy":
        return Attempt(False, said)
    if standing.checked < began:
        return Attempt(False, f"probe `{name}` was not asked yet since the step began")
    if now - max(began, standing.since) < hold * _SECOND:
        return Attempt(False, f"probe `{name}` is healthy, but not for {seconds(hold)} yet")
    return Attempt(True, said)


def _read(run_dir: str, now: int) -> dict[str, Standing] | None:
    """What the server wrote; None where that is too old or nothing at all."""
    content = spool.read_json(run_dir, spool.PROBES)
    if content is None or not _is_time(content.get("t")) or abs(now - content["t"]) > OLD * _SECOND:
        return None
    probes = content.get("probes")
    if not isinstance(probes, Mapping):
        return None
    return {name: _standing(each) for name, each in probes.items() if _is_standing(each)}


def _is_standing(raw: Any) -> bool:
    return (
        isinstance(raw, Mapping)
        and all(isinstance(raw.get(name), str) for name in ("status", "detail"))
        and all(_is_time(raw.get(name)) for name in ("since", "checked"))
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _standing(raw: Mapping[str, Any]) -> Standing:
    return Standing(raw["status"], raw["since"], raw["checked"], raw["detail"])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names)
    return f"probe {shown}" if len(names) == 1 else f"probes {shown}"
