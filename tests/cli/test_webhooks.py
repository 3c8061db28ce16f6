"""`dg webhook`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run

ID = "01936b2e-7c00-7000-8000-00000000000a"
URL = "https://hooks.example.org/dg"
Captured = pytest.CaptureFixture[str]


def webhook(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "url": URL,
        "events": ["deployment.finished", "lane.*"],
        "environment": "production",
        "enabled": True,
        "owner": "local",
        "created_at": "2026-11-26T07:00:00Z",
        "updated_at": "2026-11-26T07:30:00Z",
        "failures": 0,
        **changed,
    }


def delivery(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "event": "deployment.finished",
        "seq": 41,
        "state": "sent",
        "attempts": 2,
        "created_at": "2026-11-26T07:00:00Z",
        "http_status": 204,
        **changed,
    }


def test_the_secret_alone_is_on_standard_output(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /webhooks", {"webhook": webhook(), "secret": "whsec_x"}, status=201)
    events = ["--event", "deployment.finished", "--event", "lane.*"]
    assert run(["webhook", "create", URL, *events, "--env", "prod", "--filter", "a~b"]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.out == "whsec_x\n"
    assert f"dg webhook test {ID}" in said.err
    assert api.asked[0].body == {
        "url": URL,
        "events": ["deployment.finished", "lane.*"],
        "environment": "production",
        "filter": "a~b",
    }


def test_a_list_says_which_of_them_work(api: ScriptedApi, capsys: Captured) -> None:
    broken = webhook(failures=3, last_error="the receiver answered 500")
    api.on("GET /webhooks", {"items": [webhook(), broken, webhook(enabled=False, service="shop")]})
    assert run(["webhook", "list"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert [" on " in said[1], "failing" in said[2], "disabled" in said[3]] == [True] * 3
    assert "shop/production" in said[3]


def test_one_is_shown_with_what_is_wrong(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /webhooks/{ID}", webhook(enabled=False, disabled_reason="20 failures in a row", failures=20))
    assert run(["webhook", "show", ID]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "disabled" in said
    assert "20 failures in a row" in said


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["enable", ID], {"enabled": True}),
        (["disable", ID], {"enabled": False}),
        (["update", ID, "--to", URL, "--filter", ""], {"url": URL, "filter": ""}),
        (["update", ID, "--event", "*"], {"events": ["*"]}),
    ],
)
def test_only_what_is_named_is_changed(
    api: ScriptedApi, capsys: Captured, words: list[str], body: dict[str, Any]
) -> None:
    api.on(f"PUT /webhooks/{ID}", webhook())
    assert run(["webhook", *words]) == ExitCode.OK
    assert api.asked[0].body == body


def test_a_change_of_nothing_is_misuse(api: ScriptedApi, capsys: Captured) -> None:
    assert run(["webhook", "update", ID]) == ExitCode.USAGE
    assert api.asked == []


def test_a_test_that_does_not_arrive_ends_with_one(api: ScriptedApi, capsys: Captured) -> None:
    failed = delivery(state="failed", error="hooks.example.org:443 does not answer", http_status=None)
    del failed["http_status"]
    api.on(f"POST /webhooks/{ID}/test", delivery(), failed)
    assert run(["webhook", "test", ID]) == ExitCode.OK
    assert "answered 204" in capsys.readouterr().out
    assert run(["webhook", "test", ID]) == ExitCode.FAILED
    assert "does not answer" in capsys.readouterr().out


def test_deliveries_are_listed_with_their_answers(api: ScriptedApi, capsys: Captured) -> None:
    waiting = delivery(state="waiting", error="the receiver answered 500", http_status=500)
    api.on(f"GET /webhooks/{ID}/deliveries", {"items": [waiting, delivery()]})
    assert run(["webhook", "deliveries", ID, "--limit", "5"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert "the receiver answered 500" in said[1]
    assert said[2].endswith("204")
    assert api.asked[0].query == {"limit": "5"}


def test_a_new_secret_is_printed_and_a_deletion_is_named(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"POST /webhooks/{ID}/rotate", {"webhook": webhook(), "secret": "whsec_new"})
    api.on(f"DELETE /webhooks/{ID}", webhook())
    assert run(["webhook", "rotate", ID]) == ExitCode.OK
    assert capsys.readouterr().out == "whsec_new\n"
    assert run(["webhook", "delete", ID]) == ExitCode.OK
    assert f"deleted webhook {ID}" in capsys.readouterr().out


def test_json_is_what_the_api_says(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /webhooks", {"items": [webhook()]})
    assert run(["webhook", "list", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == webhook()
