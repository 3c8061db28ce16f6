"""`dg receipt`: fetched byte for byte, checked without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.core.deployments import receipt

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ID = "01936b2e-7c00-7000-8000-00000000000f"
FIRST = {
    "format": receipt.FORMAT,
    "deployment": {"service": "web", "environment": "production", "version": "1.4", "status": "success"},
}
SECOND = {**FIRST, "previous": {"deployment": ID, "sha256": receipt.digest(FIRST)}}
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two receipts that follow one another."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_bytes(receipt.sign(FIRST, KEY))
    second.write_bytes(receipt.sign(SECOND, KEY))
    return first, second


def public(key: Ed25519PrivateKey, path: Path) -> Path:
    path.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return path


def test_it_verifies_without_a_server_and_says_what_is_not_proved(
    files: tuple[Path, Path], capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DG_HOME", str(tmp_path / "none"))
    assert run(["receipt", "verify", str(files[0])]) == ExitCode.OK
    said = capsys.readouterr().out
    assert receipt.fingerprint(KEY.public_key()) in said
    assert "Whose key it is, the receipt cannot say" in said
    assert not (tmp_path / "none").exists()


def test_it_says_who_agreed_and_who_passed_what_as_far_as_it_counted(
    tmp_path: Path, capsys: Captured
) -> None:
    decided = [
        {"by": "ben", "verdict": "approved", "content": "0" * 64, "voided_at": "2026-11-26T11:00:00Z"},
        {"by": "cy", "verdict": "approved", "content": "1" * 64},
        {"by": "dan", "verdict": "overridden", "gate": "window", "content": "1" * 64},
    ]
    file = tmp_path / "receipt.json"
    file.write_bytes(receipt.sign({**FIRST, "approvals": decided}, KEY))
    assert run(["receipt", "verify", str(file)]) == ExitCode.OK
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["approved", "cy"] in said
    assert ["passed", "dan:", "window"] in said
    assert not any("ben" in line for line in said)


def test_a_chain_under_a_trusted_key(files: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    key = public(KEY, tmp_path / "key.pem")
    assert run(["receipt", "verify", *map(str, files), "--key", str(key)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "no receipt is missing between these" in said
    assert "signed by the key that you gave" in said


def test_wrong_key_wrong_order_and_a_changed_byte_are_refused(
    files: tuple[Path, Path], tmp_path: Path, capsys: Captured
) -> None:
    key = public(OTHER, tmp_path / "key.pem")
    assert run(["receipt", "verify", str(files[0]), "--key", str(key)]) == ExitCode.USAGE
    assert run(["receipt", "verify", str(files[1]), str(files[0])]) == ExitCode.USAGE
    files[0].write_bytes(files[0].read_bytes().replace(b"1.4", b"1.5"))
    assert run(["receipt", "verify", str(files[0])]) == ExitCode.USAGE
    said = capsys.readouterr().err
    for sentence in ("not by", "it is not the receipt after", "changed after it was signed"):
        assert sentence in said


def test_the_server_s_key_is_printed_as_verify_takes_it(
    api: ScriptedApi, files: tuple[Path, Path], tmp_path: Path, capsys: Captured
) -> None:
    mine = {
        "key": receipt.public_pem(KEY.public_key()),
        "fingerprint": receipt.fingerprint(KEY.public_key()),
    }
    api.on("GET /receipts/key", mine["key"].encode())
    assert run(["receipt", "key"]) == ExitCode.OK
    kept = tmp_path / "key.pem"
    kept.write_text(capsys.readouterr().out)
    assert run(["receipt", "verify", str(files[0]), "--key", str(kept)]) == ExitCode.OK
    assert "signed by the key that you gave" in capsys.readouterr().out
    assert run(["receipt", "key", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == mine


def test_get_writes_the_server_s_bytes(api: ScriptedApi, tmp_path: Path, capsys: Captured) -> None:
    made = {
        "id": ID, "number": 1, "service": "web", "environment": "production", "kind": "deploy",
        "status": "success", "stage": "finished", "version": "1.4", "commit_sha": "9" * 40, "created_by": "a",
        "created_at": "2026-11-26T07:00:00Z", "queued_at": "2026-11-26T07:00:00Z",
        "pipeline_sha256": "a" * 64,
    }  # fmt: skip
    api.on(f"GET /deployments/{ID}", made)
    api.on(f"GET /deployments/{ID}/receipt", receipt.sign(FIRST, KEY))
    target = tmp_path / "receipt.json"
    assert run(["receipt", "get", ID, "-o", str(target)]) == ExitCode.OK
    assert target.read_bytes() == receipt.sign(FIRST, KEY)
    assert run(["receipt", "show", ID, "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["receipt"] == FIRST
