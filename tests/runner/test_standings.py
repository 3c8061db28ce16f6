"""A check of probes goes by what a server says of them, whichever server that is and whenever it says it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.runner.lab import Lab, Run, step

from dg.runner import spool, standings

SECOND = 1_000_000
BEGAN = 1_000 * SECOND


def standing(
    status: str = "healthy", since: float = 0, checked: float = 1, detail: str = ""
) -> dict[str, Any]:
    """Times are seconds after the step began."""
    return {
        "status": status,
        "since": BEGAN + round(since * SECOND),
        "checked": BEGAN + round(checked * SECOND),
        "detail": detail,
    }


def looked(
    folder: Path, probes: dict[str, Any], *, hold: float = 0, after: float = 2, said: float | None = None
) -> tuple[bool, bool, str]:
    """A look `after` seconds at what was said then, or at `said`: good, final, and the sentence."""
    now = BEGAN + round(after * SECOND)
    spool.write_probes(str(folder), BEGAN + round((after if said is None else said) * SECOND), probes)
    found = standings.look(str(folder), ("web", "api"), hold, BEGAN, now)
    return found.good, found.final, found.sentence


def test_probes_that_were_asked_and_are_healthy_pass(tmp_path: Path) -> None:
    probes = {"web": standing(since=-500), "api": standing(), "other": standing("unhealthy")}
    assert looked(tmp_path, probes) == (True, False, "probes `web`, `api` are healthy")


@pytest.mark.parametrize(
    ("web", "hold", "sentence"),
    [
        (standing("unknown", detail="was not looked at yet"), 0, "`web` is unknown: was not looked at yet"),
        (standing("degraded", detail="slow"), 0, "`web` is degraded: slow"),
        (standing("doubted", detail="answered 500"), 0, "`web` is doubted: answered 500"),
        (standing("unhealthy", since=-3, detail="answered 500"), 0, "`web` is unhealthy: answered 500"),
        (standing(checked=-1), 0, "`web` was not asked yet since the step began"),
        (standing(since=-500), 3, "`web` is healthy, but not for 3 s yet"),
        (standing(since=1), 1.5, "`web` is healthy, but not for 1.5 s yet"),
        (None, 0, "the environment has no probe `web`"),
        ({"status": "healthy"}, 0, "the environment has no probe `web`"),
    ],
)
def test_what_is_not_healthy_for_long_enough_waits(
    tmp_path: Path, web: dict[str, Any] | None, hold: float, sentence: str
) -> None:
    probes = {"api": standing()} | ({} if web is None else {"web": web})
    good, final, said = looked(tmp_path, probes, hold=hold)
    assert (good, final) == (False, False)
    assert sentence in said


def test_a_probe_that_becomes_unhealthy_ends_the_check_whatever_the_others_do(tmp_path: Path) -> None:
    worse = standing("unhealthy", since=1, detail="answered 500")
    assert looked(tmp_path, {"web": standing("unknown"), "api": worse}) == (
        False,
        True,
        "probe `api` is unhealthy: answered 500",
    )


@pytest.mark.parametrize("said", [-14.0, 18.0])
def test_what_was_said_too_long_ago_or_in_the_future_is_not_known(tmp_path: Path, said: float) -> None:
    probes = {"web": standing("unhealthy", since=1), "api": standing()}
    good, final, sentence = looked(tmp_path, probes, said=said)
    assert (good, final) == (False, False)
    assert sentence == "how probes `web`, `api` stand is not known: the server does not say"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"t": true, "probes": {}}', b'{"t": 1e3', b"\xff"])
def test_what_no_server_writes_is_not_known(tmp_path: Path, content: bytes) -> None:
    (tmp_path / spool.PROBES).write_bytes(content)
    found = standings.look(str(tmp_path), ("web",), 0, BEGAN, BEGAN)
    assert (found.good, found.final) == (False, False)


def check(hold: float = 0.0, timeout: float = 30.0) -> dict[str, Any]:
    asked = {"probes": ["web"], "for": hold, "every": 0.05, "timeout": 5.0}
    return step(name="well", phase="verify", timeout=timeout, check=asked)


def say(run: Run, status: str, detail: str = "") -> None:
    now = time.time_ns() // 1000
    said = {"status": status, "since": now, "checked": now, "detail": detail}
    spool.write_probes(run.dir, now, {"web": said})


def test_a_run_waits_for_a_server_that_says_it_and_passes(lab: Lab) -> None:
    run = lab.start(check(), step("echo after", name="after", phase="verify"))
    run.until_log(b"is not known: the server does not say")
    say(run, "unknown", "was not looked at yet")
    run.until_log(b"probe `web` is unknown: was not looked at yet")
    say(run, "healthy")
    assert run.wait()["outcome"] == "success"
    assert b"probe `web` is healthy" in run.log()


def test_a_run_fails_by_the_probe_s_own_sentence_when_it_becomes_unhealthy(lab: Lab) -> None:
    run = lab.start(check(hold=60))
    run.until_log(b"is not known")
    say(run, "healthy")
    run.until_log(b"healthy, but not for 60 s yet")
    say(run, "unhealthy", "answered 500, not 200")
    end = run.wait()
    assert (end["outcome"], end["reason"]) == ("failed", "verify_failed")
    assert end["detail"] == "check `well` failed: probe `web` is unhealthy: answered 500, not 200"


def test_what_nobody_says_fails_when_the_step_s_time_is_over_and_not_before(lab: Lab) -> None:
    begun = time.monotonic()
    end = lab.end(check(timeout=1.0)).wait()
    assert time.monotonic() - begun >= 1.0
    assert (end["outcome"], end["reason"]) == ("failed", "verify_failed")
    unknown = "how probe `web` stands is not known: the server does not say"
    assert end["detail"] == f"check `well` did not pass within 1 s: {unknown}"


def test_a_check_of_probes_is_cancelled_as_any_other(lab: Lab) -> None:
    run = lab.start(check())
    run.until_event("step_started")
    run.cancel()
    assert run.wait()["reason"] == "cancelled"


def test_the_probes_that_a_ticket_asks_for_are_found(lab: Lab, tmp_path: Path) -> None:
    more = step(name="more", phase="verify", check={"probes": ["api", "web"]})
    run = lab.run(step("true"), check(), more)
    assert spool.asked_probes(run.dir) == {"web", "api"}
    assert spool.asked_probes(str(tmp_path / "nowhere")) == frozenset()
