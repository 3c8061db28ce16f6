"""How a person wants the dashboard: the file that `dg tui` reads before it starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dg.core.errors import Invalid
from dg.core.text import plain

LARGEST = 1 << 16
BELLS = ("off", "sound", "notice")
THEMES = ("night", "day", "colour-blind", "contrast", "256", "16", "no-colour")


@dataclass(frozen=True)
class Preferences:
    """`theme` None is what fits the terminal; `keys` has those of bindings that are not to have their own."""

    theme: str | None = None
    ascii: bool = False
    read_only: bool = False
    mouse: bool = True
    bell: str = "off"
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


CHOICES = {"theme": THEMES, "bell": BELLS}
SWITCHES = ("ascii", "read_only", "mouse")


def preferences_file(environ: Mapping[str, str]) -> Path | None:
    """Where they are (XDG base directories); None without a home."""
    if (config := Path(environ.get("XDG_CONFIG_HOME", ""))).is_absolute():
        return config / "dg" / "dashboard.toml"
    home = environ.get("HOME")
    return Path(home, ".config", "dg", "dashboard.toml") if home else None


def read(path: Path | None, *, wanted: bool) -> Preferences:
    """What the file says; without one, what dg does by itself, unless it is `wanted`. Raises Invalid."""
    if path is None:
        return Preferences()
    try:
        if not wanted and not path.exists():
            return Preferences()
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise Invalid(f"more than {LARGEST:,} bytes are no file of settings")
        return _preferences(tomllib.loads(text.decode()))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", reason="settings") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{path} is no TOML: {plain(str(error), limit=200)}", reason="settings") from None
    except RecursionError:
        raise Invalid(f"{path} is nested too deeply to be read", reason="settings") from None
    except Invalid as wrong:
        raise Invalid(f"{path}: {wrong.message}", reason="settings") from None


def _preferences(found: Mapping[str, Any]) -> Preferences:
    given: dict[str, Any] = {}
    for name, value in found.items():
        if name == "keys":
            given[name] = dict(_keys(value))
        elif name in SWITCHES:
            if not isinstance(value, bool):
                raise Invalid(f"{name} must be true or false")
            given[name] = value
        elif name in CHOICES:
            if value not in CHOICES[name]:
                raise Invalid(f"{name} must be one of {', '.join(CHOICES[name])}")
            given[name] = value
        else:
            there = ", ".join((*CHOICES, *SWITCHES, "keys"))
            raise Invalid(f"there is no setting {plain(name, limit=60)}; there are {there}")
    return Preferences(**given)


def _keys(found: Any, above: str = "") -> Mapping[str, tuple[str, ...]]:
    """Keys by the name of what they do: `act.deploy` may be written with its dot, or as a table of `act`."""
    if not isinstance(found, dict):
        raise Invalid(f"{above or 'keys'} must be a key, a list of keys or a table")
    keys: dict[str, tuple[str, ...]] = {}
    for name, value in found.items():
        whole = f"{above}.{name}" if above else name
        if isinstance(value, str):
            keys[whole] = (value,)
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            keys[whole] = tuple(value)
        else:
            keys |= _keys(value, plain(whole, limit=60))
    return keys
