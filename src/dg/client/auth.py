"""Where the server is and what opens it: as given, from `DG_URL` and `DG_TOKEN`, or this machine's server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dg.client.credentials import SessionFile
from dg.client.errors import NoCredential, Unreachable
from dg.client.private import owners_file
from dg.core.access import keyform
from dg.core.addresses import is_loopback
from dg.core.errors import Invalid

SERVER_FILE = "server.json"
TOKEN_FILE = "local.token"  # noqa: S105


@dataclass(frozen=True)
class Credentials:
    """The server's address without a trailing slash, and what opens it: a bearer token, or else a session."""

    url: str
    token: str | None = field(repr=False)
    session: SessionFile | None = None


def find(
    environ: Mapping[str, str], home: Path, *, url: str | None = None, token: str | None = None
) -> Credentials:
    """The address and what opens it: the arguments, else the environment, else the session of `dg login`,
    else the token of the owner of the server that keeps `home`.

    Raises NoCredential when nothing opens the address, Unreachable when there is no address.
    """
    token = token or environ.get("DG_TOKEN")
    url = address(environ, home, url)
    if token:
        return Credentials(url, checked_token(token))
    session = SessionFile.of(url, environ)
    if session is not None and session.is_there():
        return Credentials(url, None, session)
    local = local_url(home)
    if local is None or url != checked(local):
        raise NoCredential(
            f"nothing opens {url}: sign in with `dg login`, or set DG_TOKEN to a token of `dg token create`"
        )
    return Credentials(url, checked_token(_owner_token(home / TOKEN_FILE)))


def address(environ: Mapping[str, str], home: Path, url: str | None = None) -> str:
    """The server that is meant: `url`, else `DG_URL`, else the one that keeps `home`. Raises Unreachable."""
    url = url or environ.get("DG_URL") or local_url(home)
    if not url:
        raise Unreachable(
            f"no server is running with the home {home}: start one with `dg serve`, or set DG_URL"
        )
    return checked(url)


def local_url(home: Path) -> str | None:
    """Where the server that keeps `home` listens, None when it is not running. Raises NoCredential."""
    try:
        url = json.loads(owners_file(home / SERVER_FILE))["url"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise NoCredential(f"{home / SERVER_FILE} is damaged: restart the server, or set DG_URL") from error
    return str(url)


def checked(url: str) -> str:
    """`url` as the client uses it. Raises Invalid for no URL, or one that carries a token in the clear."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid("the server's address is not a URL; write it like https://dg.example.org") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise Invalid("the server's address is not a URL; write it like https://dg.example.org")
    if parts.username is not None or parts.password is not None:
        raise Invalid("the server's address must not hold a name or password; set DG_TOKEN instead")
    if parts.scheme == "http" and not is_loopback(host):
        raise Invalid(f"a token must not go to {host} over plain http; use https, or a tunnel to 127.0.0.1")
    return url.rstrip("/").removesuffix("/v1")


def checked_token(token: str) -> str:
    """`token` without space around it. Raises NoCredential for what cannot stand in a header."""
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise NoCredential("the token is not one: it holds spaces or characters that no token has")
    if token.startswith(keyform.PREFIX) and not keyform.is_sound(token):
        raise NoCredential("the API key is mistyped or cut off: its last characters do not fit the others")
    return token


def _owner_token(path: Path) -> str:
    try:
        return owners_file(path)
    except FileNotFoundError:
        raise NoCredential(f"{path} is missing: restart the server, or set DG_TOKEN") from None
