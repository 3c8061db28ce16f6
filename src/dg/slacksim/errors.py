"""What a call is refused with, in Slack's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class SlackError(Exception):
    """`code` is Slack's word; `more` goes beside it in the answer."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.more: Mapping[str, Any] = more

    def body(self) -> dict[str, Any]:
        return {"ok": False, "error": self.code, **self.more}


def wrong(code: str, problems: Sequence[str]) -> SlackError:
    """A refusal that lists what is wrong, as `invalid_blocks` and `invalid_arguments` do."""
    messages = [f"[ERROR] {each}" for each in problems]
    return SlackError(code, errors=list(problems), response_metadata={"messages": messages})


class Impossible(Exception):
    """What a person was to do cannot be done in Slack: no such button, a required field is empty, ..."""
