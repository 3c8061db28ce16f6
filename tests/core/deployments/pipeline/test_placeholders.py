"""Facts about placeholders."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.deployments.pipeline.placeholders import (
    check,
    check_shell,
    names,
    substitute,
    substitute_shell,
    variable,
)
from dg.core.errors import Invalid

SHA = "0123456789abcdef0123456789abcdef01234567"
VALUES = {"sha": SHA, "version": "1.2", "env.domain": "example.com"}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("acme/web:{sha}", f"acme/web:{SHA}"),
        ("{version}{version}", "1.21.2"),
        ("https://{env.domain}/", "https://example.com/"),
        ('{{"version": "{version}"}}', '{"version": "1.2"}'),
        ("{{{version}}}", "{1.2}"),
        ("{{sha}}", "{sha}"),
        ("{outputs.image}@{version}", "{outputs.image}@1.2"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_templates_are_filled(template: str, filled: str) -> None:
    assert check(template, outputs=True) == template
    assert substitute(template, VALUES) == filled


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{", "lone `{`; write `{{`"),
        ("a}", "lone `}`"),
        ("{sha", "lone `{`"),
        ("{}", "unknown placeholder `{}`; known are {sha}"),
        ("{ sha }", "unknown placeholder"),
        ("{SHA}", "unknown placeholder"),
        ("{ref}", "unknown placeholder `{ref}`"),
        ("{env.}", "unknown placeholder"),
        ("{env.Domain}", "unknown placeholder"),
        ("{env.a.b}", "unknown placeholder"),
        ("{version!r}", "unknown placeholder"),
        ("{sha:>10}", "unknown placeholder"),
        ("{0}", "unknown placeholder"),
        ("{outputs.image}", "may not use `{outputs.image}`"),
        ("{sha.__class__}", "unknown placeholder"),
        ("{{outputs.image}}", "may not hold a literal"),
        ("{\x1b[2J}", "unknown placeholder `{␛[2J}`"),
    ],
)
def test_other_braces_are_refused_with_what_is_known(template: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        check(template, outputs=False)


@pytest.mark.parametrize(
    "text",
    [
        "kamal deploy --version {sha}",
        "echo ${sha} ${version} {a,b} {1..3}; awk '{print $1}'; { true; }",
        "curl -d '{\"a\": 1}' x; f() { echo {} {{}} }",
    ],
)
def test_braces_of_a_shell_are_its_own(text: str) -> None:
    assert check_shell(text) == text
    assert substitute_shell(text, SHA) == text.replace(" {sha}", f" {SHA}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("version", '"$DG_VERSION"'),
        ("id", '"$DG_ID"'),
        ("env.domain", '"$DG_ENV_DOMAIN"'),
        ("outputs.image", '"$DG_OUTPUT_IMAGE"'),
    ],
)
def test_a_value_never_becomes_shell_code(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_shell(f"deploy {{{name}}}")
    assert f'"${variable(name)}"' == said


def test_a_missing_value_is_named() -> None:
    with pytest.raises(Invalid, match=re.escape("`{env.other}` has no value")):
        substitute("{env.other}", VALUES)


@pytest.mark.parametrize(
    ("template", "version"),
    [
        ("{version}", "{outputs.image}"),
        ("{version}{outputs.tag}", "x{outputs.image}"),
        ("{{{version}", "outputs.image}"),
        ("{{{version}s.image}}", "output"),
        ("{version}", "a\0b"),
    ],
)
def test_a_value_that_would_be_read_again_is_refused(template: str, version: str) -> None:
    assert check(template, outputs=True) == template
    with pytest.raises(Invalid):
        substitute(template, {"version": version})


@given(st.text(st.characters(exclude_characters="\0")))
def test_a_hostile_value_stands_for_itself_or_is_refused(value: str) -> None:
    values = {"version": value, "sha": SHA}
    try:
        filled = substitute("<{version}|{sha}|{outputs.a}>", values)
    except Invalid:
        assert "{outputs." in value
    else:
        assert filled == f"<{value}|{SHA}|{{outputs.a}}>"


PIECES = st.lists(
    st.sampled_from(["{{", "}}", "{sha}", "{version}", "{outputs.a}", "{", "}", "a", "outputs.", "s.a"])
)


@given(PIECES, st.sampled_from(["{", "}", "{outputs.", "outputs.b}", "output", "{sha}", "{{", "plain"]))
def test_no_combination_makes_a_new_placeholder_for_the_runner(pieces: list[str], value: str) -> None:
    template = "".join(pieces)
    try:
        filled = substitute(check(template, outputs=True), {"sha": SHA, "version": value})
    except (ValueError, Invalid):
        return
    meant = [name for name in names(template) if name.startswith("outputs.")]
    assert re.findall(r"\{(outputs\.[a-z][a-z0-9_]*)\}", filled) == meant
