"""What opens Slack for this server: read from the files or variables that the settings name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dg.core.deployments.secrets import exposed
from dg.core.errors import Refused
from dg.settings.slack import Slack

_LARGEST = 4096
_FORMS = {
    "bot_token": (re.compile(r"xoxb-[A-Za-z0-9-]{8,}"), "begins with xoxb-"),
    "app_token": (re.compile(r"xapp-[A-Za-z0-9-]{8,}"), "begins with xapp-"),
    "signing_secret": (re.compile(r"[A-Za-z0-9_-]{16,}"), "is 16 letters and digits or more"),
}
"""How each looks, so that one in another's place is found at the start."""


@dataclass(frozen=True, repr=False)
class SlackTokens:
    """Secrets of the app; empty where the mode needs none."""

    bot: str
    app: str = ""
    signing_secret: str = ""


def read_tokens(settings: Slack, home: Path, environ: Mapping[str, str]) -> SlackTokens:
    """The secrets that the mode of `settings` needs; relative paths are below `home`. Raises Refused."""

    def one(name: str) -> str:
        variable, file = getattr(settings, f"{name}_env"), getattr(settings, f"{name}_file")
        if variable is not None:
            text, where = environ.get(variable, ""), f"the variable {variable}"
        else:
            text, where = _content(name, home / file), str(home / file)
        form, looks = _FORMS[name]
        if not form.fullmatch(text := text.strip()):
            raise _refused(name, f"{where} holds none: it {looks}")
        return text

    if settings.mode == "http":
        return SlackTokens(one("bot_token"), signing_secret=one("signing_secret"))
    return SlackTokens(one("bot_token"), app=one("app_token"))


def _content(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            if problem := exposed(path, os.fstat(file.fileno())):
                raise _refused(name, f"{path} {problem}")
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError as error:
        raise _refused(name, f"{path} cannot be read: {error.strerror}") from None


def hidden_variables(settings: Slack) -> frozenset[str]:
    """Names of the variables that hold secrets: no step may see them, whatever its pipeline passes on."""
    named = (settings.bot_token_env, settings.app_token_env, settings.signing_secret_env)
    return frozenset(name for name in named if name)


def _refused(name: str, what: str) -> Refused:
    return Refused(f"slack.{name}: {what}", reason="slack")
