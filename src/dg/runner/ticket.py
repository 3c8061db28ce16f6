"""The server's order to a runner, parsed: what to check out and which steps to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from dg.runner.limits import StepLimits

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Checkout(NamedTuple):
    """The files of `commit` of the repository `git_dir` go to `work`, which gets a `.git` of its own."""

    git_dir: str
    commit: str
    work: str


class Limits(NamedTuple):
    """Sizes of the log in bytes: of a line, of the kept beginning, of the kept end, of one file."""

    line_bytes: int = 16_384
    head_bytes: int = 2_097_152
    tail_bytes: int = 14_680_064
    file_bytes: int = 1_048_576


class Check(NamedTuple):
    """One of `http`, `tcp`, `command` and `probes` (names of the environment's); passes when it was good for
    `hold` seconds without a break."""

    http: str | None
    tcp: str | None
    command: tuple[str, ...] | None
    probes: tuple[str, ...] | None
    status: tuple[int, ...]
    contains: str | None
    headers: Mapping[str, str]
    hold: float
    every: float
    timeout: float


class Step(NamedTuple):
    """The ticket's step `index`; exactly one of `run`, `shell` and `check` is set. Times are seconds.

    `user` is another user to run as, `network` False leaves it only loopback.
    """

    number: int
    name: str
    phase: str
    run: tuple[str, ...] | None
    shell: str | None
    check: Check | None
    env: Mapping[str, str]
    secrets: tuple[str, ...]
    output: Mapping[str, str]
    timeout: float
    idle: float | None
    grace: float
    cancel: str
    when: str
    background: bool
    limits: StepLimits
    user: str | None
    network: bool


class Ticket(NamedTuple):
    """`area` is the folder outside the home for steps of other users; `limits_required` refuses a step of
    which a limit cannot be kept here."""

    deployment: str
    epoch: int
    lease: str
    cgroup: str | None
    checkout: Checkout | None
    area: str | None
    limits_required: bool
    grace: float
    env: Mapping[str, str]
    limits: Limits
    outputs: Mapping[str, str]
    steps: tuple[Step, ...]


def parse(raw: Mapping[str, Any]) -> Ticket:
    """Raises ValueError naming what is wrong."""
    try:
        return Ticket(
            deployment=str(raw["deployment"]),
            epoch=int(raw["epoch"]),
            lease=str(raw["lease"]),
            cgroup=raw.get("cgroup"),
            checkout=_checkout(raw.get("checkout")),
            area=raw.get("area"),
            limits_required=bool(raw.get("limits_required", True)),
            grace=float(raw.get("grace", 10.0)),
            env=_strings(raw.get("env")),
            limits=Limits(**raw.get("limits", {})),
            outputs=_strings(raw.get("outputs")),
            steps=tuple(_step(step) for step in raw["steps"]),
        )
    except KeyError as error:
        raise ValueError(f"the ticket lacks {error}") from error
    except TypeError as error:
        raise ValueError(f"the ticket is malformed: {error}") from error


def _checkout(raw: Mapping[str, Any] | None) -> Checkout | None:
    if raw is None:
        return None
    if not _COMMIT.fullmatch(raw["commit"]):
        raise ValueError("the ticket's commit is not a full hexadecimal commit id")
    return Checkout(str(raw["git_dir"]), raw["commit"], str(raw["work"]))


def _step(raw: Mapping[str, Any]) -> Step:
    run, shell, check = raw.get("run"), raw.get("shell"), raw.get("check")
    if sum(kind is not None for kind in (run, shell, check)) != 1:
        raise ValueError(f"step {raw['index']} needs exactly one of run, shell and check")
    idle = raw.get("idle")
    return Step(
        number=int(raw["index"]),
        name=str(raw["name"]),
        phase=str(raw["phase"]),
        run=_words(run),
        shell=shell,
        check=None if check is None else _check(check),
        env=_strings(raw.get("env")),
        secrets=_words(raw.get("secrets")) or (),
        output=_strings(raw.get("output")),
        timeout=float(raw["timeout"]),
        idle=None if idle is None else float(idle),
        grace=float(raw.get("grace", 10.0)),
        cancel=str(raw.get("cancel", "kill")),
        when=str(raw.get("when", "success")),
        background=bool(raw.get("background", False)),
        limits=StepLimits(**raw.get("limits", {})),
        user=raw.get("user"),
        network=bool(raw.get("network", True)),
    )


def _check(raw: Mapping[str, Any]) -> Check:
    return Check(
        http=raw.get("http"),
        tcp=raw.get("tcp"),
        command=_words(raw.get("command")),
        probes=_words(raw.get("probes")),
        status=tuple(int(code) for code in raw.get("status", [200])),
        contains=raw.get("contains"),
        headers=_strings(raw.get("headers")),
        hold=float(raw.get("for", 0.0)),
        every=float(raw.get("every", 1.0)),
        timeout=float(raw.get("timeout", 5.0)),
    )


def _words(raw: list[str] | None) -> tuple[str, ...] | None:
    return None if raw is None else tuple(str(word) for word in raw)


def _strings(raw: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (raw or {}).items()}
