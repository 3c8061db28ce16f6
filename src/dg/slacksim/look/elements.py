"""The elements of Block Kit as HTML; their data attributes are what the page's script reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from dg.slacksim.choosing import entered_or_initial, field_of
from dg.slacksim.look.emoji import characters
from dg.slacksim.look.markup import Html, join, tag
from dg.slacksim.look.mrkdwn import Names, plain, rendered

Json = Mapping[str, Any]


def text(value: Json | None, names: Names) -> Html:
    """A text object."""
    if not value:
        return Html("")
    if value["type"] == "mrkdwn":
        return rendered(value["text"], names)
    return plain(value["text"], emoji=value.get("emoji", True))


def element(value: Json, names: Names, state: Json | None = None) -> Html:
    """One element with what was entered into it (`state` as in payloads)."""
    draw = DRAWN.get(value["type"])
    if draw is None:
        return tag("span", value["type"], class_="unknown")
    return draw(value, names, entered_or_initial(value, state))


def _shown(value: Json, class_: str) -> dict[str, Any]:
    """The attributes of what can be acted on."""
    return {"class_": class_, "data_action": value.get("action_id"), "data_type": value["type"]}


def _button(value: Json, names: Names, _state: Json) -> Html:
    class_ = f"button {value.get('style', '')}".strip()
    attributes = {**_shown(value, class_), "data_value": value.get("value"), "data_act": "click"}
    label = value.get("accessibility_label")
    if address := value.get("url"):
        attributes |= {"href": address, "target": "_blank", "rel": "noopener noreferrer nofollow"}
        drawn = tag("a", text(value["text"], names), aria_label=label, **attributes)
    else:
        drawn = tag("button", text(value["text"], names), type="button", aria_label=label, **attributes)
    return join(drawn, confirm(value, names))


def confirm(value: Json, names: Names) -> Html:
    """What is asked before an action, for the script to show."""
    asked = value.get("confirm")
    if not asked:
        return Html("")
    style = "danger" if asked.get("style") == "danger" else "primary"
    return tag(
        "template",
        tag("h2", text(asked["title"], names)),
        tag("p", text(asked["text"], names)),
        tag(
            "footer",
            tag("button", text(asked["deny"], names), type="button", class_="button", value="no"),
            tag(
                "button", text(asked["confirm"], names), type="button", class_=f"button {style}", value="yes"
            ),
        ),
        class_="confirm",
    )


def _options(value: Json, chosen: list[str], names: Names) -> Html:
    groups = value.get("option_groups")
    if groups is None:
        return join(_option(each, chosen) for each in value.get("options", []))
    return join(
        tag("optgroup", (_option(each, chosen) for each in group["options"]), label=group["label"]["text"])
        for group in groups
    )


def _option(value: Json, chosen: list[str]) -> Html:
    return tag(
        "option", characters(value["text"]["text"]), value=value["value"], selected=value["value"] in chosen
    )


def _placeholder(value: Json, otherwise: str) -> str:
    return str(value["placeholder"]["text"]) if value.get("placeholder") else otherwise


def _select(value: Json, options: Html, chosen: bool, names: Names, otherwise: str) -> Html:
    several = value["type"].startswith("multi_")
    empty = tag("option", _placeholder(value, otherwise), value="", selected=not chosen, disabled=True)
    shown = _shown(value, "select")
    label = _placeholder(value, otherwise)
    drawn = tag(
        "select",
        None if several else empty,
        options,
        multiple=several,
        data_act="choose",
        aria_label=label,
        **shown,
    )
    return join(drawn, confirm(value, names))


def _static_select(value: Json, names: Names, state: Json) -> Html:
    chosen = _values(state)
    return _select(value, _options(value, chosen, names), bool(chosen), names, "Select an item")


def _external_select(value: Json, names: Names, state: Json) -> Html:
    """A field that asks the app while one types."""
    chosen = state.get("selected_option")
    several = value["type"].startswith("multi_")
    return tag(
        "span",
        tag(
            "input",
            type="text",
            value=chosen["text"]["text"] if chosen else "",
            placeholder=_placeholder(value, "Search"),
            autocomplete="off",
            data_act="suggest",
            data_least=value.get("min_query_length", 3),
            data_chosen=chosen["value"] if chosen else None,
            data_several=several,
            **_shown(value, "select search"),
        ),
        tag("span", class_="suggestions", hidden=True),
        class_="external",
    )


def _values(state: Json) -> list[str]:
    """The values of the options that are chosen."""
    many = state.get("selected_options") or []
    one = state.get("selected_option")
    return [each["value"] for each in ([one] if one else many)]


def _people_select(
    known: Callable[[Names], Mapping[str, str]], sign: str
) -> Callable[[Json, Names, Json], Html]:
    def draw(value: Json, names: Names, state: Json) -> Html:
        current = state.get(field_of(value["type"]) or "") or []
        chosen = [current] if isinstance(current, str) else current
        options = join(
            tag("option", f"{sign}{name}", value=id_, selected=id_ in chosen)
            for id_, name in known(names).items()
        )
        return _select(value, options, bool(chosen), names, "Select")

    return draw


def _ticked(value: Json, names: Names, state: Json) -> Html:
    kind = "radio" if value["type"] == "radio_buttons" else "checkbox"
    chosen = _values(state)
    items = (
        tag(
            "label",
            tag(
                "input",
                type=kind,
                name=value.get("action_id"),
                value=each["value"],
                checked=each["value"] in chosen,
            ),
            tag("span", text(each["text"], names)),
            tag("small", text(each.get("description"), names)) if each.get("description") else None,
        )
        for each in value["options"]
    )
    return join(tag("span", items, data_act="tick", **_shown(value, "ticks")), confirm(value, names))


def _overflow(value: Json, names: Names, _state: Json) -> Html:
    items = (
        tag(
            "button", text(each["text"], names), type="button", data_choice=each["value"], data_act="overflow"
        )
        for each in value["options"]
    )
    menu = tag(
        "details",
        tag("summary", "⋯", aria_label="More"),
        tag("span", items, class_="menu"),
        **_shown(value, "overflow"),
    )
    return join(menu, confirm(value, names))


def _typed(kind: str) -> Callable[[Json, Names, Json], Html]:
    def draw(value: Json, names: Names, state: Json) -> Html:
        current = state.get("value") or ""
        common = {
            "placeholder": _placeholder(value, "") or None,
            "minlength": value.get("min_length"),
            "maxlength": value.get("max_length"),
            "data_act": "type",
            **_shown(value, "field"),
        }
        if value.get("multiline"):
            return tag("textarea", current, rows=4, **common)
        return tag("input", type=kind, value=current, **common)

    return draw


def _picked(kind: str, field: str) -> Callable[[Json, Names, Json], Html]:
    def draw(value: Json, names: Names, state: Json) -> Html:
        current = state.get(field)
        if kind == "datetime-local" and current is not None:
            current = f"{datetime.fromtimestamp(current, UTC):%Y-%m-%dT%H:%M}"
        drawn = tag(
            "input", type=kind, value=current or "", data_act="choose", **_shown(value, "field short")
        )
        return join(drawn, confirm(value, names))

    return draw


def image(value: Json, names: Names, _state: Json | None = None) -> Html:
    """The place of a picture: the page asks no other machine for anything."""
    return tag("span", "▧", tag("small", value["alt_text"]), class_="image", title=value.get("image_url"))


def _channels(names: Names) -> Mapping[str, str]:
    return names.channels


def _users(names: Names) -> Mapping[str, str]:
    return names.users


DRAWN: Mapping[str, Callable[[Json, Names, Json], Html]] = {
    "button": _button,
    "static_select": _static_select,
    "multi_static_select": _static_select,
    "external_select": _external_select,
    "multi_external_select": _external_select,
    "users_select": _people_select(_users, "@"),
    "multi_users_select": _people_select(_users, "@"),
    "channels_select": _people_select(_channels, "#"),
    "multi_channels_select": _people_select(_channels, "#"),
    "conversations_select": _people_select(_channels, "#"),
    "multi_conversations_select": _people_select(_channels, "#"),
    "checkboxes": _ticked,
    "radio_buttons": _ticked,
    "overflow": _overflow,
    "plain_text_input": _typed("text"),
    "number_input": _typed("text"),
    "email_text_input": _typed("email"),
    "url_text_input": _typed("url"),
    "datepicker": _picked("date", "selected_date"),
    "timepicker": _picked("time", "selected_time"),
    "datetimepicker": _picked("datetime-local", "selected_date_time"),
    "image": image,
}
