"""What may stand in an environment: what is refused is named by its field, and never repeated."""

from __future__ import annotations

from typing import Any

import pytest

from dg.core.environments.content import name_of, path_of, read
from dg.core.environments.models import UpdateEnvironment
from dg.core.errors import Invalid

CANARY = "canary-7f3e91-do-not-show"
URL = f"postgresql://app:{CANARY}@db.internal/app"


def wanted(**changes: Any) -> UpdateEnvironment:
    return UpdateEnvironment.model_validate({"domain": "app.example.com", "config": {}} | changes)


@pytest.mark.parametrize("name", ["database_url", "redis_url", "api_key_mail", "session_key", "api_keys"])
def test_a_secret_has_one_name_and_one_place(name: str) -> None:
    assert name_of(path_of(name)) == name


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("runs.Web", {"runs": {"Web": {"url": "https://w.example/"}}}),
        ("runs.web", {"runs": {"web": {}}}),
        ("runs.web", {"runs": {"web": {"url": "https://w.example/", "command": ["x"]}}}),
        ("runs.web", {"runs": {"web": {"command": ["x"], "pointer": "/a", "pattern": "x"}}}),
        ("runs.web.url", {"runs": {"web": {"url": "file:///etc/passwd"}}}),
        ("runs.web.url", {"runs": {"web": {"url": f"https://ana:{CANARY}@w.example/"}}}),
        ("runs.web.command", {"runs": {"web": {"command": []}}}),
        ("runs.web.command", {"runs": {"web": {"command": ["x", "a\nb"]}}}),
        ("runs.web.pointer", {"runs": {"web": {"command": ["x"], "pointer": "a"}}}),
        ("runs.web.pointer", {"runs": {"web": {"command": ["x"], "pointer": "/~2"}}}),
        ("runs.web.pattern", {"runs": {"web": {"command": ["x"], "pattern": "("}}}),
        ("runs.web.pattern", {"runs": {"web": {"command": ["x"], "pattern": "(a)(b)"}}}),
        ("runs.web.interval", {"runs": {"web": {"command": ["x"], "interval": 1}}}),
        ("runs.web.timeout", {"runs": {"web": {"command": ["x"], "timeout": 61}}}),
        ("runs", {"runs": {f"s{n}": {"command": ["x"]} for n in range(201)}}),
        ("domain", {"domain": ""}),
        ("domain", {"domain": "Not a host"}),
        ("domain", {"domain": "a" * 64 + ".example"}),
        ("config.a b", {"config": {"a b": 1}}),
        ("config.api_keys.x", {"config": {"api_keys.x": CANARY}}),
        ("config.api_key_x", {"config": {"api_key_x": CANARY}}),
        ("config.empty", {"config": {"empty": None}}),
        ("config.inner", {"config": {"inner": {"a": [None]}}}),
        ("config.inner", {"config": {"inner": nested(20)}}),
        ("config.shown", {"config": {"shown": "\x1b[2J"}}),
        ("config.number", {"config": {"number": float("nan")}}),
        ("config", {"config": {"large": "x" * 70_000}}),
        ("config", {"config": {f"k{n}": n for n in range(501)}}),
        ("config.api_keys", {"config": {"api_keys": [CANARY]}}),
        ("config.api_keys.Mail", {"config": {"api_keys": {"Mail": CANARY}}}),
        ("config.api_keys.mail", {"config": {"api_keys": {"mail": {"key": CANARY}}}}),
        ("config.database_url", {"config": {"database_url": CANARY}}),
        ("config.redis_url", {"config": {"redis_url": 1}}),
        ("secrets.database_url", {"secrets": {"database_url": URL}}),
        ("secrets.api_key_mail", {"secrets": {"api_key_mail": CANARY}}),
        ("secrets.UPPER", {"secrets": {"UPPER": CANARY}}),
        ("secrets.short", {"secrets": {"short": "12345"}}),
        ("secrets.long", {"secrets": {"long": CANARY * 2000}}),
        ("secrets.zero", {"secrets": {"zero": f"{CANARY}\0"}}),
        ("secrets.lone", {"secrets": {"lone": f"{CANARY}\ud800"}}),
        ("targets.hosts", {"targets": {"hosts": ["a", "a"]}}),
        ("targets.hosts.0", {"targets": {"hosts": [" "]}}),
        ("targets.regions.0", {"targets": {"regions": ["\u202e"]}}),
        ("links.docs", {"links": {"docs": "javascript:alert(1)"}}),
        ("links.docs", {"links": {"docs": f"https://me:{CANARY}@d.example/"}}),
        ("reason", {"reason": "two\nlines"}),
    ],
)
def test_what_cannot_be_is_refused_by_its_field_and_not_repeated(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        read(wanted(**changes))
    errors = refused.value.details["errors"]
    assert isinstance(errors, list)
    assert field in [error["field"] for error in errors]
    assert CANARY not in f"{refused.value.message}{errors}"
