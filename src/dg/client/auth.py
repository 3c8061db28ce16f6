"""Where the server is and what opens it: as given, from `DG_URL` and `DG_TOKEN`, or this machine's server."""

from __future__ import annotations

import ipaddress
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dg.client.errors import NoCredential, Unreachable
from dg.core.access import keyform
from dg.core.errors import Invalid

SERVER_FILE = "server.json"
TOKEN_FILE = "local.token"  # noqa: S105
LONGEST_FILE = 64 << 10


@dataclass(frozen=True)
class Credentials:
    """The server's address without a trailing slash, and the bearer token for it."""

    url: str
    token: str = field(repr=False)


def find(
    environ: Mapping[str, str], home: Path, *, url: str | None = None, token: str | None = None
) -> Credentials:
    """The address and token to use: the arguments, else the environment, else the server that keeps `home`.

    Raises NoCredential when there is no token for the address, Unreachable when there is no address.
    """
    url = url or environ.get("DG_URL")
    token = token or environ.get("DG_TOKEN")
    local = None if url and token else local_url(home)
    if not url:
        if local is None:
            raise Unreachable(
                f"no server is running with the home {home}: start one with `dg serve`, or set DG_URL"
            )
        url = local
    url = checked(url)
    if not token:
        if local is None or url != checked(local):
            raise NoCredential(f"no token for {url}: set DG_TOKEN to one made with `dg token create`")
        token = _owners_file(home / TOKEN_FILE)
    return Credentials(url, checked_token(token))


def local_url(home: Path) -> str | None:
    """Where the server that keeps `home` listens, None when it is not running. Raises NoCredential."""
    try:
        url = json.loads(_owners_file(home / SERVER_FILE))["url"]
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
    if parts.scheme == "http" and not _is_loopback(host):
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _owners_file(path: Path) -> str:
    """The text of a file that only its owner, who is the caller, can have written and can read.

    Raises NoCredential, and FileNotFoundError for a `server.json` that is not there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        if path.name == SERVER_FILE:
            raise
        raise NoCredential(f"{path} is missing: restart the server, or set DG_TOKEN") from None
    except OSError as error:
        raise NoCredential(f"{path} cannot be read ({error.strerror}): set DG_URL and DG_TOKEN") from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
            raise NoCredential(f"{path} does not belong to you, so it is not used: set DG_URL and DG_TOKEN")
        if facts.st_mode & 0o077:
            raise NoCredential(f"{path} is open to others, so it is not used: `chmod 600 {path}`")
        return file.read(LONGEST_FILE).decode("utf-8", "replace")
