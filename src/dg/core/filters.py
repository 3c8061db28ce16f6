"""The filter language of lists and feeds: `env=production status!=success by=ana version~2.14 age<2h !noise`.

Services call `condition` with the table of fields of what they list. Values are always bound parameters, so
the text of a filter never becomes SQL; only which fields and operators it uses does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.clock import SECOND
from dg.core.errors import Invalid
from dg.settings.units import parse_duration

MAX_LENGTH = 500
MAX_TERMS = 20
MAX_VALUES = 20
_CENTURY = 100 * 366 * 86400.0

_TERM = re.compile(r"(?P<field>[A-Za-z_]+)(?P<op>!=|!~|<=|>=|=|~|<|>)(?P<value>.*)", re.DOTALL)
_TOKEN = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+', re.DOTALL)
_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|([^"]+)', re.DOTALL)
_COMMA = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Kind(Enum):
    """What values a field takes, and with it which operators."""

    WORD = "word"
    """Any text; `=` and `!=` compare, `~` and `!~` look inside, without regard to case."""
    CHOICE = "choice"
    """One of `choices`; only `=` and `!=`."""
    START = "start"
    """The beginning of an id in hexadecimal digits; only `=` and `!=`."""
    NUMBER = "number"
    """A whole number; only `=` and `!=`."""
    PERSON = "person"
    """A principal's id or name; only `=` and `!=`."""
    AGE = "age"
    """Time since a column's moment; only `<`, `>`, `<=` and `>=`."""
    DURATION = "duration"
    """Time between two columns' moments, until now while the second is empty; operators as AGE."""


_EQUALS = ("=", "!=")
_CONTAINS = ("~", "!~")
_ORDERS = ("<", ">", "<=", ">=")
_OPERATORS: Mapping[Kind, tuple[str, ...]] = {
    Kind.WORD: _EQUALS + _CONTAINS,
    Kind.CHOICE: _EQUALS,
    Kind.START: _EQUALS,
    Kind.NUMBER: _EQUALS,
    Kind.PERSON: _EQUALS,
    Kind.AGE: _ORDERS,
    Kind.DURATION: _ORDERS,
}


@dataclass(frozen=True)
class Field:
    """One name of the language and the columns it looks at."""

    kind: Kind
    columns: tuple[sa.ColumnElement[Any], ...]
    choices: tuple[str, ...] = ()


Fields = Mapping[str, Field]
"""The names that a list knows. `text` is where words without a field are looked for."""


@dataclass(frozen=True)
class Term:
    """One term of a filter. `source` is how it was written; a word without a field is `text~word`."""

    field: str
    op: str
    values: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Condition:
    """A WHERE clause, the values of its parameters, and what its SQL text depends on (for `Shapes`)."""

    clause: sa.ColumnElement[bool]
    params: Mapping[str, Any]
    shape: object


def parse(text: str) -> tuple[Term, ...]:
    """Read a filter; its terms are ANDed. Raises Invalid naming the term that cannot be read."""
    if len(text) > MAX_LENGTH:
        raise _bad(f"a filter has at most {MAX_LENGTH} characters, this one {len(text)}")
    terms = tuple(_term(token) for token in _tokens(text))
    if len(terms) > MAX_TERMS:
        raise _bad(f"a filter has at most {MAX_TERMS} terms, this one {len(terms)}")
    return terms


def condition(terms: tuple[Term, ...], fields: Fields, now: int, *, prefix: str = "filter") -> Condition:
    """The terms as SQL over `fields`; `now` is in microseconds.

    `prefix` starts the parameters' names, so that several conditions fit into one statement. Raises Invalid
    naming the term, and the fields or values there are.
    """
    clauses = []
    params: dict[str, Any] = {}
    for index, term in enumerate(terms):
        field = fields.get(term.field)
        if field is None:
            raise _bad(f"`{term.source}`: there is no field {term.field}; there are {', '.join(fields)}")
        if term.op not in _OPERATORS[field.kind]:
            raise _bad(f"`{term.source}`: {term.field} is compared with {' '.join(_OPERATORS[field.kind])}")
        values = {f"{prefix}_{index}_{n}": _value(term, field, text) for n, text in enumerate(term.values)}
        if field.kind is Kind.DURATION:
            params[f"{prefix}_now"] = now
        elif field.kind is Kind.AGE:
            values = {name: now - value for name, value in values.items()}
        params |= values
        clauses.append(_clause(term.op, field, list(values), f"{prefix}_now"))
    shape = (prefix, tuple((term.field, term.op, len(term.values)) for term in terms))
    return Condition(sa.and_(sa.true(), *clauses), params, shape)


