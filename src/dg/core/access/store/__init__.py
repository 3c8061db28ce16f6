"""How tokens, roles, bindings and the names of principals are kept: one plain function per statement."""

from dg.core.access.store.bindings import (
    binding,
    bindings_of,
    bindings_with,
    count_bindings,
    insert_binding,
    page_of_bindings,
    revoke_binding,
    standing_bindings,
)
from dg.core.access.store.home import home_id, owner_tokens, set_owner_tokens
from dg.core.access.store.principals import name, set_name
from dg.core.access.store.roles import delete_role, insert_role, role, roles, tokens_with, update_role
from dg.core.access.store.seen import forget_seen, note_seen, seen
from dg.core.access.store.tokens import find, insert, revoke, tokens, used

__all__ = [
    "binding",
    "bindings_of",
    "bindings_with",
    "count_bindings",
    "delete_role",
    "find",
    "forget_seen",
    "home_id",
    "insert",
    "insert_binding",
    "insert_role",
    "name",
    "note_seen",
    "owner_tokens",
    "page_of_bindings",
    "revoke",
    "revoke_binding",
    "role",
    "roles",
    "seen",
    "set_name",
    "set_owner_tokens",
    "standing_bindings",
    "tokens",
    "tokens_with",
    "update_role",
    "used",
]
