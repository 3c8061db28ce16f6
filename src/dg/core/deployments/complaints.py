"""What git says when a remote does not let it in, as sentences with the way out."""

from __future__ import annotations

import re

from dg.core.command import Finished
from dg.core.deployments.remotes import address, without_userinfo
from dg.core.deployments.sources import Credential, refused
from dg.core.errors import Problem, Refused, Unavailable
from dg.core.text import plain
from dg.runner.mask import Mask

_CHANGED_HOST = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED")
_UNKNOWN_HOST = re.compile(r"Host key verification failed")
_TURNED_AWAY = re.compile(
    r"Permission denied \(|Too many authentication failures|Authentication failed for|"
    r"could not read (?:Username|Password) for|returned error: 40[13]\b"
)
_REDIRECTED = re.compile(r"returned error: 30[1278]\b|unable to update url base from redirection")


def complaint(finished: Finished, credential: Credential | None = None) -> str:
    """One line of git's stderr that says most: its last word is often only "could not read from remote"."""
    text = without_userinfo(plain(_masked(finished.stderr, credential), multiline=True))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("warning:")]
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    if any("dubious ownership" in line for line in fatal):
        return "the folder belongs to another user than the server's"
    telling = [line for line in fatal if not line.startswith("Could not read from remote")]
    said = next(iter(telling or lines), "")
    return plain(said, limit=300) or f"it ended with code {finished.code} and said nothing"


def failure(finished: Finished, service: str, url: str, credential: Credential | None) -> Problem:
    """Why a remote could not be read: Refused where somebody has to change something, else Unavailable."""
    said = finished.stderr.decode("utf-8", "replace")
    if _UNKNOWN_HOST.search(said):
        return _host_key(url, credential, changed=bool(_CHANGED_HOST.search(said)))
    what = complaint(finished, credential)
    if credential and credential.token and _REDIRECTED.search(said):
        return refused(
            credential.use.source,
            f"sends its token to no other address, but {without_userinfo(url)} redirects; "
            "register the address that it redirects to",
        )
    if _TURNED_AWAY.search(said):
        return _turned_away(service, url, credential, what)
    return Unavailable(f"git failed for the repository of `{service}`: {what}", reason="git")


def _host_key(url: str, credential: Credential | None, *, changed: bool) -> Refused:
    place = address(url)
    host = plain(place.host, limit=200) if place else "the host"
    where = f'the known_hosts of [git.sources."{credential.use.source}"]' if credential else "known_hosts"
    if changed:
        what = f"{host} shows another host key than the one in {where}: somebody may be in between"
    else:
        what = f"{where} has no host key of {host}"
    return Refused(
        f"{what}; ask the host's owner for the right key before you write it there", reason="git_host_key"
    )


def _turned_away(service: str, url: str, credential: Credential | None, what: str) -> Refused:
    if credential is None:
        beginning = without_userinfo(url).rpartition("/")[0] or url
        way_out = f'name a key or a token in the server\'s settings: [git.sources."{beginning}/"]'
    else:
        kind = credential.use.kind.replace("_", " ")
        way_out = f'check the {kind} of [git.sources."{credential.use.source}"]'
    return Refused(
        f"the repository of `{service}` does not let the server in: {what}; {way_out}",
        reason="git_credential",
    )


def _masked(stderr: bytes, credential: Credential | None) -> bytes:
    """Without the token, which a remote may repeat in its own words or as the header it was sent in."""
    if credential is None or credential.token is None:
        return stderr
    mask = Mask({"token": credential.token, "pair": f"{credential.username}:{credential.token}"})
    return mask.feed(stderr) + mask.flush()
