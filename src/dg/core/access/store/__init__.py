"""How tokens and the names of principals are kept: one plain function per statement."""

from dg.core.access.store.home import home_id, owner_tokens, set_owner_tokens
from dg.core.access.store.principals import name, set_name
from dg.core.access.store.seen import forget_seen, note_seen, seen
from dg.core.access.store.tokens import find, insert, revoke, tokens, used

__all__ = [
    "find",
    "forget_seen",
    "home_id",
    "insert",
    "name",
    "note_seen",
    "owner_tokens",
    "revoke",
    "seen",
    "set_name",
    "set_owner_tokens",
    "tokens",
    "used",
]
