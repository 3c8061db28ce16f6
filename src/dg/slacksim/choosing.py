"""What a person enters into the elements of a message or a view, as payloads have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dg.slacksim.blockkit.blocks import elements_of
from dg.slacksim.blockkit.elements import offered
from dg.slacksim.errors import Impossible

Json = dict[str, Any]
Choice = str | int | Sequence[str] | None
"""A text, an option's value, an id, a date, or several of them; None for nothing."""

MOST_ENTERED = 20_000

ONE = {
    "users_select": "selected_user",
    "conversations_select": "selected_conversation",
    "channels_select": "selected_channel",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
    "plain_text_input": "value",
    "number_input": "value",
    "email_text_input": "value",
    "url_text_input": "value",
}
SEVERAL = {
    "multi_users_select": "selected_users",
    "multi_conversations_select": "selected_conversations",
    "multi_channels_select": "selected_channels",
}
OPTION = {"static_select", "external_select", "radio_buttons", "overflow"}
OPTIONS = {"multi_static_select", "multi_external_select", "checkboxes"}
INITIAL = {
    "selected_option": "initial_option",
    "selected_options": "initial_options",
    "selected_user": "initial_user",
    "selected_users": "initial_users",
    "selected_conversation": "initial_conversation",
    "selected_conversations": "initial_conversations",
    "selected_channel": "initial_channel",
    "selected_channels": "initial_channels",
    "selected_date": "initial_date",
    "selected_time": "initial_time",
    "selected_date_time": "initial_date_time",
    "value": "initial_value",
}


def field_of(kind: str) -> str | None:
    """The name that an element's value has in payloads; None for what keeps none."""
    if kind in ("button", "overflow"):
        return None
    if kind in OPTION:
        return "selected_option"
    if kind in OPTIONS:
        return "selected_options"
    return ONE.get(kind) or SEVERAL.get(kind)


def entered(element: Json, choice: Choice, options: Iterable[Json] = ()) -> Json:
    """What is in an element after a choice; `options` are those that the app suggested. Raises Impossible."""
    kind = element["type"]
    if len(str(choice)) > MOST_ENTERED:
        raise Impossible(f"more than {MOST_ENTERED:,} characters cannot be entered")
    if kind in OPTION:
        return {"selected_option": None if choice is None else _option(element, str(choice), options)}
    if kind in OPTIONS:
        return {"selected_options": [_option(element, each, options) for each in several(choice)]}
    if kind in SEVERAL:
        return {SEVERAL[kind]: several(choice)}
    if kind == "datetimepicker":
        return {"selected_date_time": None if choice is None else int(str(choice))}
    if kind in ONE:
        return {ONE[kind]: None if choice in (None, "") else str(choice)}
    raise Impossible(f"nothing can be entered into a {kind}")


def several(choice: Choice) -> list[str]:
    """A choice as a list."""
    if choice is None:
        return []
    return list(choice) if isinstance(choice, list | tuple) else [str(choice)]


def _option(element: Json, value: str, options: Iterable[Json]) -> Json:
    for each in [*offered(element), *options]:
        if isinstance(each, dict) and each.get("value") == value:
            return {"text": each["text"], "value": value}
    raise Impossible(f"{element.get('action_id')} has no option {value}")


def initial(element: Json) -> Json:
    """What is in an element before anybody touched it."""
    field = field_of(element["type"])
    if field is None:
        return {}
    empty: Any = [] if field.endswith("s") else None
    return {"type": element["type"], field: element.get(INITIAL[field], empty)}


def state(blocks: Iterable[Json], values: Mapping[str, Mapping[str, Json]]) -> dict[str, dict[str, Json]]:
    """The `state.values` of a payload: what was entered, else what was there from the beginning."""
    found: dict[str, dict[str, Json]] = {}
    for block in blocks:
        for _, element in elements_of(block):
            if field_of(element["type"]) is None:
                continue
            name, action = block["block_id"], element["action_id"]
            given = values.get(name, {}).get(action)
            found.setdefault(name, {})[action] = given or initial(element)
    return found


def unfit(block: Json, value: Json) -> str:
    """Why Slack does not let a form be submitted with this in an input block; empty when it does."""
    element = block["element"]
    content = value.get(field_of(element["type"]) or "")
    if content in (None, "", []):
        return "" if block.get("optional") else "is required"
    if element["type"] == "plain_text_input":
        return _unfit_length(element, str(content))
    if element["type"] == "number_input":
        return _unfit_number(element, str(content))
    return ""


def _unfit_length(element: Json, text: str) -> str:
    if len(text) < element.get("min_length", 0):
        return f"must be at least {element['min_length']} characters"
    if len(text) > element.get("max_length", 3000):
        return f"must be at most {element.get('max_length', 3000)} characters"
    return ""


def _unfit_number(element: Json, text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return "must be a number"
    if not element["is_decimal_allowed"] and not number.is_integer():
        return "must be a whole number"
    if "min_value" in element and number < float(element["min_value"]):
        return f"must be at least {element['min_value']}"
    if "max_value" in element and number > float(element["max_value"]):
        return f"must be at most {element['max_value']}"
    return ""


def entered_or_initial(element: Mapping[str, Any], state_: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What an element shows: what was entered, else what was there from the beginning."""
    return state_ or initial(dict(element))
