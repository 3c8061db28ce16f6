"""Receipts: what they hold, that they never change, and that nothing changed in one goes unseen."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.core.deployments.desk import Desk, commit_of, text
from tests.core.deployments.world import ADMIN, OPERATOR, World, step

from dg.core import ledger, schema
from dg.core.database import Statement, Tx
from dg.core.deployments import pipeline, receipt, receipts
from dg.core.deployments.models import Deployment, Reason
from dg.core.deployments.receipt import Body, follows, sign, verify
from dg.core.errors import Invalid, NotFound, Refused

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
BODY = {
    "format": receipt.FORMAT,
    "deployment": {"service": "web", "environment": "production", "version": "größer", "number": 7},
    "previous": {"deployment": "d6", "sha256": "ab" * 32},
}

_FORGET = Statement(schema.receipts.delete())


async def kept(desk: Desk, deployment: Deployment) -> Body:
    body = await desk.db.read(lambda tx: receipts.find(tx, deployment.id))
    assert body is not None
    return body


@functools.cache
def document() -> bytes:
    return sign(BODY, KEY)


def resigned(**changes: Any) -> bytes:
    return sign({**BODY, **changes}, KEY)


# --- what is kept


async def test_a_receipt_says_what_ran_and_how_it_ended(desk: Desk) -> None:
    done = await desk.succeed("v1", ref="refs/tags/v1")
    body = await kept(desk, done)
    deployment = body["deployment"]
    assert (deployment["id"], deployment["status"], deployment["version"]) == (done.id, "success", "v1")
    assert (deployment["commit_sha"], deployment["ref"]) == (commit_of("v1"), "refs/tags/v1")
    assert body["outputs"] == {"image": "web:v1"}
    assert body["pipeline"] == {"sha256": pipeline.sha256(text())}
    assert [each["name"] for each in body["steps"]] == ["build", "migrate", "rollout", "smoke"]


async def test_the_ledger_and_the_receipt_hold_each_other(desk: Desk) -> None:
    done = await desk.succeed("v1")
    body = await kept(desk, done)
    (finished,) = await desk.entries("deployment.finished")
    assert finished.payload["receipt"] == receipt.digest(body)
    before = [entry for entry in await desk.entries() if entry.seq < finished.seq]
    assert [(entry["seq"], entry["hash"]) for entry in body["ledger"]["entries"]] == [
        (entry.seq, entry.hash) for entry in before if entry.object == done.id
    ]
    assert body["ledger"]["head"] == {"seq": before[-1].seq, "hash": before[-1].hash}


async def test_each_receipt_of_a_lane_holds_the_one_before(desk: Desk) -> None:
    first, bad = await desk.succeed("v1"), await desk.fail("v2")
    back = await desk.end(await desk.rollback())
    proofs = [verify(sign(await kept(desk, each), KEY)) for each in (first, bad, back)]
    assert proofs[0].previous is None
    assert follows(proofs[1], proofs[0])
    assert follows(proofs[2], proofs[1])
    assert not follows(proofs[2], proofs[0])


async def test_the_receipt_of_another_lane_is_no_predecessor(desk: Desk) -> None:
    await desk.succeed("v1")
    desk.lane = ("web", "staging")
    assert "previous" not in await kept(desk, await desk.succeed("v1"))


async def test_a_receipt_stays_when_its_deployment_is_rolled_back(desk: Desk) -> None:
    await desk.succeed("v1")
    bad = await desk.fail("v2")
    before = await kept(desk, bad)
    await desk.end(await desk.rollback())
    assert (await desk.read(bad)).status == "rolled_back"
    assert await kept(desk, bad) == before
    assert before["deployment"]["status"] == "failed"


async def test_free_text_of_people_stays_out(desk: Desk) -> None:
    begun = await desk.begin("v1", note="Ana's idea", override="Bo agreed")
    ended = await desk.end(begun, "failed", Reason.STEP_FAILED, "asked by Cy")
    raw = receipt.canonical(await kept(desk, ended)).decode()
    assert not any(word in raw for word in ("Ana", "Bo agreed", "Cy"))


async def test_a_real_run_leaves_its_logs_hash_and_a_document_that_verifies(world: World) -> None:
    await world.register(step("rollout", "deploy", "echo one; echo two"))
    done = await world.ended(await world.create())
    assert done.status == "success"
    signed = await world.core.deployments.receipt(OPERATOR, done.id)
    assert signed == await world.core.deployments.receipt(ADMIN, done.id)
    proof = verify(signed, world.parts.receipt_key.public_key())
    page = await world.core.deployments.logs(ADMIN, done.id)
    assert proof.body["log"]["lines"] == len(page.items) >= 2
    assert len(proof.body["log"]["sha256"]) == 64
    assert (world.home.keys / "receipts.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("lines", [None, "3", 3.0, True, -1, 1 << 53])
def test_a_forged_count_of_lines_is_left_out(lines: Any) -> None:
    assert receipts.log_of({"log_sha256": "a" * 64, "log_lines": lines}) is None


@pytest.mark.parametrize("sha256", [None, 5, "", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_forged_hash_of_the_log_is_left_out(sha256: Any) -> None:
    assert receipts.log_of({"log_sha256": sha256, "log_lines": 3}) is None
    assert receipts.log_of({"log_sha256": "a" * 64, "log_lines": 3}) == receipts.Log("a" * 64, 3)


async def test_a_deployment_that_lives_has_no_receipt_yet(quiet: World) -> None:
    pending = await quiet.create()
    with pytest.raises(Refused, match="it has a receipt when it has ended"):
        await quiet.core.deployments.receipt(OPERATOR, pending.id)
    ended = await quiet.core.deployments.cancel(OPERATOR, pending.id)
    proof = verify(await quiet.core.deployments.receipt(OPERATOR, ended.id))
    assert proof.body["deployment"]["reason"] == "cancelled"
    assert "log" not in proof.body


async def test_one_that_ended_before_receipts_were_kept_says_so(quiet: World) -> None:
    ended = await quiet.core.deployments.cancel(OPERATOR, (await quiet.create()).id)
    await quiet.db.write(lambda tx: tx.run(_FORGET))
    with pytest.raises(NotFound, match="ended before this server kept receipts"):
        await quiet.core.deployments.receipt(OPERATOR, ended.id)


# --- what verification finds


def test_the_same_receipt_gives_the_same_bytes() -> None:
    assert sign(BODY, KEY) == document()
    proof = verify(document(), KEY.public_key())
    assert (proof.body, proof.lane, proof.previous) == (BODY, ("web", "production"), "ab" * 32)


@given(st.data())
def test_no_changed_byte_goes_unseen(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(document()) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != document()[at]))
    with pytest.raises(Invalid):
        verify(document()[:at] + bytes([other]) + document()[at + 1 :])


@given(st.integers(0, 2000), st.binary(max_size=3))
def test_nothing_cut_off_or_put_in_goes_unseen(at: int, piece: bytes) -> None:
    changed = document()[:at] + piece
    if changed != document():
        with pytest.raises(Invalid):
            verify(changed)
    if piece:
        with pytest.raises(Invalid):
            verify(document()[:at] + piece + document()[at:])


def test_another_key_than_the_trusted_one_is_refused() -> None:
    with pytest.raises(Invalid, match="not by"):
        verify(document(), OTHER.public_key())


def test_a_signature_of_one_receipt_does_not_fit_another() -> None:
    forged = json.loads(resigned(outputs={"image": "evil"}))
    forged["signature"] = json.loads(document())["signature"]
    written = json.dumps(forged, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    with pytest.raises(Invalid, match="changed after it was signed"):
        verify(written.encode())


def test_a_key_that_was_swapped_is_refused() -> None:
    forged = json.loads(document())
    pem = OTHER.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    forged["key"] = pem.decode()
    written = json.dumps(forged, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    with pytest.raises(Invalid, match="made for another key"):
        verify(written.encode())


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        b'{"key": 1, "receipt": 2, "signature": 3}',
        b"[" * 100_000,
        b'{"key": 1e400}',
        b" " * (receipt.LARGEST + 1),
        b'{"key": "x", "receipt": {}, "signature": {"protected": "", "signature": ""}}',
    ],
    ids=lambda bad: bad[:20].decode("ascii", "replace"),
)
def test_what_is_no_receipt_is_refused_with_a_sentence(bad: bytes) -> None:
    with pytest.raises(Invalid):
        verify(bad)


def test_a_receipt_of_a_later_format_is_not_judged() -> None:
    with pytest.raises(Invalid, match="reads receipts of the format"):
        verify(resigned(format="dg.receipt/2"))


# --- held against the ledger

KEPT = Statement(sa.select(schema.receipts).order_by(schema.receipts.c.seq))
REPLACE = Statement(
    schema.receipts.update()
    .where(schema.receipts.c.deployment_id == sa.bindparam("of"))
    .values(sha256=sa.bindparam("sha256_"), body=sa.bindparam("body_"))
)
REMOVE = Statement(schema.receipts.delete().where(schema.receipts.c.deployment_id == sa.bindparam("of")))
INSERT = Statement(schema.receipts.insert())


async def checked(desk: Desk) -> ledger.Verdict:
    def work(tx: Tx) -> ledger.Verdict:
        check = ledger.Check((receipts.ReceiptsWitness(),))
        while check.page(tx, limit=7):
            pass
        return check.verdict(ledger.head(tx))

    return await desk.db.read(work)


async def finished(desk: Desk, deployment: Deployment) -> int:
    """The entry that names its receipt."""
    return next(
        entry.seq for entry in await desk.entries("deployment.finished") if entry.object == deployment.id
    )


@pytest.fixture
async def three(desk: Desk) -> list[Deployment]:
    """Deployments that ended, and one that did not."""
    ended = [await desk.succeed(version) for version in ("v1", "v2", "v3")]
    await desk.ask("v4")
    return ended


async def test_receipts_and_ledger_fit(desk: Desk, three: list[Deployment]) -> None:
    assert (await checked(desk)).ok


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("with_its_hash", [False, True])
async def test_a_receipt_written_anew_is_found_by_the_ledger(
    desk: Desk, three: list[Deployment], which: int, with_its_hash: bool
) -> None:
    old = (await desk.db.read(lambda tx: tx.all(KEPT)))[which]
    body = {**json.loads(old["body"]), "outputs": {"image": "another"}}
    sha256 = receipt.digest(body) if with_its_hash else old["sha256"]
    text = receipt.canonical(body).decode()
    await desk.write(lambda tx: tx.run(REPLACE, of=old["deployment_id"], sha256_=sha256, body_=text))
    verdict = await checked(desk)
    assert (verdict.ok, verdict.bad_seq) == (False, await finished(desk, three[which]))
    assert "was changed after it was written" in verdict.message


@pytest.mark.parametrize("which", range(3))
async def test_a_receipt_that_was_removed_is_missed(desk: Desk, three: list[Deployment], which: int) -> None:
    await desk.write(lambda tx: tx.run(REMOVE, of=three[which].id))
    verdict = await checked(desk)
    assert (verdict.ok, verdict.bad_seq) == (False, await finished(desk, three[which]))
    assert verdict.message.endswith("is missing")


async def test_a_receipt_that_no_entry_names_is_found(desk: Desk, three: list[Deployment]) -> None:
    where = {"service": "web", "environment": "production"}
    await desk.write(
        lambda tx: tx.run(INSERT, seq=99, deployment_id="made-up", sha256="0" * 64, body="{}", **where)
    )
    verdict = await checked(desk)
    assert verdict.message == "4 receipts are kept and entries name 3: one was put in"


async def test_the_server_s_own_check_looks_at_receipts(world: World) -> None:
    await world.register(step("rollout", "deploy", "true"))
    done = await world.deploy("v1")
    assert (await world.core.feed.verify(ADMIN)).ok
    await world.db.write(lambda tx: tx.run(REMOVE, of=done.id))
    assert f"the receipt of {done.id}" in (await world.core.feed.verify(ADMIN)).message
