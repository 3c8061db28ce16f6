"""`dg events` and `dg audit verify`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.main import run

Captured = pytest.CaptureFixture[str]


PAYLOAD = {"version": "\x1b[31m1.4", "service": "web", "number": 7}


def page(*seqs: int) -> dict[str, Any]:
    events = [samples.event(seq, service="web", environment="staging", payload=PAYLOAD) for seq in seqs]
    return {"items": events, "next_after": max(seqs, default=12)}


def test_events_are_one_line_each(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /events", page(11, 12), page())
    assert run(["events", "--after", "10", "--filter", "env=staging"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        f"    {seq} 2026-11-26 07:00:00 UTC deployment.created web/staging #7 by u1 version=␛[31m1.4"
        for seq in (11, 12)
    ]
    assert api.asked[0].query == {"after": "10", "filter": "env=staging"}


def test_events_as_json_keep_their_payload(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /events", page(12), page())
    assert run(["--json", "events"]) == ExitCode.OK
    event = json.loads(capsys.readouterr().out)
    assert (event["seq"], event["at"], event["payload"]["service"]) == (12, "2026-11-26T07:00:00Z", "web")


@pytest.mark.parametrize(("ok", "code"), [(True, ExitCode.OK), (False, ExitCode.FAILED)])
def test_audit_says_whether_the_record_is_whole(
    api: ScriptedApi, ok: bool, code: int, capsys: Captured
) -> None:
    verdict = {
        "ok": ok,
        "checked": 9,
        "message": "entry 4 was changed",
        "head_seq": 9,
        "head_hash": "ab" * 32,
        "bad_seq": 4,
    }
    api.on("GET /events/verify", verdict)
    assert run(["audit", "verify"]) == code
    assert "entry 4 was changed" in capsys.readouterr().out
