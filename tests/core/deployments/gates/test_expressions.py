"""Facts about custom gates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from dg.core.deployments.gates.expressions import FACTS, Expression, Value, asks, check, holds, unknowable
from dg.core.types import Environment

KNOWN: dict[str, Value] = {
    "service": "shop",
    "created_by.kind": "service",
    "lane.known": True,
    "lane.failures": 2,
    "minutes_since.staging": 31,
    "artefact.scan": "passed",
    "artefact.coverage": "81.5",
}


@pytest.mark.parametrize(
    "expression",
    [
        "lane.known",
        "lane.known == true",
        "lane.failures == 2",
        "lane.failures != 0",
        "lane.failures <= 2",
        "lane.failures<3",
        "lane.failures > -1",
        "minutes_since.staging >= 30",
        "minutes_since.staging < 31.5",
        'service == "shop"',
        "service == 'shop'",
        'service != "other"',
        'artefact.scan == "passed"',
        "artefact.coverage >= 80",
        "artefact.coverage < 81.6",
    ],
)
def test_what_is_true_holds(expression: str) -> None:
    assert holds(check(expression), KNOWN).open


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("not lane.known", "`not lane.known` does not hold: lane.known is true"),
        ("lane.failures == 0", "`lane.failures == 0` does not hold: lane.failures is 2"),
        (
            "minutes_since.staging > 60",
            "`minutes_since.staging > 60` does not hold: minutes_since.staging is 31",
        ),
        ('service == "Shop"', '`service == "Shop"` does not hold: service is shop'),
        (
            "artefact.scan >= 3",
            "`artefact.scan >= 3` does not hold: artefact.scan is passed, no number",
        ),
    ],
)
def test_what_is_false_says_what_the_fact_is(expression: str, sentence: str) -> None:
    answer = holds(check(expression), KNOWN)
    assert (answer.open, answer.sentence) == (False, sentence)


def test_an_answer_keeps_the_value_that_it_was_judged_by() -> None:
    assert holds("lane.failures == 2", KNOWN).values == {"lane.failures": 2}


def test_what_nobody_knows_closes_the_gate_either_way() -> None:
    for expression in ("minutes_since.development < 100", "minutes_since.development >= 0"):
        answer = holds(check(expression), KNOWN)
        assert (answer.open, answer.values) == (False, {})
        assert "`minutes_since.development` is not known here; known are artefact.coverage" in answer.sentence
    assert not holds("not lane.known", {}).open


def test_an_artefact_that_was_not_recorded_is_named_with_those_that_were() -> None:
    sentence = holds('artefact.sbom != ""', KNOWN).sentence
    assert "recorded `artefact.sbom` for this commit" in sentence
    assert "recorded are artefact.coverage, artefact.scan" in sentence
    assert "nothing was recorded" in holds('artefact.sbom != ""', {"service": "shop"}).sentence


def test_a_hostile_value_cannot_act_in_the_sentence() -> None:
    sentence = holds('artefact.scan == "ok"', {"artefact.scan": "\x1b[2J" + "x" * 500}).sentence
    assert "\x1b" not in sentence
    assert len(sentence) < 200


def test_the_fact_that_is_asked_for_is_known_beforehand() -> None:
    assert [asks(text) for text in ("lane.known", "not lane.known", "lane.failures < 3")] == [
        "lane.known",
        "lane.known",
        "lane.failures",
    ]


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "must be `name`"),
        ("lane.failures", "is neither true nor false and must be written as `lane.failures <= 3`"),
        ("service", 'must be written as `service == "text"`'),
        ("lane.known == 1", "is true or false and is written as `lane.known`"),
        ("lane.known < true", "compares numbers only"),
        ("lane.failures == true", "is neither true nor false"),
        ('lane.failures == "2"', "is a number"),
        ("service == 1", "is text"),
        ('service < "a"', "compares numbers only"),
        ("findings.critical == 0", "which dg does not know; known are service, environment"),
        ("lane.failure == 0", "did you mean `lane.failures`?"),
        ("artefact. == 0", "must be `name`"),
        ("artefact.a.b == 0", "which dg does not know"),
        ("__import__('os')", "must be `name`"),
        ("lane.known and lane.known", "must be `name`"),
        ('service == "a\nb"', "must be `name`"),
        ('service == "a\\"b"', "must be `name`"),
        ("lane.failures == " + "9" * 500, "must be `name`"),
        ('service == "' + "a" * 300 + '"', "at most 200 characters"),
    ],
)
def test_what_is_no_gate_is_refused_with_the_way_out(expression: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Expression).validate_python(expression)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "environment", "problem"),
    [
        ("minutes_since.staging > 30", "staging", "which is no environment before staging"),
        ("minutes_since.staging > 30", "development", "which is no environment before development"),
        ('artefact.scan == "passed"', "development", "no environment before development can record it"),
        ("minutes_since.staging > 30", "production", None),
        ("minutes_since.development > 30", "staging", None),
        ('artefact.scan == "passed"', "staging", None),
        ("lane.known", "development", None),
    ],
)
def test_what_can_never_be_known_somewhere_is_known_beforehand(
    expression: str, environment: str, problem: str | None
) -> None:
    found = unknowable(check(expression), Environment(environment))
    assert (problem or "") in (found or "")
    assert (problem is None) is (found is None)


@given(st.one_of(st.text(), st.text("abcdelnotkw. <>=!\"'0123456789_")))
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    try:
        checked = check(text)
    except ValueError:
        return
    answer = holds(checked, KNOWN)
    assert answer.open in {True, False}
    assert asks(checked) in FACTS or asks(checked).startswith("artefact.")


@given(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(-99, 99), st.integers(-99, 99))
def test_numbers_are_compared_as_numbers(sign: str, left: int, right: int) -> None:
    answer = holds(check(f"lane.failures {sign} {right}"), {"lane.failures": left})
    compared = {
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }
    assert answer.open is compared[sign]
