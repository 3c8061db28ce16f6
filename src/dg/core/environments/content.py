"""What may stand in an environment, and how two contents differ. No value that is refused is repeated."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dg.core.environments.models import (
    API_KEY,
    API_KEYS,
    MASK,
    URLS,
    Content,
    Difference,
    Kind,
    SecretState,
    Targets,
    UpdateEnvironment,
)
from dg.core.environments.running import ADDRESS_HINT, is_address, wrong_checks
from dg.core.errors import Invalid
from dg.core.text import plain

SHORTEST = 6
"""Bytes of a secret. A shorter one cannot be masked in a log without hiding ordinary text."""
LONGEST = 32 * 1024
"""Bytes of a secret: well within what one environment variable may hold."""
MOST_KEYS = 500
_LARGEST = 64 * 1024
_DEEPEST = 8
_MOST_TARGETS = 200
_LONGEST_TEXT = 200

_SECRET = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+")

_TYPES: tuple[tuple[type | tuple[type, ...], Any], ...] = (
    (bool, "boolean"),
    ((int, float), "number"),
    (str, "string"),
    (dict, "object"),
)


@dataclass(frozen=True)
class Wanted:
    """A checked request: all but secrets, and what is to become of secrets; None unsets one."""

    content: Content
    secrets: Mapping[str, str | None]
    kept: frozenset[str] = frozenset()
    """The secrets that were given as they are shown."""
    stays: frozenset[str] = frozenset()
    """Of `protection`, `runs` and `probes`, what was not given and stays as it is."""


def read(request: UpdateEnvironment) -> Wanted:
    """What is asked for. Raises Invalid naming every field that is wrong."""
    given = dict(_secrets(request))
    content = Content(
        protection=request.protection or {},
        probes=request.probes or {},
        domain=request.domain,
        settings={key: value for key, value in request.config.items() if key not in (*URLS, API_KEYS)},
        targets=request.targets,
        links=request.links,
        runs=request.runs or {},
    )
    wrong = [
        *_wrong_domain(request.domain),
        *_wrong_content(content),
        *_wrong_api_keys(request.config),
        *_wrong_secrets(request.secrets),
        *(mistake for path, value in given.items() for mistake in _wrong_secret(path, value)),
        *_wrong_text("reason", request.reason or ""),
    ]
    if wrong:
        raise refused(wrong)
    kept = frozenset(name_of(path) for path, value in given.items() if _shown(value))
    return Wanted(
        content,
        {name_of(path): value for path, value in given.items() if not _shown(value)},
        kept,
        frozenset(field for field in ("protection", "runs", "probes") if getattr(request, field) is None),
    )


def check_kept(content: Content) -> None:
    """Raises Invalid for what no request could have made of an environment; its secrets are not looked at."""
    # An environment whose first change is a secret has no domain yet.
    wrong = [*(_wrong_domain(content.domain) if content.domain else ()), *_wrong_content(content)]
    if wrong:
        raise refused(wrong)


def check_secret(name: str, value: str | None) -> None:
    """Raises Invalid for a name that no step could use, and a value that cannot be a secret."""
    wrong = [*_wrong_name(path_of(name), name), *_wrong_secret(path_of(name), value)]
    if wrong:
        raise refused(wrong)


def check_ciphertext(name: str, text: str) -> None:
    """Raises Invalid for what cannot be kept for the runner."""
    wrong = [*_wrong_name(path_of(name), name)]
    if not text.strip() or len(text) > LONGEST or "\0" in text or not _is_encodable(text):
        wrong.append(("ciphertext", f"is empty, longer than {LONGEST // 1024} KiB, or no text"))
    if wrong:
        raise refused(wrong)


def is_secret_name(name: str) -> bool:
    """Whether a step could name it."""
    return _SECRET.fullmatch(name) is not None and name != API_KEY


def with_probe(name: str, definition: Mapping[str, Any]) -> Content:
    """A content of that probe alone. Raises Invalid for what no JSON of an environment may hold."""
    if wrong := wrong_probes({name: definition}):
        raise refused(wrong)
    return Content(probes={name: dict(definition)})


def wrong_probes(probes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What no JSON of an environment may hold, or hold so much of."""
    return list(_wrong_table("probes", probes))


def check_reason(reason: str | None) -> None:
    """Raises Invalid for what is not one short line."""
    if wrong := list(_wrong_text("reason", reason or "")):
        raise refused(wrong)


