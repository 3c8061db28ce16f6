"""Pictures of every screen of the dashboard, from a sandbox after its story; `bin/pictures` starts it.

Each is what Textual says of its own screen, as SVG, without the font that it would have browsers fetch.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from dg.cli.output import Output
from dg.cli.sandbox import Lines
from dg.client.app import Client
from dg.client.auth import find
from dg.core.clock import SystemClock
from dg.sandbox.app import Options, open_scene
from dg.sandbox.scene import Scene
from dg.sandbox.story import tell_story
from dg.tui.app import Dashboard

SIZES = ((80, 24), (120, 36), (160, 45))
USUAL = SIZES[1]
LIVE_SECONDS, MOST_SECONDS, QUIET_SECONDS, LOOK_SECONDS = 60.0, 8.0, 1.2, 0.2
BETWEEN_KEYS = 0.7
MOST_BYTES = 120_000
HAIR = 0.2
"""Pixels between two cells that touch."""


@dataclass(frozen=True)
class Shot:
    """One picture: the keys from the start to what is to be seen, and who sits before it."""

    name: str
    keys: tuple[str, ...]
    who: str = "ben"
    sizes: tuple[tuple[int, int], ...] = SIZES


def turned(times: int) -> tuple[str, ...]:
    return ("right_square_bracket",) * times


SHOTS = (
    Shot("overview", ("1",)),
    Shot("deployments", ("2",)),
    Shot("deployment", ("2", "down", "enter")),
    Shot("environments", ("3", "down", "down")),
    Shot("access", ("0", *turned(2)), who="owner"),
    Shot("history", ("3", "down", "down", *turned(1)), sizes=(USUAL,)),
    Shot("compare", ("3", "down", "down", *turned(2)), sizes=(USUAL,)),
    Shot("backups", ("3", "down", "down", *turned(4)), sizes=(USUAL,)),
    Shot("audit", ("0", *turned(5)), who="owner", sizes=(USUAL,)),
    Shot("deploy", ("2", "d"), who="ana", sizes=(USUAL,)),
    Shot("roll-back", ("2", "R"), who="ana", sizes=(USUAL,)),
    Shot("diff", ("2", "down", "enter", "D"), sizes=(USUAL,)),
    Shot("handover", ("1", "H"), sizes=(USUAL,)),
    Shot("help", ("1", "question_mark"), sizes=(USUAL,)),
    Shot("commands", ("1", "ctrl+p"), sizes=(USUAL,)),
    Shot("command-line", ("1", "colon", *"deploy"), who="ana", sizes=(USUAL,)),
)


async def draw(scene: Scene, folder: Path, wanted: Callable[[str], bool]) -> None:
    """All shots of which the name is `wanted`."""
    owner = find({}, scene.home.path).token or ""
    tokens = {"ana": scene.people.ana.token, "ben": scene.people.ben.token, "owner": owner}
    for shot in filter(lambda shot: wanted(shot.name), SHOTS):
        for size in shot.sizes:
            path = folder / f"{shot.name}-{size[0]}x{size[1]}.svg"
            path.write_text(await taken(scene.client.url, tokens[shot.who], shot.keys, size), "utf-8")
            print(f"{path}  {path.stat().st_size // 1000} kB")  # noqa: T201
            if path.stat().st_size > MOST_BYTES:
                raise SystemExit(f"{path} is too large to be kept")


async def taken(url: str, token: str, keys: tuple[str, ...], size: tuple[int, int]) -> str:
    """The picture of what these keys lead to."""
    app = Dashboard(lambda: Client(url, token), theme="dg-night")
    async with app.run_test(size=size) as pilot:
        async with asyncio.timeout(LIVE_SECONDS):
            while not app.store.link.live:
                await pilot.pause(LOOK_SECONDS)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(BETWEEN_KEYS)
        await settle(pilot)
        return bare(app.export_screenshot(title="dg tui"))


async def settle(pilot: Pilot[None]) -> None:
    """Until nothing moves but ages and times, or only a cursor does."""
    quiet, before = 0.0, ""
    for _ in range(round(MOST_SECONDS / LOOK_SECONDS)):
        await pilot.pause(LOOK_SECONDS)
        now = re.sub(r"[0-9]+", "", pilot.app.export_screenshot())
        quiet, before = (quiet + LOOK_SECONDS if now == before else 0.0), now
        if quiet >= QUIET_SECONDS:
            return


RECT = re.compile(
    r'<rect fill="(?P<fill>[^"]+)" x="(?P<x>[^"]+)" y="(?P<y>[^"]+)" '
    r'width="(?P<width>[^"]+)" height="(?P<height>[^"]+)" shape-rendering="crispEdges"/>'
)


def bare(svg: str) -> str:
    """Without the fonts of elsewhere, with ids that are the same each time, and a third of the size."""
    svg = re.sub(r"<!--.*?-->", "", svg)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"terminal-[0-9]+-", "", svg).replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
    svg = re.sub(r' clip-path="url\(#line-[0-9]+\)"|(?s:<clipPath id="line-[0-9]+">.*?</clipPath>)', "", svg)
    svg = re.sub(r"(<text [^>]*>)\s*</text>", "", svg.replace("&#160;", "\N{NO-BREAK SPACE}"))
    svg = re.sub(r"(?:<rect [^>]*crispEdges\"/>)+", painted, svg)
    return re.sub(r"(?m)^\s+|[ \t]+$|(?<=\n)\n+", "", svg).rstrip() + "\n"


def painted(run: re.Match[str]) -> str:
    """The cells' colours: neighbours as one, and what most have as the ground below all."""
    cells = [
        (m["fill"], m["y"], float(m["x"]), float(m["width"]), m["height"]) for m in RECT.finditer(run[0])
    ]
    areas = Counter[str]()
    for fill, _, _, width, _ in cells:
        areas[fill] += round(width)
    ground = areas.most_common(1)[0][0]
    merged: list[tuple[str, str, float, float, str]] = []
    for fill, y, x, width, height in cells:
        if merged and merged[-1][:2] == (fill, y) and abs(merged[-1][2] + merged[-1][3] - x) < HAIR:
            merged[-1] = (*merged[-1][:3], x + width - merged[-1][2], height)
        else:
            merged.append((fill, y, x, width, height))
    rows = (
        f'<rect fill="{fill}" x="{x:g}" y="{y}" width="{width:g}" height="{height}"/>'
        for fill, y, x, width, height in merged
        if fill != ground
    )
    return f'<rect fill="{ground}" width="100%" height="100%"/>' + "".join(rows)


async def main(folder: Path, names: list[str]) -> None:
    lines = Lines(Output(sys.stderr, json=False, environ={}), dashboard=True)
    async with open_scene(Options(), lines, SystemClock()) as scene:
        await tell_story(scene)
        await draw(scene, folder, lambda name: not names or name in names)


if __name__ == "__main__":
    made = Path(sys.argv[1])
    made.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(made, sys.argv[2:]))
