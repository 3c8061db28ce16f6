"""Notices as GitHub, GitLab and others send them, signed by whoever holds the secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass
from typing import Any

SECRET = "a secret of thirty-two characters"
REPOSITORY = "https://github.com/shop/web.git"


@dataclass(frozen=True)
class Sent:
    """What goes over the wire."""

    headers: dict[str, str]
    body: bytes


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def digest(signed: bytes, secret: str = SECRET) -> bytes:
    return hmac.digest(secret.encode(), signed, hashlib.sha256)


def github(value: object, event: str = "push", *, secret: str = SECRET, delivery: str | None = None) -> Sent:
    raw = body(value)
    return Sent(
        {
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": delivery or str(uuid.uuid4()),
            "x-hub-signature-256": f"sha256={digest(raw, secret).hex()}",
        },
        raw,
    )


def gitlab(value: object, *, token: str = SECRET, delivery: str | None = None) -> Sent:
    headers = {"content-type": "application/json", "x-gitlab-token": token}
    return Sent(headers | ({"idempotency-key": delivery} if delivery else {}), body(value))


def signed_gitlab(value: object, at: int, *, key: bytes = SECRET.encode(), delivery: str = "d-1") -> Sent:
    raw = body(value)
    proof = hmac.digest(key, f"{delivery}.{at}.".encode() + raw, hashlib.sha256)
    return Sent(
        {
            "content-type": "application/json",
            "webhook-id": delivery,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{base64.b64encode(proof).decode()}",
        },
        raw,
    )


def generic(value: object, at: int, *, secret: str = SECRET, delivery: str = "") -> Sent:
    raw = body(value)
    proof = digest(f"{at}.".encode() + raw, secret).hex()
    headers = {"content-type": "application/json", "dg-signature": f"t={at},v1={proof}"}
    return Sent(headers | ({"dg-delivery": delivery} if delivery else {}), raw)


def github_push(
    commit: str, ref: str = "refs/heads/main", url: str = REPOSITORY, **more: Any
) -> dict[str, Any]:
    """As GitHub writes it, as far as anybody reads it."""
    return {
        "ref": ref,
        "before": "0" * 40,
        "after": commit,
        "deleted": False,
        "repository": {"full_name": "shop/web", "clone_url": url, "html_url": url.removesuffix(".git")},
        "head_commit": {"id": commit, "message": "Release", "timestamp": "2026-11-26T07:30:00Z"},
        **more,
    }


def gitlab_push(commit: str, ref: str = "refs/heads/main", url: str = REPOSITORY) -> dict[str, Any]:
    """As GitLab writes it, as far as anybody reads it."""
    return {
        "object_kind": "tag_push" if ref.startswith("refs/tags/") else "push",
        "ref": ref,
        "after": commit,
        "checkout_sha": commit,
        "project": {"path_with_namespace": "shop/web", "git_http_url": url, "git_ssh_url": ""},
    }
