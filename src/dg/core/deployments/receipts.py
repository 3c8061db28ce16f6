"""Keeps the receipts: each is made in the transaction that ends its deployment and never changes after it.

The receipt holds the hash of the one before it in its lane, and the ledger's `deployment.finished` holds the
hash of the receipt: neither chain can be written anew without the other. Free text that people wrote stays
out, so that an erasure never has to break the chain.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import ledger, schema
from dg.core.clock import to_datetime
from dg.core.database import Row, Statement, Tx
from dg.core.deployments import receipt, store
from dg.core.deployments.gates import store as approvals
from dg.core.deployments.models import Approval, Deployment, Gate, Step
from dg.core.events import DeploymentFinished
from dg.core.ledger import Doubt

_r = schema.receipts

_INSERT = Statement(
    _r.insert().values({column.name: bindparam(column.name) for column in _r.columns if column.name != "seq"})
)
_NEWEST = Statement(
    sa.select(_r.c.deployment_id, _r.c.sha256)
    .where(_r.c.service == bindparam("service"), _r.c.environment == bindparam("environment"))
    .order_by(_r.c.seq.desc())
    .limit(1)
)
_OF = Statement(sa.select(_r.c.body).where(_r.c.deployment_id == bindparam("of")))

_KEPT = Statement(sa.select(_r.c.sha256, _r.c.body).where(_r.c.deployment_id == bindparam("of")))
_COUNT = Statement(sa.select(sa.func.count().label("n")).select_from(_r))
_FINISHED = DeploymentFinished.type

_FACTS = (
    *("id", "number", "service", "environment", "kind", "status", "reason", "touched", "version"),
    *("commit_sha", "ref", "base_sha", "rollback_of", "target", "created_by", "cancel_then_rollback"),
    *("retry_of", "from_step"),
)
_TIMES = (
    *("created_at", "queued_at", "not_before", "expires_at", "started_at", "deploying_at", "completed_at"),
    "cancel_requested_at",
)
_GATE = ("name", "open", "overridden_by", "values")
_APPROVAL = ("by", "verdict", "gate", "content")
_STEP = ("index", "name", "phase", "status", "reversible", "reason")


@dataclass(frozen=True)
class Log:
    """The whole output as the runner wrote it: SHA-256 over its lines, and how many they are."""

    sha256: str
    lines: int


def log_of(end: Mapping[str, Any]) -> Log | None:
    """What a run's end says of its log; None when that is not to be believed: a step can write there too."""
    sha256, lines = end.get("log_sha256"), end.get("log_lines")
    hashed = isinstance(sha256, str) and re.fullmatch(r"[0-9a-f]{64}", sha256)
    counted = isinstance(lines, int) and not isinstance(lines, bool) and 0 <= lines < 1 << 53
    return Log(str(sha256), int(lines or 0)) if hashed and counted else None


def issue(tx: Tx, ended: Deployment, log: Log | None) -> str:
    """Make and keep the receipt of a deployment that ends in this transaction; returns its SHA-256."""
    service, environment = ended.lane
    body = _body(tx, ended, log)
    sha256 = receipt.digest(body)
    text = receipt.canonical(body).decode()
    tx.run(
        _INSERT, deployment_id=ended.id, service=service, environment=environment, sha256=sha256, body=text
    )
    return sha256


def find(tx: Tx, deployment_id: str) -> receipt.Body | None:
    """The receipt of a deployment; None while it lives, and for one that ended before there were receipts."""
    row = tx.one(_OF, of=deployment_id)
    return json.loads(row["body"]) if row else None


class ReceiptsWitness:
    """Holds the receipts against the ledger: each `deployment.finished` names the hash of its own."""

    def __init__(self) -> None:
        self._named = 0

    def page(self, tx: Tx, rows: Sequence[Row]) -> Doubt | None:
        for row in rows:
            named = json.loads(row["payload"]).get("receipt") if row["type"] == _FINISHED else None
            if named is not None:
                self._named += 1
                if doubt := _doubt(tx, row, named):
                    return doubt
        return None

    def end(self, tx: Tx) -> Doubt | None:
        kept = (tx.one(_COUNT) or {"n": 0})["n"]
        if kept == self._named:
            return None
        message = f"{kept} receipts are kept and entries name {self._named}: one was put in"
        return Doubt(ledger.head(tx).seq, message)


def _doubt(tx: Tx, row: Row, named: str) -> Doubt | None:
    found = tx.one(_KEPT, of=row["object"])
    if found is None:
        what = "is missing"
    elif found["sha256"] != named or not _is_body(found["body"], named):
        what = "was changed after it was written"
    else:
        return None
    return Doubt(row["seq"], f"the receipt of {row['object']}, which entry {row['seq']} names, {what}")


def _is_body(text: str, sha256: str) -> bool:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == sha256


def _body(tx: Tx, ended: Deployment, log: Log | None) -> dict[str, Any]:
    service, environment = ended.lane
    head = ledger.head(tx)
    previous = tx.one(_NEWEST, service=service, environment=environment)
    body: dict[str, Any] = {
        "format": receipt.FORMAT,
        "deployment": _facts(ended.model_dump(mode="json"), _FACTS, _TIMES),
        "pipeline": {"sha256": ended.pipeline_sha256},
        "outputs": ended.outputs,
        "steps": [_step(step) for step in store.steps(tx, ended.id)],
        "ledger": {
            "head": {"seq": head.seq, "hash": head.hash},
            "entries": [
                {"seq": entry.seq, "type": entry.type, "actor": entry.actor, "hash": entry.hash}
                for entry in ledger.about(tx, ended.id)
            ],
        },
    }
    if ended.guard is not None:
        body["gates"] = [_gate(gate) for gate in ended.gates or ()]
        body["approvals"] = [_approval(approval) for approval in approvals.of(tx, ended.id)]
    if log is not None:
        body["log"] = {"sha256": log.sha256, "lines": log.lines}
    if previous is not None:
        body["previous"] = {"deployment": previous["deployment_id"], "sha256": previous["sha256"]}
    return body


def _step(step: Step) -> dict[str, Any]:
    return _facts(step.model_dump(mode="json"), _STEP, ("started_at", "completed_at"))


def _gate(gate: Gate) -> dict[str, Any]:
    """A gate as it was judged in the transaction that started the deployment."""
    return _facts(gate.model_dump(mode="json"), _GATE, ())


def _approval(approval: Approval) -> dict[str, Any]:
    return _facts(approval.model_dump(mode="json"), _APPROVAL, ("at", "expires_at", "voided_at"))


def _facts(row: Mapping[str, Any], names: Iterable[str], times: Iterable[str]) -> dict[str, Any]:
    """The named values that are set, moments as RFC 3339."""
    values = {name: row[name] for name in names if row[name] is not None}
    return values | {name: _moment(row[name]) for name in times if row[name] is not None}


def _moment(micros: int) -> str:
    return to_datetime(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")
