"""The filter language: what it finds, and that nothing in it becomes SQL or a crash."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from dg.core import schema
from dg.core.database import Statement, Tx
from dg.core.deployments.filters import FIELDS
from dg.core.errors import Invalid
from dg.core.feed import FIELDS as EVENT_FIELDS
from dg.core.filters import Condition, Term, condition, parse
from dg.core.testing import NOON, Ground, open_ground

_d = schema.deployments
HOUR = 3_600_000_000
INSERT = Statement(_d.insert().values({column.name: sa.bindparam(column.name) for column in _d.columns}))
NAME = Statement(schema.principals.insert())

ROWS: dict[str, dict[str, Any]] = {
    "one": {"service": "shop", "environment": "production", "status": "success", "version": "2.14.1"},
    "two": {"service": "shop", "environment": "staging", "status": "failed", "reason": "timeout"},
    "three": {"service": "blog", "environment": "production", "status": "failed", "note": "Try 100% _now_"},
    "four": {"service": "blog", "environment": "development", "status": "building", "created_by": "id-ana"},
    "five": {"service": "wiki", "environment": "staging", "status": "pending", "message": 'said "no" loudly'},
}
AGES = {"one": 30, "two": 20, "three": 10, "four": 2, "five": 1}
DURATIONS = {"one": 600, "two": 60, "three": 1}


def row(number: int, name: str) -> dict[str, Any]:
    """A deployment's row: what `ROWS` says over plain values."""
    plain: dict[str, Any] = {column.name: None for column in _d.columns}
    created = NOON - AGES[name] * HOUR
    plain |= {
        "number": number,
        "id": f"0{number}9200aa-0000-7000-8000-000000000000",
        "kind": "deploy",
        "stage": "",
        "version": "1.0",
        "commit_sha": f"{number}" * 40,
        "touched": 0,
        "created_by": "id-ben",
        "created_at": created,
        "queued_at": created,
        "cancel_then_rollback": 0,
        "pipeline_sha256": "",
        "outputs": "{}",
        "epoch": 0,
        "revision": 0,
        "spool_seq": 0,
    }
    if name in DURATIONS:
        plain |= {"started_at": created, "completed_at": created + DURATIONS[name] * 1_000_000}
    if name == "four":
        plain |= {"started_at": created}
    return plain | ROWS[name]


@pytest.fixture
async def ground(tmp_path: Path, database_url: str | None) -> AsyncIterator[Ground]:
    def work(tx: Tx) -> None:
        for number, name in enumerate(ROWS, 1):
            tx.run(INSERT, **row(number, name))
        tx.run(NAME, id="id-ana", name="ana", kind="person")

    async with open_ground(tmp_path, url=database_url) as ground:
        await ground.db.write(work)
        yield ground


async def found(ground: Ground, *conditions: Condition) -> str:
    """The names of the rows that meet all conditions."""
    statement = Statement(
        sa.select(_d.c.number).where(*(each.clause for each in conditions)).order_by(_d.c.number)
    )
    values = {name: value for each in conditions for name, value in each.params.items()}
    rows = await ground.db.read(lambda tx: tx.all(statement, **values))
    return " ".join(list(ROWS)[found["number"] - 1] for found in rows)


FINDS = {
    "": "one two three four five",
    "   ": "one two three four five",
    "env=production": "one three",
    "ENV=Production": "one three",
    "env=production,staging": "one two three five",
    "env!=production": "two four five",
    "env!=production,staging": "four",
    "env=production status=failed": "three",
    "service=shop": "one two",
    "service~O": "one two three four",
    "service!~o": "five",
    "status!=success": "two three four five",
    "version=2.14": "",
    "version~2.14": "one",
    "reason=timeout": "two",
    "reason!=timeout": "one three four five",
    "by=ana": "four",
    "by=id-ana": "four",
    "by=ana,id-ben": "one two three four five",
    "by!=ana": "one two three five",
    "sha=333": "three",
    "sha=111,222": "one two",
    "id=04": "four",
    "id!=04": "one two three five",
    "number=4": "four",
    "number!=4,1": "two three five",
    "age<1h30m": "five",
    "age<=2h": "four five",
    "age>19h": "one two",
    "age>=20h age<1d": "two",
    "dur>5m": "one four",
    "dur<=60s": "two three",
    "dur<1m": "three",
    "blog": "three four",
    "!blog": "one two five",
    "100%": "three",
    "_now_": "three",
    "try\\": "",
    '"Try 100%"': "three",
    'note="x y"': None,
    '"said \\"no\\""': "five",
    '!"said \\"no\\"" wiki': "",
    'service="shop"': "one two",
    'service="sh"op': "one two",
    "shop timeout": "",
    "text~blog": "three four",
    "kind=deploy wiki": "five",
}


