"""Answers of a server, as the API writes them."""

from __future__ import annotations

from typing import Any

ID = "01936b2e-7c00-7000-8000-000000000001"
SHA = "9f1c2ab" + "0" * 33


def deployment(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "number": 7,
        "service": "web",
        "environment": "staging",
        "kind": "deploy",
        "status": "pending",
        "stage": "queued",
        "version": "1.4.2",
        "commit_sha": SHA,
        "created_by": "ana",
        "created_at": "2026-11-26T07:00:00.250Z",
        "queued_at": "2026-11-26T07:00:00Z",
        "pipeline_sha256": "0" * 64,
        **changed,
    }


def progress(percent: float = 40, status: str = "building") -> dict[str, Any]:
    step = {
        "index": 0,
        "name": "image",
        "phase": "build",
        "status": "running",
        "started_at": "2026-11-26T07:00:01Z",
    }
    whole = deployment(status=status)
    return {
        "id": ID,
        "status": status,
        "progress": percent,
        "logs": ["one"],
        "steps": [step],
        "deployment": whole,
    }


def event(seq: int, **changed: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": "2026-11-26T07:00:00Z",
        "type": "deployment.created",
        "actor": "u1",
        "auth": "token",
        "object": ID,
        "payload": {"deployment": ID},
        **changed,
    }


def envelope(code: str, message: str, **details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": details}}