def refused(wrong: list[tuple[str, str]]) -> Invalid:
    errors = [{"field": field, "message": message} for field, message in wrong]
    return Invalid("; ".join(f"{field}: {message}" for field, message in wrong[:5]), errors=errors)


def name_of(path: str) -> str:
    """The name of a secret by where it stands in an environment: `config.api_keys.mail` is `api_key_mail`."""
    if path.startswith(f"config.{API_KEYS}."):
        return API_KEY + path.removeprefix(f"config.{API_KEYS}.")
    return path.partition(".")[2]


def path_of(name: str) -> str:
    """Where the secret of that name stands in an environment."""
    if name in URLS:
        return f"config.{name}"
    if name.startswith(API_KEY):
        return f"config.{API_KEYS}.{name.removeprefix(API_KEY)}"
    return f"secrets.{name}"


def keys(content: Content) -> frozenset[str]:
    """Where each setting and each secret stands that it is configured with."""
    return frozenset(key for key in _flat(content) if key.startswith(("config.", "secrets.")))


def difference(before: Content, after: Content) -> tuple[Difference, ...]:
    """Every key that is not the same, in order."""
    left, right = _flat(before), _flat(after)
    return tuple(
        Difference(key=key, before=_kind(left.get(key)), after=_kind(right.get(key)))
        for key in sorted(left.keys() | right.keys())
        if _known(left.get(key)) != _known(right.get(key))
    )


def _flat(content: Content) -> dict[str, Any]:
    targets = content.targets.model_dump()
    return {
        **({"domain": content.domain} if content.domain else {}),
        **{f"config.{key}": value for key, value in content.settings.items()},
        **{path_of(name): state for name, state in content.secrets.items()},
        **{f"targets.{kind}": list(names) for kind, names in targets.items() if names},
        **{f"links.{name}": url for name, url in content.links.items()},
        **{f"protection.{key}": value for key, value in content.protection.items()},
        **{f"runs.{name}": check.model_dump(mode="json") for name, check in content.runs.items()},
        **{
            f"probes.{name}.{key}": value
            for name, probe in content.probes.items()
            for key, value in probe.items()
        },
    }


def _known(value: Any) -> tuple[str, str] | None:
    """What makes two values one: `1`, `1.0` and `true` are three."""
    if value is None:
        return None
    if isinstance(value, SecretState):
        return "secret", value.fingerprint
    return "plain", json.dumps(value, sort_keys=True)


def _kind(value: Any) -> Kind | None:
    if value is None:
        return None
    if isinstance(value, SecretState):
        return Kind(type="secret", fingerprint=value.fingerprint)
    return Kind(type=next((name for types, name in _TYPES if isinstance(value, types)), "array"))


def _secrets(request: UpdateEnvironment) -> Iterator[tuple[str, Any]]:
    """Every secret of the request by where it stands."""
    for name in URLS:
        if name in request.config:
            yield f"config.{name}", request.config[name]
    api_keys = request.config.get(API_KEYS)
    if isinstance(api_keys, Mapping):
        yield from ((f"config.{API_KEYS}.{name}", value) for name, value in api_keys.items())
    # What belongs to `config` is listed here too when it is shown, and is set there.
    yield from (
        (f"secrets.{name}", value)
        for name, value in request.secrets.items()
        if not (_belongs_to_config(name) and _shown(value))
    )


def _shown(value: Any) -> bool:
    """Whether it is what answers have in a secret's place."""
    return value == MASK or (isinstance(value, Mapping) and value.get("set") is True)


def _belongs_to_config(name: str) -> bool:
    return name in URLS or name.startswith(API_KEY)


def _wrong_content(content: Content) -> Iterator[tuple[str, str]]:
    """What is wrong beside the domain and secrets."""
    yield from _wrong_table("protection", content.protection)
    yield from _wrong_table("probes", content.probes)
    yield from _wrong_settings(content.settings)
    yield from _wrong_targets(content.targets)
    yield from _wrong_links(content.links)
    yield from wrong_checks(content.runs)


def _wrong_domain(domain: str) -> Iterator[tuple[str, str]]:
    if not _DOMAIN.fullmatch(domain):
        yield "domain", "must be a host's name in lower case, such as app.example.com"


