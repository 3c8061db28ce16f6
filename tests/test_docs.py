"""The documentation as assertions: links and paths lead somewhere, and every page is found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dg.cli.main import dg

ROOT = Path(__file__).parents[1]
SDKS = ROOT.glob("sdks/*/*.md")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *SDKS])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_named_in_a_page_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:src|tests|docs|bin|benchmarks|examples|\.ci)/[\w./-]*[\w/])`", page.read_text("utf-8")
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_is_found_from_the_readme() -> None:
    found, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in found:
            continue
        found.add(page)
        links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+\.md)", page.read_text("utf-8"))
        ahead += [(page.parent / link).resolve() for link in links]
    assert {page.resolve() for page in PAGES} - found - {ROOT / "CHANGELOG.md"} == set()


def leaves(group: click.Group, path: str = "") -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}"


def placed() -> set[str]:
    """The commands that the documentation says a place of: `dg lane lock|unlock` are two."""
    section = (
        (ROOT / "docs" / "dashboard.md")
        .read_text("utf-8")
        .partition("\n## Where everything is\n")[2]
        .partition("\n## ")[0]
    )
    found = set()
    for span in re.findall(r"`dg ([a-z| -]+)`", section.replace("\\|", "|")):
        *before, last = span.split()
        found |= {" ".join((*before, each)) for each in last.split("|")}
    return found


def test_the_documentation_says_of_every_command_where_the_dashboard_has_it() -> None:
    """A new one gets a row below "Where everything is": the keys that do it, or why it stays on a shell."""
    assert set(leaves(dg)) - {"pipeline init server", "init server"} - placed() == set()


def test_the_documentation_names_no_command_that_there_is_not() -> None:
    words = [leaf.split() for leaf in leaves(dg)]
    assert placed() - {" ".join(each[: at + 1]) for each in words for at in range(len(each))} == set()


PICTURES = sorted(ROOT.glob("docs/pictures/*.svg"))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_is_small_loads_nothing_and_is_shown(picture: Path) -> None:
    svg = picture.read_text("utf-8")
    assert len(svg.encode()) < 120_000
    assert re.findall(r"url\((?!#)|@import|@font-face|<script|<image|href=", svg) == []
    assert any(picture.name in page.read_text("utf-8") for page in PAGES)


def test_the_recording_is_half_a_minute_of_an_incident() -> None:
    lines = ROOT.joinpath("docs/pictures/incident.cast").read_text("utf-8").rstrip("\n").split("\n")
    header, *events = map(json.loads, lines)
    assert (header["version"], header["width"], header["height"]) == (2, 120, 36)
    times = [at for at, kind, _ in events if kind == "o"]
    assert times == sorted(times)
    assert 20 < times[-1] < 60
    seen = "".join(text for _, _, text in events)
    told = ("and press enter", "did not pass", "rolled back", "handover")
    assert [words for words in told if words not in seen] == []
