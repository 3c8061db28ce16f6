"""How durations, sizes and lists of words are written in settings, and read."""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

T = TypeVar("T")

DURATION_MILLIS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
"""Sums of whole ones are exact, as they would not be in seconds."""
SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def parse_duration(value: object) -> object:
    """`"1h30m"`, `"500ms"`, `"90"` or a number as seconds; anything else is left for pydantic to refuse."""
    if not isinstance(value, str) or re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return value
    return seconds_of(value)


def seconds_of(text: str) -> float:
    """A duration with its units, such as `1h30m` or `1.5h`, in seconds. Raises ValueError."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise ValueError('a duration is written as "15m", "1h30m", "500ms" or a number of seconds')
    return sum(float(number) * DURATION_MILLIS[unit] for number, unit in parts) / 1000


def format_duration(seconds: float) -> str:
    """Seconds as they are written in settings: `90d`, `1h30m`, `30ms`."""
    rest, text = round(seconds * 1000), ""
    for unit, millis in DURATION_MILLIS.items():
        count, rest = divmod(rest, millis)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def parse_size(value: object) -> object:
    """`"16 KiB"`, `"2MiB"` or a number as bytes; anything else is left for pydantic to refuse."""
    if not isinstance(value, str) or re.fullmatch(r"[0-9]+", value):
        return value
    match = re.fullmatch(r"([0-9]+) ?(B|KiB|MiB|GiB)", value)
    if not match:
        raise ValueError('a size is written as "16 KiB", "2 MiB" or a number of bytes')
    return int(match[1]) * SIZE_UNITS[match[2]]


def format_size(count: int) -> str:
    """Bytes as they are written in settings: `16 KiB`."""
    unit = next(name for name in ("GiB", "MiB", "KiB", "B") if count % SIZE_UNITS[name] == 0)
    return f"{count // SIZE_UNITS[unit]} {unit}" if count else "0 B"


class Rate(NamedTuple):
    """At most `limit` in `window` seconds."""

    limit: int
    window: float


MOST_IN_A_WINDOW = 1_000_000_000


def parse_rate(value: object) -> object:
    """`"600/1m"` as a Rate, `"off"` and nothing as None."""
    if value is None or value == "off" or isinstance(value, Rate):
        return None if value == "off" else value
    match = re.fullmatch(r"([0-9]{1,10}) ?/ ?(\S+)", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('a rate is written as "600/1m", requests in a window, or "off"')
    limit, window = int(match[1]), parse_duration(match[2])
    if not isinstance(window, float) or window != int(window) or not 1 <= window <= 86400:
        raise ValueError("a rate's window is whole seconds, from 1s to 1d")
    if not 1 <= limit <= MOST_IN_A_WINDOW:
        raise ValueError(f"a rate's limit is from 1 to {MOST_IN_A_WINDOW}")
    return Rate(limit, window)


def format_rate(rate: Rate | None) -> str:
    """A rate as it is written in settings: `600/1m`."""
    return f"{rate.limit}/{format_duration(rate.window)}" if rate else "off"


def parse_words(value: object) -> object:
    """A list of words; in the environment separated by spaces or commas. None is the empty list."""
    if value is None:
        return ()
    return tuple(re.split(r"[\s,]+", value.strip())) if isinstance(value, str) else value


def in_file_only(value: object) -> object:
    """A table of named tables, for which an environment variable has no room."""
    if not isinstance(value, Mapping):
        raise ValueError("is written as tables in server.toml")  # noqa: TRY004 - pydantic's own protocol
    return value


def expand_home(value: object) -> object:
    """A path in which a leading `~` is the caller's home directory."""
    return Path(value).expanduser() if isinstance(value, str) else value


def check_networks(words: tuple[str, ...]) -> tuple[str, ...]:
    """Each is an address or a network. Raises ValueError."""
    for word in words:
        try:
            ipaddress.ip_network(word)
        except ValueError:
            raise ValueError(f'{word} is no address or network; write "10.0.0.7" or "10.0.0.0/8"') from None
    return words


def check_ports(words: tuple[str, ...]) -> tuple[str, ...]:
    """Each is a port or a span of ports. Raises ValueError."""
    for word in words:
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", word)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= 65535:
            raise ValueError(f'{word} is no port; write "443" or "8000-8999", from 1 to 65535')
    return words


ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


def check_origins(words: tuple[str, ...]) -> tuple[str, ...]:
    """Each is an origin as browsers send it. Raises ValueError."""
    for word in words:
        if not ORIGIN.fullmatch(word):
            raise ValueError(f'{word} is no origin; write it as "https://board.example.org", in lower case')
    return words


def parse_toml(value: object) -> object:
    """A list or a table; in the environment written as TOML writes it in one line: `{ count = 2 }`."""
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ValueError(
            f"a list or a table is written in one line of TOML, and this is none: {error}"
        ) from None


def inline(value: object) -> str:
    """A list or a table as TOML writes it in one line."""
    match value:
        case BaseModel():
            return inline(value.model_dump(exclude_none=True))
        case Mapping():
            return "{ " + ", ".join(f"{key} = {inline(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(inline, value)) + "]"
        case bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


class Unit(NamedTuple):
    """How a field's values are written for people."""

    name: Literal["duration", "size", "rate", "words", "tables", "toml"]


Duration = Annotated[
    float, BeforeValidator(parse_duration), Field(gt=0, le=10 * 365 * 86400), Unit("duration")
]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0, le=1 << 40), Unit("size")]
MaybeRate = Annotated[Rate | None, BeforeValidator(parse_rate), Unit("rate")]
Words = Annotated[tuple[str, ...], BeforeValidator(parse_words), Unit("words")]
Tables = Annotated[Mapping[str, T], BeforeValidator(in_file_only), Unit("tables")]
TableOf = Annotated[Mapping[str, Any], BeforeValidator(parse_toml), Unit("toml")]
"""A table whose keys are read where they are used."""
ListOf = Annotated[tuple[Any, ...], BeforeValidator(parse_toml), Unit("toml")]
"""A list whose entries are read where they are used."""
Networks = Annotated[Words, AfterValidator(check_networks)]
Origins = Annotated[Words, AfterValidator(check_origins)]
Ports = Annotated[Words, AfterValidator(check_ports)]
FilePath = Annotated[Path, BeforeValidator(expand_home)]