def _wrong_settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if len(settings) > MOST_KEYS:
        yield "config", f"has more than {MOST_KEYS} keys"
    for key, value in settings.items():
        field = f"config.{plain(key, limit=60)}"
        if not _SETTING.fullmatch(key) or key.startswith("api_key"):
            yield field, "a key has letters, digits, `_`, `.` and `-`; a key of an API is in api_keys"
        elif problem := _wrong_value(value):
            yield field, problem
    if not _is_small(settings):
        yield "config", f"is larger than {_LARGEST // 1024} KiB"


def _wrong_table(field: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What any JSON must keep to; what it may say is judged elsewhere."""
    if (problem := _wrong_value(dict(table))) or not _is_small(table):
        yield field, problem or f"is larger than {_LARGEST // 1024} KiB"


def _is_small(settings: Mapping[str, Any]) -> bool:
    try:
        return len(json.dumps(settings)) <= _LARGEST
    except (ValueError, RecursionError):
        return False


def _wrong_value(value: Any, depth: int = 0) -> str | None:
    if depth > _DEEPEST:
        return f"is nested more than {_DEEPEST} deep"
    if value is None:
        return "holds a null; leave it out"
    if isinstance(value, float) and not math.isfinite(value):
        return "holds a number that JSON does not have"
    if isinstance(value, str) and plain(value) != value:
        return "holds line breaks or characters that cannot be shown; a secret may hold any"
    if isinstance(value, list):
        return next(filter(None, (_wrong_value(each, depth + 1) for each in value)), None)
    if isinstance(value, dict):
        parts = (part for pair in value.items() for part in pair)
        return next(filter(None, (_wrong_value(each, depth + 1) for each in parts)), None)
    return None


def _wrong_api_keys(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    api_keys = config.get(API_KEYS, {})
    if not isinstance(api_keys, Mapping):
        yield f"config.{API_KEYS}", "must be an object of names and keys"
        return
    for name in api_keys:
        yield from _wrong_name(f"config.{API_KEYS}.{plain(name, limit=60)}", API_KEY + name)


def _wrong_secrets(secrets: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if len(secrets) > MOST_KEYS:
        yield "secrets", f"has more than {MOST_KEYS} keys"
    for name, value in secrets.items():
        field = f"secrets.{plain(name, limit=60)}"
        if _belongs_to_config(name) and _shown(value):
            continue
        if _belongs_to_config(name):
            yield field, f"is written as {plain(path_of(name), limit=80)}"
        else:
            yield from _wrong_name(field, name)


def _wrong_name(field: str, name: str) -> Iterator[tuple[str, str]]:
    if not is_secret_name(name):
        yield (
            plain(field, limit=90),
            "the name of a secret has at most 63 lower case letters, digits and underscores",
        )


def _wrong_secret(path: str, value: Any) -> Iterator[tuple[str, str]]:
    field = plain(path, limit=90)
    if value is None or _shown(value):
        return
    if not isinstance(value, str):
        yield field, "must be a string to set it, null to unset it, or what was read to keep it"
        return
    size = len(value.encode("utf-8", "surrogatepass"))
    if size < SHORTEST:
        yield field, f"is shorter than {SHORTEST} bytes, too short to be masked in a log"
    elif size > LONGEST:
        yield field, f"is longer than {LONGEST // 1024} KiB"
    elif "\0" in value or not _is_encodable(value):
        yield field, "holds what no environment variable can"
    elif name_of(path) in URLS and not _URL.fullmatch(value):
        yield field, "must be an address such as postgresql://user:password@host/name"


def _is_encodable(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _wrong_targets(targets: Targets) -> Iterator[tuple[str, str]]:
    for kind, names in targets.model_dump().items():
        if len(names) > _MOST_TARGETS or len(set(names)) < len(names):
            yield f"targets.{kind}", f"has more than {_MOST_TARGETS} names, or one of them twice"
        for at, name in enumerate(names):
            if not name.strip():
                yield f"targets.{kind}.{at}", "must not be empty"
            yield from _wrong_text(f"targets.{kind}.{at}", name)


def _wrong_links(links: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if len(links) > _MOST_TARGETS:
        yield "links", f"has more than {_MOST_TARGETS} entries"
    for name, url in links.items():
        field = f"links.{plain(name, limit=60)}"
        if not _SETTING.fullmatch(name):
            yield field, "a key has letters, digits, `_`, `.` and `-`"
        if not is_address(url):
            yield field, ADDRESS_HINT


def _wrong_text(field: str, text: str) -> Iterator[tuple[str, str]]:
    if len(text) > _LONGEST_TEXT or plain(text) != text:
        yield field, f"one line of at most {_LONGEST_TEXT} visible characters"
