"""What a Clerk token must say to count, and whom it makes somebody here.

Both forms of Clerk's claims are read: version 2 (`o`, `fea`), and version 1 (`org_role`), which JWT templates
can write too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dg.core.access import jws
from dg.core.access.issuer import refusal
from dg.core.access.jwks import Keys
from dg.core.access.models import Grant
from dg.core.clock import SECOND, Clock
from dg.core.text import plain
from dg.core.types import Environment
from dg.settings.clerk import PERMISSION, ROLE, USER, ClerkGrant
from dg.settings.clerk import Clerk as Settings

_REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})
"""Parts of a header that would bring a key along, or change how the rest is read."""

_SESSION, _UNSORTED, _TEMPLATE = "cl_B7d4PD111AAA", "cl_I7d4PD111III", "cl_B7d4PD222AAA"
"""Values of `cat` in a header: all that an instance signs has one key, a machine's tokens included."""

_MOST_NAME = 100
_BITS = re.compile(r"[0-9]{1,100}")

_Seconds = Annotated[int, Field(ge=0, lt=1 << 40)]
_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
_User = Annotated[str, Field(pattern=r"^user_[A-Za-z0-9]{1,64}$")]
_Text = Annotated[str, Field(max_length=512)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Actor(_Part):
    sub: _Id


class _Organization(_Part):
    id: _Id
    rol: _Text = ""
    per: str = ""
    fpm: str = ""


class Claims(_Part):
    """The claims that count; times are whole seconds since the epoch, as JWT has them."""

    iss: str
    sub: _User
    iat: _Seconds
    nbf: _Seconds
    exp: _Seconds
    sid: _Id | None = None
    azp: _Text | None = None
    aud: str | list[str] | None = None
    sts: str | None = None
    act: _Actor | None = None
    v: int = 1
    o: _Organization | None = None
    fea: str = ""
    org_id: _Id | None = None
    org_role: _Text | None = None
    org_permissions: list[_Text] | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """What somebody is in the organisation that is active in their session; names without their `org:`."""

    organization: str
    role: str
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token proves, until when (seconds since the epoch), and who acts as them, if that is another.

    `organization` is the one whose role and permissions are in `grants` and `groups`, or empty.
    """

    user: str
    name: str
    expires_at: int
    impersonator: str | None
    organization: str
    grants: tuple[Grant, ...]
    groups: tuple[str, ...]


class Clerk:
    """Verifies the tokens of one Clerk instance."""

    def __init__(self, settings: Settings, keys: Keys, clock: Clock, leeway: float) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._leeway = leeway

    async def verify(self, credential: str) -> Identity:
        """Whom the token proves. Raises Unauthenticated, always with the same words, and Unavailable."""
        try:
            token = jws.read(credential)
        except ValueError:
            raise refusal() from None
        kid = self._checked_header(token.header)
        claims = self._checked_claims(token.claims)
        key = await self._keys.find(kid)
        if key is None or not token.is_signed_by(key):
            raise refusal()
        return self._identity(claims, token.claims)

    def is_over(self, identity: Identity) -> bool:
        """Whether the token that proved somebody has ended since."""
        return self._now() >= identity.expires_at + self._leeway

    def _checked_header(self, header: Mapping[str, Any]) -> str:
        """The id of the key that a good header names."""
        kid = header.get("kid")
        if (
            header.get("alg") != jws.ALGORITHM
            or header.get("typ") != "JWT"
            or _REFUSED_HEADERS & header.keys()
        ):
            raise refusal()
        if not isinstance(kid, str) or not kid or not self._is_of_a_person(header):
            raise refusal()
        return kid

    def _is_of_a_person(self, header: Mapping[str, Any]) -> bool:
        category = header.get("cat", _SESSION)
        return category in (_SESSION, _UNSORTED) or (self._settings.templates and category == _TEMPLATE)

    def _checked_claims(self, found: Mapping[str, Any]) -> Claims:
        try:
            claims = Claims.model_validate(found)
        except ValidationError:
            raise refusal() from None
        settings = self._settings
        good = (
            claims.iss == settings.issuer
            and claims.v in (1, 2)
            and claims.sts in (None, "active")
            and (claims.azp in settings.authorized_parties if claims.azp else settings.allow_missing_azp)
            and (claims.sid is not None or settings.templates)
            and self._is_for_us(claims.aud)
            and self._is_in_time(claims)
        )
        if not good:
            raise refusal()
        return claims

    def _is_for_us(self, audience: str | list[str] | None) -> bool:
        wanted = self._settings.audience
        if wanted is None or audience is None:
            return wanted is audience
        return wanted in ([audience] if isinstance(audience, str) else audience)

    def _is_in_time(self, claims: Claims) -> bool:
        now = self._now()
        return (
            max(claims.nbf, claims.iat) <= now + self._leeway
            and now < claims.exp + self._leeway
            and 0 < claims.exp - claims.iat <= self._settings.lifetime_max
        )

    def _now(self) -> float:
        return self._clock.micros() / SECOND

    def _identity(self, claims: Claims, found: Mapping[str, Any]) -> Identity:
        membership = self._membership(claims)
        return Identity(
            user=claims.sub,
            name=self._name(claims, found),
            expires_at=claims.exp,
            impersonator=claims.act.sub if claims.act else None,
            organization=membership.organization if membership else "",
            grants=tuple(
                _grant(grant) for grant in self._settings.grants if _is_to(grant, claims.sub, membership)
            ),
            groups=(f"clerk-role:{membership.role}",) if membership and membership.role else (),
        )

    def _name(self, claims: Claims, found: Mapping[str, Any]) -> str:
        name = found.get(self._settings.name_claim or "")
        if not isinstance(name, str) or not name.strip():
            return claims.sub
        return plain(name.strip(), limit=_MOST_NAME)

    def _membership(self, claims: Claims) -> Membership | None:
        """Of an organisation that counts here; None for any other, and outside of any."""
        found = membership(claims)
        return found if found and found.organization in self._settings.organizations else None


def membership(claims: Claims) -> Membership | None:
    """What the claims say of the active organisation, in whichever version."""
    if claims.v == 1:
        if claims.org_id is None:
            return None
        permissions = frozenset(map(_short, claims.org_permissions or ()))
        return Membership(claims.org_id, _short(claims.org_role or ""), permissions)
    if claims.o is None:
        return None
    return Membership(claims.o.id, _short(claims.o.rol), frozenset(_permissions(claims.o, claims.fea)))


def _permissions(organization: _Organization, features: str) -> Iterator[str]:
    """Version 2 packs them: each of `fpm` goes with a feature of the organisation's, its bits with `per`."""
    names = [name.strip() for name in organization.per.split(",")]
    scoped = (feature.strip().partition(":") for feature in features.split(","))
    owned = [name for scope, _, name in scoped if "o" in scope]
    for feature, packed in zip(owned, organization.fpm.split(","), strict=False):
        bits = int(packed) if _BITS.fullmatch(packed := packed.strip()) else 0
        for place, name in enumerate(names):
            if bits >> place & 1:
                yield f"{feature}:{name}"


def _short(name: str) -> str:
    return name.removeprefix("org:")


def _is_to(grant: ClerkGrant, user: str, found: Membership | None) -> bool:
    if grant.to.startswith(USER):
        return grant.to.removeprefix(USER) == user
    if found is None:
        return False
    if grant.to.startswith(ROLE):
        return _short(grant.to.removeprefix(ROLE)) == found.role
    return _short(grant.to.removeprefix(PERMISSION)) in found.permissions


def _grant(grant: ClerkGrant) -> Grant:
    environment = Environment(grant.environment) if grant.environment else None
    return Grant(role=grant.role, environment=environment, service=grant.service)
