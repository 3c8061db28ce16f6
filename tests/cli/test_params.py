"""Times and words as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from dg.cli.params import ENVIRONMENT, ROLE, Span, moment_of
from dg.core.access.models import Role
from dg.core.types import Environment
from dg.settings.units import seconds_of

BERLIN = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 26, 8, 30, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-27T09:00Z", datetime(2026, 11, 27, 9, 0, tzinfo=UTC)),
        ("2026-11-27 09:00", datetime(2026, 11, 27, 9, 0, tzinfo=BERLIN)),
        ("09:00", datetime(2026, 11, 26, 9, 0, tzinfo=BERLIN)),
        ("8:00", datetime(2026, 11, 27, 8, 0, tzinfo=BERLIN)),
        ("2h", datetime(2026, 11, 26, 10, 30, tzinfo=BERLIN)),
        ("+1d30m", datetime(2026, 11, 27, 9, 0, tzinfo=BERLIN)),
        ("25:00", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_a_moment_is_what_a_person_means(text: str, moment: datetime | None) -> None:
    assert moment_of(text, NOW) == moment


@pytest.mark.parametrize("span", ["90s", "1h30m", "30m1h", "500ms", "2d", "1h 30m"])
def test_a_span_is_one_that_settings_can_hold(span: str) -> None:
    assert seconds_of(Span().convert(span, None, None)) == seconds_of(span)


@pytest.mark.parametrize("span", ["", "2", "h", "2 weeks", "-1h", "1h-"])
def test_other_spans_are_refused(span: str) -> None:
    with pytest.raises(click.BadParameter):
        Span().convert(span, None, None)


def test_words_may_be_shortened_while_they_are_clear() -> None:
    assert ENVIRONMENT.convert("prod", None, None) is Environment.PRODUCTION
    assert ENVIRONMENT.convert("STAGING", None, None) is Environment.STAGING
    with pytest.raises(click.BadParameter, match="development, staging, production"):
        ENVIRONMENT.convert("x", None, None)


def test_a_role_may_be_shortened_or_one_that_only_the_server_knows() -> None:
    assert ROLE.convert("v", None, None) == Role.VIEWER
    assert ROLE.convert("releaser", None, None) == "releaser"
    assert ROLE.convert("a", None, None) == "a"