def _bad(message: str) -> Invalid:
    return Invalid(f"filter: {message}", reason="invalid_filter", field="filter")


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None or text[match.end() : match.end() + 1] == '"':
            raise _bad(f'`{text[position:]}`: a quote is not closed; write "two words", and \\" for a quote')
        yield match.group()
        position = match.end()


def _term(token: str) -> Term:
    if re.fullmatch(r"!?/.*/[a-z]*", token, re.DOTALL):
        raise _bad(
            f"`{token}`: regular expressions are matched by the dashboard, not by the server; "
            "use words, or field~part"
        )
    if match := _TERM.fullmatch(token.removeprefix("!")):
        if token.startswith("!"):
            raise _bad(f"`{token}`: write {match['field']}!{match['op'][-1]}... to exclude, `!` is for words")
        values = tuple(_unquoted(part) for part in _COMMA.findall(match["value"]))
        if not values or not all(values):
            raise _bad(f"`{token}`: a value is missing after {match['op']}")
        if len(values) > MAX_VALUES or (len(values) > 1 and match["op"] in _ORDERS):
            raise _bad(f"`{token}`: too many values")
        return Term(match["field"].lower(), match["op"], values, token)
    word = _unquoted(token.removeprefix("!"))
    if not word:
        raise _bad(f"`{token}`: a word is missing")
    return Term("text", "!~" if token.startswith("!") else "~", (word,), token)


def _unquoted(text: str) -> str:
    return "".join(_ESCAPED.sub(r"\1", quoted) or bare for quoted, bare in _PART.findall(text))


def _value(term: Term, field: Field, text: str) -> Any:
    match field.kind:
        case Kind.CHOICE if text.lower() not in field.choices:
            raise _bad(f"`{term.source}`: {term.field} is one of {', '.join(field.choices)}")
        case Kind.CHOICE:
            return text.lower()
        case Kind.START if not re.fullmatch("[0-9a-f-]{1,40}", text.lower()):
            raise _bad(f"`{term.source}`: {term.field} starts with hexadecimal digits")
        case Kind.START:
            return text.lower() + "%"
        case Kind.NUMBER if not re.fullmatch("[0-9]{1,18}", text):
            raise _bad(f"`{term.source}`: {term.field} is a whole number")
        case Kind.NUMBER:
            return int(text)
        case Kind.AGE | Kind.DURATION:
            return _micros(term, text)
        case Kind.WORD if term.op in _CONTAINS:
            return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"
        case _:
            return text


def _micros(term: Term, text: str) -> int:
    try:
        seconds = float(str(parse_duration(text)))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _CENTURY:
        raise _bad(f"`{term.source}`: {term.field} takes a time such as 90s, 5m, 2h or 3d")
    return int(seconds * SECOND)


def _clause(op: str, field: Field, names: list[str], now: str) -> sa.ColumnElement[bool]:
    if op in _ORDERS:
        return _order(op, field, names[0], now)
    found = sa.or_(*(_equal(op, field, column, names) for column in field.columns))
    return sa.not_(found) if op.startswith("!") else found


def _equal(op: str, field: Field, column: sa.ColumnElement[Any], names: list[str]) -> sa.ColumnElement[bool]:
    if field.kind is Kind.NUMBER:
        return column.in_([bindparam(name) for name in names])
    # Without coalesce an empty column would be neither equal nor unequal, and vanish from both lists.
    known = sa.func.coalesce(column, "")
    if op in _CONTAINS or field.kind is Kind.START:
        return sa.or_(*(known.ilike(bindparam(name), escape="\\") for name in names))
    found: sa.ColumnElement[bool] = known.in_([bindparam(name) for name in names])
    if field.kind is Kind.PERSON:
        people = schema.principals
        named = sa.select(people.c.id).where(people.c.name.in_([bindparam(name) for name in names]))
        return sa.or_(found, known.in_(named))
    return found


def _order(op: str, field: Field, name: str, now: str) -> sa.ColumnElement[bool]:
    value: sa.BindParameter[int] = bindparam(name)
    if field.kind is Kind.AGE:
        # Younger than an age is later than a moment: the operator turns round.
        return field.columns[0].op({"<": ">", ">": "<", "<=": ">=", ">=": "<="}[op], is_comparison=True)(
            value
        )
    start, end = field.columns
    return (sa.func.coalesce(end, bindparam(now)) - start).op(op, is_comparison=True)(value)
