"""JSON of the API and models: times, unknown fields, hostile text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client import samples

from dg.client.errors import Unintelligible
from dg.client.models import Event, Finding
from dg.client.wire import clean, decode, encode, rfc3339
from dg.core.deployments.models import CreateDeployment, Deployment, Lane, LogLine, Page, UpdateDeployment
from dg.core.types import Environment

MOMENT = 1_795_676_400_000_000


def test_times_are_microseconds_in_a_model_and_rfc_3339_on_the_wire() -> None:
    made = decode(Deployment, samples.deployment(not_before="2026-11-26T09:00:00+02:00"))
    assert made.created_at == MOMENT + 250_000
    assert made.not_before == MOMENT
    assert encode(made)["created_at"] == "2026-11-26T07:00:00.250000Z"
    assert encode(made)["not_before"] == "2026-11-26T07:00:00Z"


def test_a_model_survives_the_way_there_and_back() -> None:
    made = decode(Deployment, samples.deployment(outputs={"image": "web:1", "until": "2026-01-01T00:00:00Z"}))
    assert decode(Deployment, encode(made)) == made
    assert made.outputs["until"] == "2026-01-01T00:00:00Z"


def test_times_in_nested_models_are_read() -> None:
    lock = {
        "reason": "r",
        "automatic": False,
        "by": "ana",
        "since": "2026-11-26T07:00:00Z",
        "until": "2026-11-26T08:00:00Z",
    }
    lane = decode(
        Lane,
        {"service": "web", "environment": "staging", "state": "locked", "sentence": "closed", "lock": lock},
    )
    assert lane.lock is not None
    assert (lane.lock.since, lane.lock.until) == (MOMENT, MOMENT + 3_600_000_000)


def test_unset_fields_are_left_out_of_requests() -> None:
    assert encode(CreateDeployment(environment=Environment.STAGING, ref="main")) == {
        "environment": "staging",
        "ref": "main",
    }
    assert encode(UpdateDeployment(note="later"), only_set=True) == {"note": "later"}


def test_fields_of_a_newer_server_are_ignored_everywhere() -> None:
    page = decode(
        Page[Deployment], {"items": [samples.deployment(mood="good")], "next_cursor": "c", "total": 9}
    )
    assert page.items[0].version == "1.4.2"
    assert page.next_cursor == "c"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {"id": 1},
        samples.deployment(status="teleported"),
        samples.deployment(created_at="yesterday"),
        samples.deployment(created_at="2026-11-26T07:00:00"),
    ],
)
def test_an_answer_that_does_not_fit_is_said_so(answer: Any) -> None:
    with pytest.raises(Unintelligible, match="Deployment"):
        decode(Deployment, answer)


def test_hostile_text_is_made_plain_once_at_this_boundary() -> None:
    made = decode(Deployment, samples.deployment(version="\x1b]0;pwned\x07v1", message="a\nb"))
    assert made.version == "␛]0;pwned␇v1"
    assert made.message == "a␊b"


def test_an_events_payload_keeps_its_times_and_loses_its_escapes() -> None:
    fact = decode(Event, samples.event(3, payload={"until": "2026-11-26T07:00:00Z", "\x1b[2J": ["\x9b31m"]}))
    assert fact.payload == {"until": "2026-11-26T07:00:00Z", "␛[2J": ["�31m"]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb", "a\tb"),
        ("\x1b[1;38;5;208mred\x1b[0m", "red"),
        ("\x1b[8mhidden\x1b[2J", "hidden"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x1b[\x1b[0m31m", "␛[31m"),
        ("cut \x1b[31", "cut ␛[31"),
        ("\x9b31m", "�31m"),
    ],
)
def test_log_lines_keep_tabs_and_lose_colours(text: str, shown: str) -> None:
    line = decode(LogLine, {"seq": 0, "at": "2026-11-26T07:00:00Z", "step": None, "text": text})
    assert line.text == shown


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_no_control_character_passes(value: Any) -> None:
    text = repr_of_strings(clean({"payload": value}))
    assert not any(ord(character) < 32 and character not in "\n\t" for character in text)
    assert "\x9b" not in text


def repr_of_strings(value: Any) -> str:
    match value:
        case str():
            return value
        case list():
            return "".join(map(repr_of_strings, value))
        case dict():
            return "".join(map(repr_of_strings, (*value, *value.values())))
        case _:
            return ""


@given(st.integers(0, 253_402_300_799_999_999))
def test_every_moment_comes_back_as_it_was(micros: int) -> None:
    assert clean(rfc3339(micros), "at") == micros


def test_findings_are_models_too() -> None:
    page = decode(Page[Finding], {"items": [{"level": "error", "field": "step[0]", "message": "m"}]})
    assert page.items[0].level == "error"
