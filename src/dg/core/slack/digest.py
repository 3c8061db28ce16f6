"""Wants the daily digest of each channel that has one: once, whenever the server was killed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from dg.core.clock import SECOND, Clock, Ids, to_datetime
from dg.core.database import Database, Tx
from dg.core.jobs import Every, Job
from dg.core.outbox import store as outbox
from dg.core.slack.quiet import QuietHours
from dg.core.slack.routing import KIND, Place, Routes
from dg.settings.slack import SlackDigest

DIGEST = 8
"""How urgent it is: less than anything else."""
_LOOK = 20.0
_HOUR = 3600 * SECOND
_DAY = 24 * _HOUR
_LATE = 6 * _HOUR
"""One that could not be posted so long is left to the next, which tells of that day too."""
_MOST = 7 * _DAY


class Digests:
    """Looks again and again whether a digest is due: a run of a job that is lost is lost, a row is not."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        routes: Routes,
        settings: SlackDigest,
        quiet: QuietHours,
        wake: Callable[[], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._places = routes.digested
        self._at = time.fromisoformat(settings.at)
        self._zone = ZoneInfo(settings.timezone)
        self._quiet = quiet
        self._wake = wake

    def jobs(self) -> tuple[Job, ...]:
        """What asks for them; nothing where no channel has one."""
        return (Job("slack.digest", Every(_LOOK), self.look),) if self._places else ()

    async def look(self) -> None:
        """Want the digests that are due now, and not in quiet hours."""
        now = self._clock.micros()
        due = self._last(now)
        if now - due > _LATE or self._quiet.end(now) is not None:
            return
        places = await self._db.read(lambda tx: [each for each in self._places if _is_missing(tx, each, due)])

        def work(tx: Tx) -> None:
            for place in places:
                self._want(tx, place, due, now)

        if places:
            await self._db.write(work)
            self._wake()

    def _last(self, now: int) -> int:
        """The newest moment at which one was due."""
        local = to_datetime(now).astimezone(self._zone)
        due = datetime.combine(local.date(), self._at, self._zone)
        if due > local:
            due = datetime.combine(local.date() - timedelta(days=1), self._at, self._zone)
        return int(due.timestamp()) * SECOND

    def _want(self, tx: Tx, place: Place, due: int, now: int) -> None:
        if not _is_missing(tx, place, due):
            return
        since = max(_untold_since(tx, place, due), due - _MOST)
        outbox.put(
            tx,
            id=self._ids.new(),
            kind=KIND,
            key=_key(place),
            destination=place.destination,
            payload={
                "what": "digest",
                "channel": place.channel,
                "since": since,
                "until": due,
                "episode": due,
            },
            now=now,
            priority=DIGEST,
        )


def _key(place: Place) -> str:
    return f"{place.channel}:digest"


def _is_missing(tx: Tx, place: Place, due: int) -> bool:
    found = outbox.find(tx, KIND, _key(place))
    return found is None or found.payload["until"] < due


def _untold_since(tx: Tx, place: Place, due: int) -> int:
    """Since when nothing was told: one that is due still, or had nothing to say, becomes part of the next."""
    found = outbox.find(tx, KIND, _key(place))
    if found is None:
        return due - _DAY
    posted = "ts" in found.memory and found.memory.get("episode") == found.payload["episode"]
    return int(found.payload["until" if posted else "since"])
