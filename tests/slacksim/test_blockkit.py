"""What Slack refuses of Block Kit is refused here, in its words and with the place."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.slacksim.conftest import section

from dg.slacksim.blockkit import check_blocks, check_view, text_length, with_ids


def plain(text: str = "x") -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def marked(text: str = "x") -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": "go", "text": plain("Go"), **more}


def option(value: str = "v", text: str = "x") -> dict[str, Any]:
    return {"text": plain(text), "value": value}


def select(**more: Any) -> dict[str, Any]:
    return {"type": "static_select", "action_id": "pick", "options": [option()], **more}


def actions(*elements: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


def asked(element: dict[str, Any]) -> dict[str, Any]:
    return {"type": "input", "label": plain(), "element": element}


CONFIRM = {"title": plain(), "text": marked(), "confirm": plain(), "deny": plain()}

GOOD: list[Any] = [
    [],
    [section()],
    [section("x" * 3000)] * 50,
    [{"type": "section", "fields": [marked("x" * 2000)] * 10}],
    [{"type": "section", "text": marked(), "accessory": button(confirm=CONFIRM)}],
    [{"type": "header", "text": plain("x" * 150)}, {"type": "divider"}],
    [{"type": "context", "elements": [marked(), plain()]}],
    [actions(*(button(action_id=f"b{number}", value="v" * 2000) for number in range(25)))],
    [actions(select(initial_option=option(), placeholder=plain()), button(url="https://x.example"))],
    [actions({"type": "overflow", "action_id": "o", "options": [option()]})],
    [asked({"type": "plain_text_input", "action_id": "t", "min_length": 1, "max_length": 3000})],
    [asked({"type": "radio_buttons", "options": [{"text": marked(), "value": "v"}]})],
    [{"type": "image", "image_url": "https://x.example/i.png", "alt_text": "x"}],
    [{"type": "table", "rows": [[{"type": "raw_text", "text": ""}] * 20] * 100}],
    [{"type": "markdown", "text": "# x"}],
    [
        {
            "type": "rich_text",
            "elements": [
                {"type": "rich_text_section", "elements": [{"type": "text", "text": "x"}]},
                {
                    "type": "rich_text_list",
                    "style": "bullet",
                    "elements": [{"type": "rich_text_section", "elements": []}],
                },
            ],
        }
    ],
]

BAD: list[tuple[Any, str]] = [
    ("text", "must be an array [json-pointer:/blocks]"),
    ([section()] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
    ([1], "must be an object [json-pointer:/blocks/0]"),
    ([{}], "missing required field: type [json-pointer:/blocks/0]"),
    ([{"type": "sektion"}], "unsupported type: sektion [json-pointer:/blocks/0/type]"),
    ([{"type": []}], "unsupported type: [] [json-pointer:/blocks/0/type]"),
    ([section("x" * 3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
    ([section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
    ([{"type": "section"}], "missing required field: text [json-pointer:/blocks/0]"),
    ([section() | {"colour": "red"}], "invalid additional property: colour [json-pointer:/blocks/0]"),
    ([{"type": "section", "text": {"type": "html", "text": "x"}}], "unsupported type: html"),
    ([{"type": "section", "text": marked() | {"emoji": True}}], "invalid additional property: emoji"),
    ([{"type": "section", "text": {"type": "mrkdwn"}}], "missing required field: text"),
    ([{"type": "section", "text": {"type": "mrkdwn", "text": 1}}], "must be a string"),
    ([{"type": "section", "fields": [marked()] * 11}], "no more than 10 items allowed"),
    ([{"type": "section", "fields": [marked("x" * 2001)]}], "must be less than 2001 characters"),
    ([{"type": "section", "fields": []}], "no fewer than 1 items allowed"),
    ([{"type": "header", "text": plain("x" * 151)}], "must be less than 151 characters"),
    ([{"type": "header", "text": marked()}], "unsupported type: mrkdwn"),
    ([{"type": "context", "elements": [marked()] * 11}], "no more than 10 items allowed"),
    ([{"type": "context", "elements": [button()]}], "unsupported type: button"),
    ([actions()], "no fewer than 1 items allowed"),
    ([actions(*[button()] * 26)], "no more than 25 items allowed"),
    (
        [actions(button(), button())],
        "action_id already exists: go [json-pointer:/blocks/0/elements/1/action_id]",
    ),
    ([actions(button(text=marked()))], "unsupported type: mrkdwn"),
    ([actions(button(text=plain("x" * 76)))], "must be less than 76 characters"),
    ([actions(button(value="x" * 2001))], "must be less than 2001 characters"),
    ([actions(button(style="warning"))], "must be one of: primary, danger"),
    ([actions(button(url="javascript:alert(1)"))], "invalid url"),
    ([actions(button(action_id="x" * 256))], "must be less than 256 characters"),
    ([actions({"type": "button", "action_id": "x"})], "missing required field: text"),
    ([actions(button(confirm={"title": plain()}))], "missing required field: deny"),
    ([actions(button(confirm=CONFIRM | {"deny": plain("x" * 31)}))], "must be less than 31 characters"),
    ([actions(select(options=[option(str(n)) for n in range(101)]))], "no more than 100 items allowed"),
    ([actions(select(options=[option("x" * 151)]))], "must be less than 151 characters"),
    ([actions(select(options=[option(text="x" * 76)]))], "must be less than 76 characters"),
    ([actions(select(initial_option=option("other")))], "initial option is not one of the options"),
    ([actions(select(option_groups=[]))], "must provide exactly one of: options, option_groups"),
    ([actions({"type": "overflow", "options": [option(str(n)) for n in range(6)]})], "no more than 5 items"),
    ([actions({"type": "checkboxes", "options": [option(str(n)) for n in range(11)]})], "no more than 10"),
    ([actions({"type": "plain_text_input"})], "unsupported type: plain_text_input"),
    ([actions({"type": "datepicker", "initial_date": "1.1.2026"})], "must be a date as YYYY-MM-DD"),
    ([asked(button())], "unsupported type: button"),
    ([asked({"type": "plain_text_input", "max_length": 3001})], "must be between 1 and 3000"),
    (
        [asked({"type": "plain_text_input", "min_length": 9, "max_length": 3})],
        "must be no more than max_length",
    ),
    ([asked({"type": "plain_text_input", "initial_value": "abc", "max_length": 2})], "must be less than 3"),
    ([section() | {"block_id": "a"}, section() | {"block_id": "a"}], "block_id already exists: a"),
    ([{"type": "image", "alt_text": "x"}], "must provide exactly one of: image_url, slack_file"),
    ([{"type": "image", "image_url": "https://x.example/i.png"}], "missing required field: alt_text"),
    ([{"type": "table", "rows": [[]]}], "no fewer than 1 items allowed"),
    ([{"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]}] * 2, "only_one_table_allowed"),
    ([{"type": "markdown", "text": "x" * 6001}] * 2, "markdown text must be less than 12001 characters"),
]

VIEW = {"type": "modal", "title": plain(), "blocks": [section()]}
BAD_VIEWS: list[tuple[Any, str]] = [
    ([], "must be an object [json-pointer:/view]"),
    ({"type": "dialog"}, "unsupported type: dialog [json-pointer:/view/type]"),
    ({"type": "home", "blocks": []}, "unsupported type: home"),
    ({"type": "modal", "blocks": []}, "missing required field: title"),
    (VIEW | {"title": plain("x" * 25)}, "must be less than 25 characters [json-pointer:/view/title/text]"),
    (VIEW | {"submit": marked()}, "unsupported type: mrkdwn"),
    (VIEW | {"private_metadata": "x" * 3001}, "must be less than 3001 characters"),
    (VIEW | {"callback_id": "x" * 256}, "must be less than 256 characters"),
    (VIEW | {"blocks": [section()] * 101}, "no more than 100 items allowed [json-pointer:/view/blocks]"),
    (VIEW | {"blocks": [asked({"type": "plain_text_input"})]}, "missing required field: submit"),
    (VIEW | {"blocks": [{"type": "markdown", "text": "x"}]}, "unsupported type: markdown"),
    (VIEW | {"more": 1}, "invalid additional property: more"),
]


@pytest.mark.parametrize("blocks", GOOD, ids=range(len(GOOD)))
def test_what_slack_takes_is_taken(blocks: Any) -> None:
    assert check_blocks(blocks) == []


@pytest.mark.parametrize(("blocks", "problem"), BAD, ids=range(len(BAD)))
def test_what_slack_refuses_is_refused(blocks: Any, problem: str) -> None:
    assert [each for each in check_blocks(blocks) if each.startswith(problem)], check_blocks(blocks)


@pytest.mark.parametrize(("view", "problem"), BAD_VIEWS, ids=range(len(BAD_VIEWS)))
def test_a_wrong_view_is_refused(view: Any, problem: str) -> None:
    assert [each for each in check_view(view) if each.startswith(problem)], check_view(view)


def test_a_good_view_is_taken() -> None:
    assert check_view(VIEW) == []
    assert check_view({"type": "home", "blocks": [section()] * 100}, ("home",)) == []


def test_a_report_does_not_grow_with_the_payload() -> None:
    assert len(check_blocks([actions(*({str(n): n} for n in range(25)))] * 50)) == 100


def test_nesting_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    assert check_blocks([{"type": "section", "text": deep}]) == [
        "is nested too deeply [json-pointer:/blocks]"
    ]


def test_what_has_no_id_is_given_one() -> None:
    numbers = iter("abcd")
    blocks = with_ids(
        [section(), actions(button(), {"type": "button", "text": plain()})], lambda: next(numbers)
    )
    assert [each["block_id"] for each in blocks] == ["a", "b"]
    assert [each["action_id"] for each in blocks[1]["elements"]] == ["go", "c"]


def test_all_texts_count_for_the_length_of_a_message() -> None:
    assert text_length([section("abc"), actions(button(), select())]) == 3 + 2 + 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "elements", "element", "options", "fields", "block_id", "action_id", "rows"]
            ),
            inner | st.sampled_from(["section", "actions", "button", "static_select", "mrkdwn", "rich_text"]),
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(JSON)
def test_any_payload_gets_an_answer(payload: Any) -> None:
    for problem in (*check_blocks(payload), *check_view(payload), *check_view(payload, ("home",))):
        assert "[json-pointer:/" in problem
    if check_blocks(payload) == []:
        numbers = map(str, itertools.count())
        assert check_blocks(with_ids(payload, lambda: f"new {next(numbers)}")) == []
