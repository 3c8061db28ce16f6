"""A secret in every field where one can stand, through a real server: a step gets it, and nobody else."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.files import contents
from tests.scenarios.house import House, arguments, pids, step

from dg.core.deployments.models import CreateDeployment, Status
from dg.core.environments.models import Ciphertext
from dg.core.keys import fresh
from dg.core.types import Environment

STAGING = Environment.STAGING
CANARIES = {
    name: f"canary-{name}-7f3e91b2".replace("_", "-")
    for name in ("database_url", "redis_url", "api_key_mail", "session_key", "alone", "sealed", "kube_token")
}
SHOW = """
for name in {names}; do
    eval "value=\\${{$name}}"; printf '%s\\n' "$value"; printf '%s' "$value" | base64 -w0; echo
done
touch {folder}/shown; while [ ! -e {folder}/stop ]; do sleep 0.05; done
"""
READS = (
    *("", "?version=1", "/history", "/diff?from=0", "/diff?with=production", "/secrets", "/drift"),
    "/secrets/session_key/sealing-key",
)
ELSEWHERE = (
    "/v1/environments",
    "/v1/events",
    "/v1/audit",
    "/v1/diagnostics",
    "/metrics",
    "/health",
    "/v1/deployments",
)


def forms(canary: str) -> tuple[bytes, ...]:
    """The value, and what it looks like in the encodings that programs use unasked."""
    raw = canary.encode()
    encoded = {base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)}
    return (raw, raw.hex().encode(), *sorted(encoded))


def found(data: bytes) -> list[str]:
    return [name for name, canary in CANARIES.items() if any(form in data for form in forms(canary))]


def in_files(folder: Path) -> dict[str, list[str]]:
    """The canaries in each file below a folder that has any."""
    looked = {str(path.relative_to(folder)): found(content) for path, content in contents(folder)}
    return {path: names for path, names in looked.items() if names}


def in_processes() -> dict[int, list[str]]:
    """The canaries in what everybody sees of the machine's processes."""
    looked = {pid: found(b" ".join(arguments(pid))) for pid in pids()}
    return {pid: names for pid, names in looked.items() if names}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    settings = {
        "DG_RUNNER__DECRYPT": "base64 -d",
        "DG_KEYS__ENV": "THE_KEY",
        "THE_KEY": fresh().strip(),
        "DG_LOGGING__REQUESTS": "true",
        "DG_LOGGING__LEVEL": "debug",
    }
    house = House(tmp_path, settings)
    try:
        yield house
    finally:
        house.close()


def configured() -> dict[str, Any]:
    return {
        "domain": "staging.example.com",
        "config": {
            "workers": 4,
            "database_url": f"postgresql://app:{CANARIES['database_url']}@db/app",
            "redis_url": f"redis://:{CANARIES['redis_url']}@cache/0",
            "api_keys": {"mail": CANARIES["api_key_mail"]},
        },
        "secrets": {"session_key": CANARIES["session_key"]},
    }


def mistaken() -> list[tuple[str, dict[str, Any]]]:
    """Requests that are refused, each with a secret in the place of the mistake."""
    value = CANARIES["alone"]
    return [
        ("", {**configured(), "config": {"redis_url": value}}),
        ("", {**configured(), "config": {"api_keys": [value]}}),
        ("", {**configured(), "secrets": {"session_key": {"value": value}}}),
        ("", {**configured(), "secrets": {"session_key": f"{value}\0"}}),
        ("", {**configured(), "more": value}),
        ("/secrets/alone", {"value": [value]}),
        ("/secrets/alone", {"value": value, "ciphertext": value}),
        ("/secrets/alone", {"value": value * 3000}),
        (
            "/secrets/alone",
            {"sealed": {"key": "0" * 32, "version": 1, "box": base64.b64encode(value.encode() * 3).decode()}},
        ),
        ("/secrets/api_key_", {"value": value}),
    ]


