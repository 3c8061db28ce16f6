"""What each key of the access screen changes, by what is under the cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dg.tui.access import issuing, logins, revoking, roles, webhooks
from dg.tui.access.reading import Seen
from dg.tui.actions import Act
from dg.tui.offers import Offer, Offers, any_row


@dataclass(frozen=True)
class At:
    """What was read, and the moment in microseconds."""

    seen: Seen
    now: int

    @property
    def session(self) -> str | None:
        """The session that one comes with."""
        return self.seen.principal.session if self.seen.principal else None

    def owns(self, person: str) -> bool:
        """Whether that is oneself."""
        return self.seen.principal is not None and self.seen.principal.id == person


def _stands(_: At, row: Any) -> bool:
    return row.revoked_at is None


def _live(at: At, row: Any) -> bool:
    return not row.is_over(at.now)


def _own_role(_: At, row: Any) -> bool:
    return not row.given


def _end_session(at: At, row: Any) -> Act:
    return revoking.end_session(row, at.now, own=at.owns(row.person), used=row.id == at.session)


def _end_sessions(at: At, row: Any) -> Act:
    return revoking.end_sessions(row, at.seen.sessions, at.now, own=at.owns(row.person))


OFFERS: Offers = {
    "add": {
        "sessions": Offer(lambda at, row: logins.let_in(at.now, signed_in=at.session is not None)),
        "keys": Offer(lambda at, row: issuing.make_key(at.now)),
        "tokens": Offer(lambda at, row: issuing.make_token(at.now)),
        "bindings": Offer(lambda at, row: roles.give_role(at.now)),
        "roles": Offer(lambda at, row: roles.make_role()),
        "webhooks": Offer(lambda at, row: webhooks.create()),
        "slack": Offer(lambda at, row: logins.link_account()),
    },
    "deny": {"sessions": Offer(lambda at, row: logins.turn_away(at.now, signed_in=at.session is not None))},
    "edit": {
        "roles": Offer(lambda at, row: roles.edit_role(row), _own_role),
        "webhooks": Offer(lambda at, row: webhooks.update(row), any_row),
    },
    "rotate": {
        "keys": Offer(lambda at, row: issuing.rotate_key(row, at.now), _stands),
        "webhooks": Offer(lambda at, row: webhooks.rotate(row), any_row),
    },
    "pause": {"webhooks": Offer(lambda at, row: webhooks.pause(row), any_row)},
    "test": {"webhooks": Offer(lambda at, row: webhooks.test(row), any_row, at_once=True)},
    "revoke": {
        "sessions": Offer(_end_session, _live),
        "keys": Offer(lambda at, row: revoking.revoke_key(row, at.now), _stands),
        "tokens": Offer(lambda at, row: revoking.revoke_token(row, at.now), _stands),
        "bindings": Offer(lambda at, row: revoking.end_binding(row, at.now), _stands),
        "roles": Offer(lambda at, row: revoking.delete_role(row, at.now), _own_role),
        "webhooks": Offer(lambda at, row: webhooks.delete(row), any_row),
        "slack": Offer(lambda at, row: revoking.unlink(row, at.now, own=at.owns(row.person)), any_row),
    },
    "end_all": {"sessions": Offer(_end_sessions, _live)},
}
"""By the name of the key's action, then by page."""
