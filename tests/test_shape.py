"""The shape of the code base as assertions: one name for one thing, and no room half built."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

DG = Path(__file__).parents[1] / "src" / "dg"
KINDS = {"models", "store", "service"}
SEAMS = {"app", "auth", "errors", "feed"}
SURFACES = {"api", "client"}
"""Those that show every domain."""
ROOMS = Path(__file__).parents[1] / "ARCHITECTURE.md"
DOMAINS = {"deployments", "environments", "monitoring", "security", "performance"} & {
    folder.name for folder in (DG / "core").iterdir()
}
SAY_NOTHING = {
    "utils",
    "util",
    "helpers",
    "common",
    "misc",
    "base",
    "manager",
    "new",
    "old",
    "legacy",
    "v2",
    "tmp",
}

MODULES = sorted(DG.rglob("*.py"))


def cells(folder: Path) -> set[str]:
    """Modules and packages of a folder by name."""
    return {path.stem for path in folder.iterdir()} - {"__init__", "__pycache__"}


def name(path: Path) -> str:
    return path.relative_to(DG).as_posix()


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_a_domain_has_what_it_is_what_it_keeps_and_what_can_be_done(domain: str) -> None:
    assert cells(DG / "core" / domain) >= KINDS


@pytest.mark.parametrize("surface", sorted(SURFACES))
def test_a_surface_has_its_seams_and_shows_every_domain(surface: str) -> None:
    assert cells(DG / surface) >= SEAMS | DOMAINS


def test_the_dashboard_has_its_seams() -> None:
    assert cells(DG / "tui") >= SEAMS


def named() -> dict[str, set[str]]:
    """What each table of a room in ARCHITECTURE.md says that there is, by the room's path below `dg`."""
    found: dict[str, set[str]] = {}
    room = ""
    for line in ROOMS.read_text("utf-8").splitlines():
        if head := re.match(r"\| in `(?:src/dg/)?([\w/]+)/` \|", line):
            room = head[1]
        elif room and line.startswith("| `"):
            found.setdefault(room, set()).update(re.findall(r"`([\w/]+?)/?`", line.split("|")[1]))
        elif not line.startswith("|"):
            room = ""
    return found


@pytest.mark.parametrize(("room", "told"), named().items(), ids=named())
def test_what_a_table_of_the_house_names_is_there(room: str, told: set[str]) -> None:
    there = {each for each in told if (DG / room / each).is_dir() or (DG / room / f"{each}.py").exists()}
    assert told == there


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree) or not tree.body


def test_no_module_is_named_after_nothing() -> None:
    assert [name(path) for path in MODULES if set(path.stem.split("_")) & SAY_NOTHING] == []


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=name)
def test_a_package_only_exports(path: Path) -> None:
    """Code stands in a module with a name; what a package offers is at most a list of it."""
    for statement in ast.parse(path.read_text("utf-8")).body:
        match statement:
            case ast.Expr(ast.Constant(str())) | ast.ImportFrom():
                pass
            case ast.Assign([ast.Name("__all__" | "__version__")]):
                pass
            case _:
                pytest.fail(f"line {statement.lineno}: {ast.unparse(statement)}")
