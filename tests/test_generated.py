"""What is generated and checked in is what the contracts and the settings say now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
AGAIN = "it is stale: run `bin/generate` and commit what it made"


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "bin/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = loaded()


@pytest.mark.parametrize("name", sorted(generate.MADE))
def test_a_generated_file_is_fresh(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == generate.MADE[name](generate.load()), AGAIN


@pytest.mark.skipif(
    not (ROOT / "sdks/typescript/node_modules").exists(),
    reason="`npm ci --prefix sdks/typescript` was not run",
)
def test_the_types_of_the_typescript_sdk_are_fresh() -> None:
    assert (ROOT / generate.TYPES).read_text("utf-8") == generate.types(generate.load()), AGAIN
