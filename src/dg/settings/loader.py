"""Reads the tree: flags over environment over `server.toml` in the home over defaults."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dg.homes import default_home
from dg.settings.leaves import PREFIX, Leaf, leaves
from dg.settings.tree import Settings

FILE = "server.toml"
WHOLE = frozenset({"tables", "toml"})
"""How settings are written (`Leaf.unit`) of which a table in the file is the whole value."""
STEP_PREFIXES = ("DG_ENV_", "DG_OUTPUT_")
"""Variables that dg gives to a pipeline's steps: a `dg` called inside a step takes none for a setting."""


class SettingsError(ValueError):
    """Settings that cannot be used; `problems` has a sentence for each, with its path and its origin."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Loaded:
    """The tree, and where each value came from."""

    settings: Settings
    origins: Mapping[str, str]
    """By path: `default`, `server.toml`, `environment DG_X` or `flag`."""


def load(home: Path | None, overrides: Mapping[str, object], environ: Mapping[str, str]) -> Loaded:
    """Read the settings for `home`; `overrides` are flags by path, those that are None were not given.

    Raises SettingsError with every unknown key and every bad value at once.
    """
    place, home_origin = (home.expanduser().absolute(), "flag") if home else default_home(environ)
    known = {leaf.path: leaf for leaf in leaves()}
    problems: list[str] = []
    values: dict[str, object] = {}
    origins = {"home": home_origin, **dict.fromkeys(known, "default")}
    flags = [(path, value, "flag") for path, value in overrides.items() if value is not None]
    for path, value, origin in (*_from_file(place / FILE, known), *_from_environment(environ), *flags):
        if path in known:
            values[path], origins[path] = value, origin
        else:
            problems.extend(_unknown(path, value, origin, known))
    try:
        settings = Settings.model_validate({"home": place, **_nested(values)})
    except ValidationError as error:
        problems.extend(_explain(error, origins))
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return Loaded(settings, origins)


def _from_file(file: Path, known: Mapping[str, Leaf]) -> Iterator[tuple[str, object, str]]:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"{file} cannot be read: {error}"]) from None
    for path, value in _flat(table, known):
        yield path, value, FILE


def _flat(
    table: Mapping[str, object], known: Mapping[str, Leaf], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        path = prefix + key
        if isinstance(value, dict) and value and (path not in known or known[path].unit not in WHOLE):
            yield from _flat(value, known, f"{path}.")
        else:
            yield path, value


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    for name, value in environ.items():
        if name.startswith(PREFIX) and "__" in name and not name.startswith(STEP_PREFIXES):
            path = name.removeprefix(PREFIX).lower().replace("__", ".")
            yield path, None if value == "" else value, f"environment {name}"


def _nested(values: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *tables, key = path.split(".")
        table = tree
        for name in tables:
            table = table.setdefault(name, {})
        table[key] = value
    return tree


def _unknown(path: str, value: object, origin: str, known: Mapping[str, Leaf]) -> Iterator[str]:
    if any(leaf.startswith(path + ".") for leaf in known):
        if value != {}:
            yield f"{path} ({origin}) is a table of settings, not a value"
        return
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.6)
    hint = "see `dg config reference`"
    if near:
        hint = f"did you mean {known[near[0]].variable if origin.startswith('environment') else near[0]}?"
    yield f"{path} ({origin}) is not a setting; {hint}"


def _explain(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        parts = [(".".join(map(str, item["loc"][:length])), item["loc"][length:]) for length in (3, 2, 1)]
        path, below = next(((part, rest) for part, rest in parts if part in origins), ("", ()))
        message = item["msg"].removeprefix("Value error, ")
        inside = "".join(f' "{part}"' for part in below if isinstance(part, str))
        yield f"{path}{inside} ({origins[path]}): {message[:1].lower()}{message[1:]}" if path else message
