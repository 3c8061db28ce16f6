"""Addresses and revisions as hostile input: what may reach git, and what may be repeated to people."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dg.core.errors import Invalid
from dg.core.text import plain

_SCP_LIKE = re.compile(r"^(?:\w[\w.-]*@)?\w[\w.-]*:(?!//)[^:\s]\S*$", re.ASCII)
_HOST = re.compile(r"^[A-Za-z0-9_:][A-Za-z0-9_.:-]*$")
_USERINFO = re.compile(r"(?<=://)[^/\s'\"]*@")
_REF_FORBIDDEN = re.compile(r"\.\.|@\{|//|[\x00-\x20\x7f~^:?*\[\\]")
_PORTS = {"https": 443, "ssh": 22}
_LONGEST_URL = 2048
_LONGEST_REF = 255


def check_url(url: str) -> str:
    """Return `url` if git may be given it.

    Allowed: `https://…`, `ssh://…`, `user@host:path`, `file:///…` and an absolute path. A password in it is
    refused: it would stand in process lists and in every stored pipeline.

    Raises:
        Invalid: one sentence that never repeats a password.
    """
    if not url or len(url) > _LONGEST_URL or plain(url) != url or " " in url:
        raise Invalid(f"a git address has 1 to {_LONGEST_URL} printable characters and no spaces")
    if url.startswith("/"):
        return url
    if "://" not in url:
        if _SCP_LIKE.match(url):
            return url
        raise _unknown_form(url)
    return _check_scheme(url)


def _check_scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, password, _ = parts.hostname or "", parts.password, parts.port
    except ValueError:
        raise _unknown_form(url) from None
    if password is not None:
        raise Invalid(
            "a git address may not hold a password; name a token for it in the server's settings instead: "
            '[git.sources."https://…"]'
        )
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return url
    user = parts.username or ""
    if parts.scheme not in {"https", "ssh"} or not _HOST.match(host) or user.startswith("-"):
        raise _unknown_form(url)
    return url


class Address(NamedTuple):
    """A remote address taken apart, alike for `ssh://user@host/path` and `user@host:path`."""

    scheme: str
    user: str
    host: str
    port: int
    segments: tuple[str, ...]

    def begins(self, other: Address) -> bool:
        """Whether `other` lies below this one: same host, and this path a whole-segment beginning of its.

        One that names no user takes any; over https a user is part of the credential, not of the place.
        """
        here, there = (self.scheme, self.host, self.port), (other.scheme, other.host, other.port)
        if here != there or (self.scheme == "ssh" and self.user not in {"", other.user}):
            return False
        length = len(self.segments)
        *above, last = other.segments[:length] or ("",)
        exact = length == len(other.segments) and self.segments == (*above, last.removesuffix(".git"))
        return exact or self.segments == other.segments[:length]


def address(url: str) -> Address | None:
    """Take `url` apart. None for what is on this machine, and for a path that a server could read as another
    one (`..`, `%2F`): nothing may be matched by its beginning."""
    if url.startswith("/"):
        return None
    if "://" not in url:
        place, _, path = url.partition(":")
        user, _, host = place.rpartition("@")
        return _address("ssh", user, host, _PORTS["ssh"], path)
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return _address(
        parts.scheme, parts.username or "", parts.hostname, parts.port or _PORTS[parts.scheme], parts.path
    )


def _address(scheme: str, user: str, host: str, port: int, path: str) -> Address | None:
    segments = tuple(unquote(segment) for segment in path.split("/") if segment)
    if any(segment in {".", ".."} or set(segment) & {"/", "\\"} for segment in segments):
        return None
    return Address(scheme, user, host.lower(), port, segments)


def _unknown_form(url: str) -> Invalid:
    return Invalid(
        f"`{without_userinfo(plain(url, limit=100))}` is not a git address dg takes; "
        "use https://…, ssh://…, user@host:path, file:///… or an absolute path"
    )


def check_ref(ref: str) -> str:
    """Return `ref` if it can be the name of a branch, a tag or a commit, by git's own rules and a few more.

    Raises:
        Invalid: `ref` could be read as an option, a range, a path or a revision expression.
    """
    hostile = (
        not ref
        or len(ref) > _LONGEST_REF
        or ref[0] in "-/."
        or ref[-1] in "/."
        or ref == "@"
        or ref.endswith(".lock")
        or "/." in ref
        or ".lock/" in ref
        or _REF_FORBIDDEN.search(ref)
        or plain(ref) != ref
    )
    if hostile:
        raise Invalid(
            f"`{plain(ref, limit=100)}` is not the plain name of a branch, tag or commit",
            errors=[{"field": "ref", "message": "must be the plain name of a branch, tag or commit"}],
        )
    return ref


def without_userinfo(text: str) -> str:
    """`text` with whatever stands before the @ of an address taken out."""
    return _USERINFO.sub("", text)
