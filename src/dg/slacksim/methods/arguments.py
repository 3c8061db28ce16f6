"""The arguments of a call, which come as a form or as JSON and mean the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dg.slacksim.errors import SlackError, wrong

Json = dict[str, Any]
DEFAULT_PAGE = 100
LARGEST_PAGE = 999


class Arguments:
    """Reads one call's arguments. Every reader raises SlackError in Slack's words."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def has(self, name: str) -> bool:
        return self.values.get(name) not in (None, "")

    def text(self, name: str) -> str:
        """A required word."""
        value = self.optional(name)
        if not value:
            raise wrong("invalid_arguments", [f"missing required field: {name}"])
        return value

    def optional(self, name: str, default: str = "") -> str:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise wrong("invalid_arguments", [f"must be a string [json-pointer:/{name}]"])
        return str(value)

    def flag(self, name: str, default: bool = False) -> bool:
        match self.values.get(name):
            case None | "":
                return default
            case bool() as value:
                return value
            case "true" | "True" | "1" | 1:
                return True
            case "false" | "False" | "0" | 0:
                return False
        raise wrong("invalid_arguments", [f"must be a boolean [json-pointer:/{name}]"])

    def number(self, name: str, default: int, most: int) -> int:
        text = self.optional(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or not 0 < int(text) <= most:
            raise wrong("invalid_arguments", [f"must be between 1 and {most} [json-pointer:/{name}]"])
        return int(text)

    def moment(self, name: str) -> float | None:
        """A ts as a number, where one is given."""
        text = self.optional(name)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise SlackError(f"invalid_ts_{name}") from None
        if not 0 <= value < 1e11:
            raise SlackError(f"invalid_ts_{name}")
        return value

    def structure(self, name: str, error: str) -> Any:
        """An argument that is JSON, in a form as text; None when it is not given."""
        value = self.values.get(name)
        if isinstance(value, str):
            if not value:
                return None
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                raise SlackError(error) from None
        return value

    def page(self, found: list[Any]) -> tuple[list[Any], Json]:
        """The part of a list that `limit` and `cursor` ask for, and what the answer says of the rest."""
        limit = self.number("limit", DEFAULT_PAGE, LARGEST_PAGE)
        start = self._start()
        more = start + limit < len(found)
        cursor = f"next:{start + limit}" if more else ""
        return found[start : start + limit], {"response_metadata": {"next_cursor": cursor}}

    def _start(self) -> int:
        cursor = self.optional("cursor")
        if not cursor:
            return 0
        number = cursor.removeprefix("next:")
        if number == cursor or not (number.isascii() and number.isdigit()) or len(number) > 6:
            raise SlackError("invalid_cursor")
        return int(number)
