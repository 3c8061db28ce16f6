"""Who is asking and what they may do: one object per concept, one method per action, `principal` first."""

from dg.core.access.service.access import Access, Authenticator
from dg.core.access.service.accounts import Accounts
from dg.core.access.service.bindings import Bindings
from dg.core.access.service.keys import Keys
from dg.core.access.service.logins import Logins
from dg.core.access.service.roles import Roles
from dg.core.access.service.sessions import Sessions
from dg.core.access.service.tokens import Tokens

__all__ = ["Access", "Accounts", "Authenticator", "Bindings", "Keys", "Logins", "Roles", "Sessions", "Tokens"]
