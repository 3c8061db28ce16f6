"""The tokens as they are now: the bot reads their files again, so that a new token needs no restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from dg.core.errors import Refused
from dg.core.slack.tokens import SlackTokens, read_tokens
from dg.settings import Settings

log = logging.getLogger(__name__)


class Credentials:
    """What opens Slack. Raises Refused where the settings name none."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._problem = ""
        self.now = self._read()

    async def changed(self) -> bool:
        """Read them again: whether they are others than before. What cannot be read changes nothing."""
        try:
            found = await asyncio.to_thread(self._read)
        except Refused as problem:
            if self._problem != problem.message:
                log.warning("the tokens of before stay: %s", problem.message)
            self._problem = problem.message
            return False
        before, self.now, self._problem = self.now, found, ""
        return found != before

    def _read(self) -> SlackTokens:
        return read_tokens(self._settings.slack, self._settings.home, self._environ)
