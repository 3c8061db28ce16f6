"""What each thing costs that a request may meet on its way: the CPU of a status read with and without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures.status import CONNECTIONS, Stand, measured, standing
from benchmarks.load import Target, load
from benchmarks.report import Row
from benchmarks.server import LIMITS, make_repository

ROUNDS = 5
NOWHERE = "http://127.0.0.1:9"
"""A collector that is not there: spans are made, and their export fails."""


@dataclass(frozen=True)
class Variant:
    """A server with something added or left out, or a request that asks for more."""

    name: str
    settings: str = ""
    variables: Mapping[str, str] = field(default_factory=lambda: LIMITS)
    headers: tuple[str, ...] = ()


VARIANTS = (
    Variant("without rate limits", '[limits]\nread = "off"\n', {}),
    Variant("with a JSON line for each", '[logging]\nrequests = true\nformat = "json"\n'),
    Variant("with traces", f'[tracing]\nendpoint = "{NOWHERE}"\n'),
    Variant("compressed with gzip", headers=("accept-encoding: gzip",)),
    Variant("with a request id of the caller's", headers=("x-request-id: abc-123",)),
)


def measure(folder: Path) -> Iterator[Row]:
    """Micros of one read; the floor is the server as it comes, in alternating rounds."""
    commit = make_repository(folder / "shop")
    with standing(folder, "usual", commit, "") as usual:
        for at, variant in enumerate(VARIANTS):
            with standing(folder, f"variant-{at}", commit, variant.settings, variant.variables) as stand:
                yield Row(f"status read {variant.name}, CPU", "µs", *compared(stand, variant, usual))


def compared(stand: Stand, variant: Variant, usual: Stand) -> tuple[list[float], list[float]]:
    ours, floor = stand.target(stand.server.token, *variant.headers), usual.target(usual.server.token)
    for warming in (ours, floor):
        load(warming, connections=CONNECTIONS, seconds=0.5)
    rounds = [(micros(ours, stand), micros(floor, usual)) for _ in range(ROUNDS)]
    return [one for one, _ in rounds], [other for _, other in rounds]


def micros(target: Target, stand: Stand) -> float:
    return measured(target, stand.server.pid).micros
