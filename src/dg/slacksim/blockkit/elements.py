"""The elements of Block Kit: buttons, selects, inputs, images and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dg.slacksim.blockkit.checks import (
    Check,
    Choice,
    Report,
    Shape,
    any_text,
    array,
    at_least_one,
    boolean,
    exactly_one,
    image_url,
    integer,
    one_of,
    plain_text,
    shape,
    string,
    url,
)

STYLE = one_of("primary", "danger")
ID = string(255)
SLACK_ID = string(64, pattern=r"[A-Z0-9]+\Z", problem="invalid id")

CONFIRM = Shape(
    {
        "title": plain_text(100),
        "text": any_text(300),
        "confirm": plain_text(30),
        "deny": plain_text(30),
        "style": STYLE,
    },
    ("title", "text", "confirm", "deny"),
)
SLACK_FILE = Shape({"id": ID, "url": url}, (), (exactly_one("id", "url"),))


def _option(text: Check) -> Shape:
    fields = {"text": text, "value": string(150), "description": text, "url": url}
    return Shape(fields, ("text", "value"))


OPTION = _option(plain_text(75))
MARKED_OPTION = _option(any_text(75))
OPTIONS = array(OPTION, 100)
OPTION_GROUPS = array(Shape({"label": plain_text(75), "options": OPTIONS}, ("label", "options")), 100)


def offered(element: Mapping[str, Any]) -> list[Any]:
    """Every option of a select, those in groups too."""
    groups = element.get("option_groups")
    found = list(element["options"]) if isinstance(element.get("options"), list) else []
    for group in groups if isinstance(groups, list) else []:
        if isinstance(group, dict) and isinstance(group.get("options"), list):
            found.extend(group["options"])
    return found


def _initial_is_offered(value: Any, pointer: str, report: Report) -> None:
    chosen = [value["initial_option"]] if "initial_option" in value else value.get("initial_options", [])
    name = "initial_option" if "initial_option" in value else "initial_options"
    if isinstance(chosen, list) and any(each not in offered(value) for each in chosen):
        report.add("initial option is not one of the options", f"{pointer}/{name}")


def _lengths_are_in_order(value: Any, pointer: str, report: Report) -> None:
    least, most = value.get("min_length", 0), value.get("max_length", 3000)
    initial = value.get("initial_value", "")
    if not (isinstance(least, int) and isinstance(most, int) and isinstance(initial, str)):
        return
    if least > most:
        report.add("must be no more than max_length", f"{pointer}/min_length")
    if len(initial) > most:
        report.add(f"must be less than {most + 1} characters", f"{pointer}/initial_value")


_ACTION: Mapping[str, Check] = {"action_id": ID}
_ASKING: Mapping[str, Check] = {**_ACTION, "confirm": CONFIRM}
_FIELD: Mapping[str, Check] = {**_ACTION, "placeholder": plain_text(150), "focus_on_load": boolean}
_SELECT: Mapping[str, Check] = {**_FIELD, "confirm": CONFIRM}
_MANY: Mapping[str, Check] = {"max_selected_items": integer(1, 100)}
_DISPATCH = Shape(
    {"trigger_actions_on": array(one_of("on_enter_pressed", "on_character_entered"), 2)},
)
_TYPED: Mapping[str, Check] = {
    **_FIELD,
    "initial_value": string(3000, 0),
    "dispatch_action_config": _DISPATCH,
}
_FILTER = Shape(
    {
        "include": array(one_of("im", "mpim", "private", "public"), 4),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
    (),
    (at_least_one("include", "exclude_external_shared_channels", "exclude_bot_users"),),
)
_STATIC: Mapping[str, Check] = {**_SELECT, "options": OPTIONS, "option_groups": OPTION_GROUPS}
_ONE_LIST = exactly_one("options", "option_groups")
_NUMBER = string(64, pattern=r"-?\d+(\.\d+)?\Z", problem="must be a number")
_DATE = string(10, pattern=r"\d{4}-\d{2}-\d{2}\Z", problem="must be a date as YYYY-MM-DD")
_TIME = string(5, pattern=r"([01]\d|2[0-3]):[0-5]\d\Z", problem="must be a time as HH:mm")


def _picked(
    kind: str, initial: str, check: Check, more: Mapping[str, Check] | None = None
) -> Mapping[str, Shape]:
    """A select of people or conversations, and the one that takes several."""
    extra = more or {}
    many = {**_SELECT, **_MANY, **extra, f"{initial}s": array(check, 100)}
    return {
        f"{kind}_select": shape(f"{kind}_select", {**_SELECT, **extra, initial: check}),
        f"multi_{kind}_select": shape(f"multi_{kind}_select", many),
    }


_CONVERSATION: Mapping[str, Check] = {
    "default_to_current_conversation": boolean,
    "response_url_enabled": boolean,
    "filter": _FILTER,
}

IMAGE = shape(
    "image",
    {"image_url": image_url, "slack_file": SLACK_FILE, "alt_text": string(2000)},
    ("alt_text",),
    exactly_one("image_url", "slack_file"),
)
BUTTON = shape(
    "button",
    {
        **_ASKING,
        "text": plain_text(75),
        "value": string(2000),
        "url": url,
        "style": STYLE,
        "accessibility_label": string(75),
    },
    ("text",),
)
SELECTS: Mapping[str, Shape] = {
    "static_select": shape(
        "static_select", {**_STATIC, "initial_option": OPTION}, (), _ONE_LIST, _initial_is_offered
    ),
    "multi_static_select": shape(
        "multi_static_select",
        {**_STATIC, **_MANY, "initial_options": OPTIONS},
        (),
        _ONE_LIST,
        _initial_is_offered,
    ),
    "external_select": shape(
        "external_select", {**_SELECT, "initial_option": OPTION, "min_query_length": integer(0, 3000)}
    ),
    "multi_external_select": shape(
        "multi_external_select",
        {**_SELECT, **_MANY, "initial_options": OPTIONS, "min_query_length": integer(0, 3000)},
    ),
    **_picked("users", "initial_user", SLACK_ID),
    **_picked("conversations", "initial_conversation", SLACK_ID, _CONVERSATION),
    **_picked("channels", "initial_channel", SLACK_ID, {"response_url_enabled": boolean}),
}
MULTIPLE = frozenset(name for name in SELECTS if name.startswith("multi_"))
TICKED: Mapping[str, Shape] = {
    "checkboxes": shape(
        "checkboxes",
        {
            **_ASKING,
            "focus_on_load": boolean,
            "options": array(MARKED_OPTION, 10),
            "initial_options": array(MARKED_OPTION, 10),
        },
        ("options",),
        _initial_is_offered,
    ),
    "radio_buttons": shape(
        "radio_buttons",
        {
            **_ASKING,
            "focus_on_load": boolean,
            "options": array(MARKED_OPTION, 10),
            "initial_option": MARKED_OPTION,
        },
        ("options",),
        _initial_is_offered,
    ),
}
OVERFLOW = shape("overflow", {**_ASKING, "options": array(OPTION, 5)}, ("options",))
PICKERS: Mapping[str, Shape] = {
    "datepicker": shape("datepicker", {**_SELECT, "initial_date": _DATE}),
    "timepicker": shape("timepicker", {**_SELECT, "initial_time": _TIME, "timezone": string(64)}),
    "datetimepicker": shape(
        "datetimepicker",
        {**_ASKING, "focus_on_load": boolean, "initial_date_time": integer(10**9, 10**10 - 1)},
    ),
}
TYPED: Mapping[str, Shape] = {
    "plain_text_input": shape(
        "plain_text_input",
        {**_TYPED, "multiline": boolean, "min_length": integer(0, 3000), "max_length": integer(1, 3000)},
        (),
        _lengths_are_in_order,
    ),
    "number_input": shape(
        "number_input",
        {
            **_TYPED,
            "is_decimal_allowed": boolean,
            "initial_value": _NUMBER,
            "min_value": _NUMBER,
            "max_value": _NUMBER,
        },
        ("is_decimal_allowed",),
    ),
    "email_text_input": shape("email_text_input", _TYPED),
    "url_text_input": shape("url_text_input", _TYPED),
}

_SINGLE = {name: each for name, each in SELECTS.items() if name not in MULTIPLE}
INTERACTIVE: Mapping[str, Check] = {
    "button": BUTTON,
    "overflow": OVERFLOW,
    **_SINGLE,
    **TICKED,
    **PICKERS,
}
IN_ACTIONS = Choice(INTERACTIVE)
IN_SECTION = Choice({**INTERACTIVE, **{name: SELECTS[name] for name in MULTIPLE}, "image": IMAGE})
IN_INPUT = Choice({**SELECTS, **TICKED, **PICKERS, **TYPED})
IN_CONTEXT = Choice({"image": IMAGE, **{name: any_text(3000) for name in ("plain_text", "mrkdwn")}})
