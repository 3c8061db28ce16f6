"""The documentation as assertions: links and paths lead somewhere, and every page is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
