"""What a start costs and depends on; who may import whom is in pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DG = Path(__file__).parents[1] / "src" / "dg"


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Every import below a folder, also inside functions, as (file, top-level module)."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Import():
                    yield from ((path.name, alias.name.partition(".")[0]) for alias in node.names)
                case ast.ImportFrom(module=str(module)):
                    yield path.name, module.partition(".")[0]
                case _:
                    pass


@pytest.mark.parametrize(
    ("package", "allowed"),
    [("runner", set()), ("settings", {"pydantic"})],
)
def test_a_package_keeps_to_the_standard_library_and_what_it_is_allowed(
    package: str, allowed: set[str]
) -> None:
    """The runner starts with `-S`: nothing that is installed would be found."""
    found = list(imported(DG / package))
    assert found
    assert [item for item in found if item[1] not in sys.stdlib_module_names | allowed | {"dg"}] == []


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("dg.cli.main", {"pydantic", "httpx", "sqlalchemy", "asyncio", "ssl"}),
        ("dg.client.app", {"sqlalchemy", "starlette", "uvicorn", "jwt"}),
        ("dg.settings", {"asyncio", "sqlalchemy", "dg.core"}),
        ("dg.client.auth", {"pydantic", "httpx", "dg.settings"}),
        ("dg.tui.app", {"pydantic", "httpx", "sqlalchemy", "click"}),
    ],
)
def test_a_start_pays_only_for_what_it_uses(module: str, unwanted: set[str]) -> None:
    script = f"import sys, {module}; print(sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