@pytest.mark.parametrize("text", FINDS)
async def test_what_a_filter_finds(ground: Ground, text: str) -> None:
    expected = FINDS[text]
    if expected is None:
        with pytest.raises(Invalid):
            condition(parse(text), FIELDS, NOON)
    else:
        assert await found(ground, condition(parse(text), FIELDS, NOON)) == expected


async def test_two_filters_fit_into_one_statement(ground: Ground) -> None:
    one = condition(parse("env=production"), FIELDS, NOON, prefix="one")
    two = condition(parse("env=production,staging dur<1m"), FIELDS, NOON, prefix="two")
    assert await found(ground, one, two) == "three"


BAD = {
    "number=x": "number is a whole number",
    "number~4": "number is compared with = !=",
    "colour=red": "no field colour; there are id, number, service, env",
    "env=prod": "`env=prod`: env is one of development, staging, production",
    "status~succ": "`status~succ`: status is compared with = !=",
    "age=2h": "age is compared with < > <= >=",
    "age<soon": "`age<soon`: age takes a time such as",
    "age<-1h": "age takes a time",
    "age<": "a value is missing",
    "age<1h,2h": "too many values",
    "age<99999d": "age takes a time",
    "age<" + "9" * 400: "age takes a time",
    "sha=xyz": "`sha=xyz`: sha starts with hexadecimal digits",
    "sha=%": "hexadecimal",
    "env=": "a value is missing after =",
    "env=,": "a value is missing",
    'env=""': "a value is missing",
    "!": "a word is missing",
    '""': "a word is missing",
    '"not closed': "a quote is not closed",
    'note"': "a quote is not closed",
    "/time.*out/": "regular expressions are matched by the dashboard",
    "!/x/i": "regular expressions",
    "!env=production": "write env!=... to exclude",
    "!version~1": "write version!~... to exclude",
    " ".join("abcdefghijklmnopqrstu"): "at most 20 terms, this one 21",
    "a" * 501: "at most 500 characters",
    "service=" + ",".join("abcdefghijklmnopqrstu"): "too many values",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_filter_is_refused_by_its_term(text: str) -> None:
    with pytest.raises(Invalid, match=re.escape(BAD[text])) as caught:
        condition(parse(text), FIELDS, NOON)
    assert (caught.value.reason, caught.value.details["field"]) == ("invalid_filter", "filter")


def test_values_are_parameters_and_the_shape_does_not_depend_on_them() -> None:
    one = condition(parse("service=shop version~1 age<1h"), FIELDS, NOON)
    two = condition(parse('service="\'; DROP TABLE x; --" version~2 age<2h'), FIELDS, NOON)
    assert one.shape == two.shape
    assert str(one.clause) == str(two.clause)
    assert "DROP" not in str(two.clause)
    more = condition(parse("service=shop,blog version~1 age<1h"), FIELDS, NOON)
    assert more.shape != one.shape


def test_a_word_is_a_term_of_the_text() -> None:
    assert parse("a !b") == (Term("text", "~", ("a",), "a"), Term("text", "!~", ("b",), "!b"))


fragments = st.sampled_from(
    [*FIELDS, *EVENT_FIELDS, "=", "!=", "~", "!~", "<", ">=", "!", '"', "\\", ",", "/", " "]
)
texts = st.one_of(st.text(max_size=60), st.lists(st.one_of(fragments, st.text(max_size=4))).map("".join))


@settings(deadline=None, max_examples=300)
@given(text=texts)
def test_any_text_is_read_or_refused(text: str) -> None:
    for fields in (FIELDS, EVENT_FIELDS):
        try:
            clause = condition(parse(text), fields, NOON)
        except Invalid:
            continue
        assert len(clause.params) <= 20 * 20 + 1
