"""How tokens and the names of principals are kept: one plain function per statement."""

from dg.core.access.store.home import home_id, owner_tokens, set_owner_tokens
from dg.core.access.store.principals import name, set_name
from dg.core.access.store.tokens import find, insert, revoke, tokens, used

__all__ = [
    "find",
    "home_id",
    "insert",
    "name",
    "owner_tokens",
    "revoke",
    "set_name",
    "set_owner_tokens",
    "tokens",
    "used",
]
