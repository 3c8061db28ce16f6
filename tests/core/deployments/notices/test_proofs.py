"""Who a notice is from: every way to sign one, and everything that must not pass for it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
from tests.core.deployments.notices.signing import (
    SECRET,
    Sent,
    generic,
    github,
    gitlab,
    signed_gitlab,
)

from dg.core.deployments.notices.proofs import Notice, Proof, proof

NOW = 1_790_000_000
PUSH = {"ref": "refs/heads/main"}


def proved(kind: str, sent: Sent, *secrets: str, at: float = NOW) -> Proof | None:
    return proof(kind, "here", secrets or (SECRET,), Notice(sent.headers, sent.body, at, 300))


GOOD: dict[str, tuple[str, Sent]] = {
    "github": ("github", github(PUSH, delivery="one")),
    "gitlab": ("gitlab", gitlab(PUSH, delivery="one")),
    "gitlab, signed": ("gitlab", signed_gitlab(PUSH, NOW, delivery="one")),
    "generic": ("generic", generic(PUSH, NOW, delivery="one")),
}


@pytest.mark.parametrize("name", GOOD)
def test_whoever_holds_the_secret_is_believed(name: str) -> None:
    kind, sent = GOOD[name]
    found = proved(kind, sent)
    assert found is not None
    assert (found.source, found.delivery) == ("here", "one")


@pytest.mark.parametrize("name", GOOD)
def test_nobody_else_is(name: str) -> None:
    kind, sent = GOOD[name]
    assert proved(kind, sent, "another secret of thirty characters") is None
    assert proved(kind, Sent({}, sent.body)) is None
    assert proved(kind, Sent({"content-type": "application/json"}, b"")) is None
    if name != "gitlab":
        assert proved(kind, Sent(sent.headers, sent.body + b" ")) is None


@pytest.mark.parametrize("name", GOOD)
def test_an_exchanged_secret_is_believed_beside_the_new_one(name: str) -> None:
    kind, sent = GOOD[name]
    assert proved(kind, sent, "the new secret of thirty characters", SECRET) is not None


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "bend",
    [
        lambda text: text + "0",
        lambda text: text[:-1],
        lambda text: text.upper(),
        lambda text: f"{text}, {text}",
        lambda text: "ä" + text,
        lambda text: text + "\ud800",
        lambda text: "",
        lambda text: "=" * 100_000,
        lambda text: "v1," * 30_000,
    ],
)
def test_a_bent_signature_proves_nothing(name: str, bend: Callable[[str], str]) -> None:
    kind, sent = GOOD[name]
    for header in ("x-hub-signature-256", "x-gitlab-token", "webhook-signature", "dg-signature"):
        if header in sent.headers:
            headers = {**sent.headers, header: bend(sent.headers[header])}
            assert proved(kind, Sent(headers, sent.body)) is None


def test_a_digest_of_another_kind_proves_nothing() -> None:
    sent = github(PUSH)
    sha1 = hashlib.sha1(sent.body).hexdigest()  # noqa: S324 - what GitHub's older header has
    headers = {**sent.headers, "x-hub-signature": f"sha1={sha1}"}
    del headers["x-hub-signature-256"]
    assert proved("github", Sent(headers, sent.body)) is None


def test_a_plain_token_does_not_stand_in_for_a_signature_that_is_wrong() -> None:
    sent = signed_gitlab(PUSH, NOW, key=b"wrong")
    assert proved("gitlab", Sent({**sent.headers, "x-gitlab-token": SECRET}, sent.body)) is None


def test_a_signing_secret_may_be_written_as_the_standard_does() -> None:
    key = b"thirty-two bytes are the key....."
    written = f"whsec_{base64.b64encode(key).decode()}"
    assert proved("gitlab", signed_gitlab(PUSH, NOW, key=key), written) is not None
    assert proved("gitlab", signed_gitlab(PUSH, NOW, key=written.encode()), written) is not None


@pytest.mark.parametrize("name", ["gitlab, signed", "generic"])
def test_a_signed_time_holds_for_a_while_only(name: str) -> None:
    kind, sent = GOOD[name]
    for at in (NOW - 300, NOW + 300):
        assert proved(kind, sent, at=at) is not None
    for at in (NOW - 301, NOW + 301, NOW + 86400):
        assert proved(kind, sent, at=at) is None


@pytest.mark.parametrize("moment", ["", "x", "-1", "1e9", "9" * 400, "١٧٩٠٠٠٠٠٠٠"])
def test_a_time_that_is_none_proves_nothing_however_it_is_signed(moment: str) -> None:
    for kind, sent in (
        ("generic", generic(PUSH, moment)),  # type: ignore[arg-type]
        ("gitlab", signed_gitlab(PUSH, moment)),  # type: ignore[arg-type]
    ):
        assert proved(kind, sent) is None


def test_another_id_does_not_make_another_notice_where_it_is_not_signed() -> None:
    one, two = proved("github", github(PUSH, delivery="one")), proved("github", github(PUSH, delivery="two"))
    assert one is not None
    assert two is not None
    assert one.digest == two.digest is not None
    first, again = generic(PUSH, NOW, delivery="one"), generic(PUSH, NOW, delivery="two")
    later = proved("generic", generic(PUSH, NOW + 1, delivery="two"))
    found = [proved("generic", sent) for sent in (first, again)]
    assert len({each.digest for each in found if each}) == 1
    assert later is not None
    assert later.digest not in {each.digest for each in found if each}


def test_an_id_that_no_sender_makes_is_none() -> None:
    for delivery in ("x" * 201, "a b", "é"):
        found = proved("github", github(PUSH, delivery=delivery))
        assert found is not None
        assert found.delivery == ""