async def set_all(house: House, http: httpx.AsyncClient) -> list[httpx.Response]:
    """Every way in which a secret comes in, and what was answered."""
    where = "/v1/environments/staging"
    answers = [await http.put(f"{where}?dry_run=true", json=configured())]
    answers.append(await http.put(where, json=configured(), headers={"idempotency-key": "first"}))
    answers.append(await http.put(where, json=configured(), headers={"idempotency-key": "first"}))
    answers.append(await http.put(where, json=configured(), headers={"if-match": '"0"'}))
    answers.append(await http.put(f"{where}/secrets/alone", json={"value": CANARIES["alone"]}))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 412, 200]
    refused = [await http.put(where + path, json=body) for path, body in mistaken()]
    assert {answer.status_code for answer in refused} <= {400, 412}
    async with house.client() as dg:
        await dg.environments.seal_secret(STAGING, "sealed", CANARIES["sealed"])
        text = base64.b64encode(CANARIES["kube_token"].encode()).decode()
        # Sealed by a stand-in for age: what dg keeps is not the value.
        await dg.environments.set_secret(STAGING, "kube_token", Ciphertext(ciphertext=text))
    return [*answers, *refused]


def pipeline(house: House, folder: Path) -> str:
    names = sorted(CANARIES)
    script = SHOW.format(names=" ".join(name.upper() for name in names), folder=folder)
    return house.pipeline(
        step("show", "deploy", f"shell = {json.dumps(script)}\nsecrets = {json.dumps(names)}")
    )


def backed_up(house: House, folder: Path) -> Path:
    """A backup of the whole home, taken while the server runs, opened in a folder."""
    file, back = folder / "home.dgb", folder / "back"
    key = house.home.keys / "backup.key"
    for command in (
        ["backup", str(file), "--home", str(house.home.path)],
        ["restore", str(file), "--home", str(back), "--key-file", str(key)],
    ):
        argv = [sys.executable, "-P", "-m", "dg", *command]
        environ = {"PATH": "/usr/bin:/bin", **house.settings}
        done = subprocess.run(argv, capture_output=True, text=True, env=environ, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    assert found(file.read_bytes()) == []
    return back


def test_what_is_looked_for_would_be_found() -> None:
    for name, canary in CANARIES.items():
        inside = f"user:{canary}@host".encode()
        for data in (
            inside,
            base64.b64encode(inside),
            base64.b64encode(b"x" + inside),
            inside.hex().encode(),
        ):
            assert found(data) == [name]
    assert found(b"canary") == []


async def test_a_secret_is_found_where_a_step_gets_it_alone(house: House, tmp_path: Path) -> None:
    house.repository.commit("good")
    house.start()
    headers = {"authorization": f"Bearer {house.token}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=60) as http:
        answers = await set_all(house, http)
        file = tmp_path / "dg.toml"
        file.write_text(pipeline(house, tmp_path))
        assert house.dg("pipeline", "register", str(file)).returncode == 0
        async with house.client() as dg:
            wish = CreateDeployment(service="web", environment=STAGING, ref="main", version="1")
            deployment = await house.deploy(dg, wish)
            deadline = time.monotonic() + 60
            async for _ in dg.deployments.watch(deployment.id):
                assert time.monotonic() < deadline
                if (tmp_path / "shown").exists():
                    break
            seen = in_processes()
            (tmp_path / "stop").touch()
            ended = [each.deployment.status async for each in dg.deployments.watch(deployment.id)][-1]
            log = b"".join([part async for part in dg.deployments.raw_logs(deployment.id)])
        paths = [f"/v1/environments/staging{path}" for path in READS] + list(ELSEWHERE)
        answers += [await http.get(path) for path in paths]
    assert ended is Status.SUCCESS, log
    assert log.count(b"***") >= 2 * len(CANARIES), log
    assert found(log) == []
    assert [
        str(answer.url) for answer in answers if found(answer.content + repr(answer.headers).encode())
    ] == []
    assert seen == {}
    back = backed_up(house, tmp_path)
    house.stop()
    assert in_files(house.home.path) == {}
    assert in_files(back) == {}
    assert found(f"{house.errors}".encode() + house.said()) == []
