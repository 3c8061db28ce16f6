"""The table `[access.clerk]`: which Clerk instance vouches for people, and what they may do here."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dg.settings.section import Section
from dg.settings.units import Duration, FilePath, Unit, Words, parse_toml

ROLE, PERMISSION, USER = "role:", "permission:", "user:"


class ClerkGrant(Section):
    """A role here for whoever has something there."""

    to: str = Field(pattern=r"^(role|permission|user):[A-Za-z0-9_:-]{1,100}$")
    role: Literal["viewer", "operator", "approver", "admin"]
    environment: Literal["development", "staging", "production"] | None = None
    service: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]{0,62}$")


def check_url(url: str) -> str:
    """An https address, or one on this machine. Raises ValueError."""
    parts = urlsplit(url)
    host, _ = parts.hostname or "", parts.port
    if parts.username is not None or parts.query or parts.fragment or not host:
        raise ValueError(f"{url} is no plain address; write it as https://clerk.example.org")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError(f"{url} is not https, and whoever stands between could put keys of their own there")
    return url


def check_issuer(url: str) -> str:
    """An address as Clerk writes it into its tokens. Raises ValueError."""
    if url.endswith("/"):
        raise ValueError(f"{url} ends with a slash, and Clerk's issuers do not")
    return check_url(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Clerk(Section):
    """A Clerk instance that vouches for people."""

    issuer: Annotated[str, AfterValidator(check_issuer)] | None = None
    """The instance's Frontend API URL, just as in the tokens' `iss`; without one no Clerk token is taken."""
    jwks_url: Annotated[str, AfterValidator(check_url)] | None = None
    """Where its keys are published; without one, `/.well-known/jwks.json` below the issuer."""
    pem_file: FilePath | None = None
    """A PEM file with the instance's public key: nothing is fetched then, and a new key needs a restart."""
    authorized_parties: Words = ()
    """Pages whose tokens are taken, such as `https://board.example.org`: `azp` must be one of them."""
    allow_missing_azp: bool = False
    """Takes tokens without `azp` too, as Clerk makes them for requests without an Origin."""
    templates: bool = False
    """Takes tokens of JWT templates too, which may last long and need not name a session (`sid`)."""
    audience: str | None = Field(None, min_length=1)
    """The `aud` that tokens must have; without one, a token that has any is meant for somebody else."""
    lifetime_max: Duration = 3600.0
    """Longest time between a token's `iat` and its `exp`."""
    name_claim: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
    """A claim that says what people read for somebody; without one, the user's id. Approvals are counted by
    that name, so take what nobody can choose for themselves, such as a verified e-mail address."""
    organizations: Words = ()
    """Ids of the organisations whose roles and permissions count here. Anybody may found others."""
    grants: Annotated[tuple[ClerkGrant, ...], BeforeValidator(parse_toml), Unit("toml")] = ()
    """Who has which role here: `[{ to = "role:admin", role = "admin" }]`; `to` is an organisation's `role:`
    or `permission:`, or a `user:` by id; `environment` and `service` narrow it."""
    rights_last: Duration = 86400.0
    """How long an approval counts on the rights that its giver's newest token had."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.issuer is None:
            if self.model_dump(exclude_defaults=True):
                raise ValueError("access.clerk needs access.clerk.issuer, the instance's Frontend API URL")
            return self
        if not self.authorized_parties:
            raise ValueError(
                "access.clerk.issuer needs access.clerk.authorized_parties: without it every page of the "
                "instance could use its visitors' tokens here"
            )
        if self.jwks_url and self.pem_file:
            raise ValueError("access.clerk.jwks_url and access.clerk.pem_file: set one of them")
        if not self.organizations and any(not grant.to.startswith(USER) for grant in self.grants):
            raise ValueError(
                "access.clerk.grants to a role or a permission need access.clerk.organizations: "
                "anybody may found an organisation and be its administrator"
            )
        return self

    @property
    def mapping(self) -> str:
        """A mark of what makes grants of claims: what other settings made of them counts no more."""
        if self.issuer is None:
            return ""
        parts = self.model_dump(mode="json", include={"issuer", "organizations", "grants"})
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def keys_url(self) -> str:
        """Where the instance's keys are published."""
        return self.jwks_url or f"{self.issuer}/.well-known/jwks.json"
