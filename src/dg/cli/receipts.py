"""`dg receipt`: the signed record of one deployment, fetched from the server and checked without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.options import Command, Group, Invocation, pass_invocation
from dg.cli.output import Meaning

if TYPE_CHECKING:
    from dg.cli.output import Output
    from dg.core.deployments.receipt import Proof

WORDS = {"overridden": "passed"}
"""A decision where it is called otherwise than in the receipt."""

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(cls=Group)
def receipt() -> None:
    """Fetch and check signed receipts of deployments."""


@receipt.command(
    cls=Command,
    epilog="""\b
Examples:
  dg receipt get latest -o receipt.json
  dg receipt get 019acd5e-7c00-7000-8000-000000000000 > receipt.json""",
)
@click.argument("id", metavar="ID")
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write it here."
)
@pass_invocation
def get(invocation: Invocation, id: str, target: Path | None) -> None:  # noqa: A002
    """Write the receipt of a deployment that has ended. ID may be a number or `latest`."""
    from dg.cli.deployments import find
    from dg.cli.remote import server
    from dg.core.deployments.receipt import verify as check

    with server(invocation) as dg:
        document = dg.run(dg.client.deployments.receipt(find(dg, id).id))
    check(document)
    if target is None:
        sys.stdout.buffer.write(document)
        return
    try:
        target.write_bytes(document)
    except OSError as error:
        raise click.UsageError(f"{target} cannot be written: {error.strerror}.") from None


@receipt.command()
@click.argument("id", metavar="ID")
@pass_invocation
def show(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Print what the receipt of a deployment says. ID may be a number or `latest`."""
    from dg.cli.deployments import find
    from dg.cli.remote import server
    from dg.core.deployments.receipt import verify as check

    with server(invocation) as dg:
        proof = check(dg.run(dg.client.deployments.receipt(find(dg, id).id)))
    _print(proof, invocation.output)


@receipt.command(
    cls=Command,
    epilog="""\b
Examples:
  dg receipt verify receipt.json
  dg receipt verify --key production.pem first.json second.json third.json""",
)
@click.argument("files", metavar="FILE...", type=FILE, nargs=-1, required=True)
@click.option("--key", type=FILE, help="The public key (PEM) that must have signed them.")
@pass_invocation
def verify(invocation: Invocation, files: tuple[Path, ...], key: Path | None) -> None:
    """Check receipts without a server: nothing was changed, and each FILE follows the one before it.

    Without --key it is not said whose key signed: compare the fingerprint with one that you trust, or
    give what `dg receipt key` printed.
    """
    from dg.core.deployments.receipt import follows, read_key
    from dg.core.deployments.receipt import verify as check
    from dg.core.errors import Invalid

    trusted = read_key(key.read_bytes()) if key else None
    proofs = []
    for file in files:
        try:
            proofs.append(check(file.read_bytes(), trusted))
        except Invalid as problem:
            raise Invalid(f"{file}: {problem.message}", reason=problem.reason) from None
    for (file, earlier), (next_file, later) in pairwise(zip(files, proofs, strict=True)):
        if not follows(later, earlier):
            raise Invalid(f"{next_file}: it is not the receipt after {file} in its lane", reason="bad_chain")
    for proof in proofs:
        _print(proof, invocation.output)
    if not invocation.json:
        _say_what_is_proved(invocation.output, chain=len(proofs) > 1, trusted=trusted is not None)


@receipt.command(
    cls=Command,
    epilog="""\b
Example:
  dg receipt key > dg.pem && dg receipt verify --key dg.pem receipt.json""",
)
@pass_invocation
def key(invocation: Invocation) -> None:
    """Print the public key (PEM) that the server's receipts verify with.

    Fetch it once, from a machine that you trust, and keep it where you keep receipts.
    """
    from dg.cli.remote import server
    from dg.core.deployments.receipt import fingerprint, public_pem, read_key

    with server(invocation) as dg:
        found = read_key(dg.run(dg.client.deployments.receipt_key()))
    if invocation.json:
        invocation.output.record({"key": public_pem(found), "fingerprint": fingerprint(found)})
    else:
        click.echo(public_pem(found), nl=False)


def _print(proof: Proof, output: Output) -> None:
    if output.json:
        said = {"sha256": proof.sha256, "key": proof.fingerprint, "previous": proof.previous}
        output.record({**said, "receipt": proof.body})
        return
    deployment = proof.body["deployment"]
    service, environment = proof.lane
    output.line(
        output.glyph(str(deployment.get("status"))),
        f"{service} {deployment.get('version')} → {environment}",
        (f"#{deployment.get('number')} {deployment.get('kind')} {deployment.get('status')}", Meaning.DIM),
    )
    rows = [
        ("commit", deployment.get("commit_sha")),
        ("pipeline", proof.body.get("pipeline", {}).get("sha256")),
        ("log", proof.body.get("log", {}).get("sha256")),
        ("asked by", deployment.get("created_by")),
        *_decisions(proof.body.get("approvals", ())),
        ("ended", deployment.get("completed_at")),
        ("receipt", proof.sha256),
        ("previous", proof.previous or "none: the first of its lane"),
        ("key", proof.fingerprint),
    ]
    output.table([[(f"  {name}", Meaning.DIM), str(value)] for name, value in rows if value])


def _decisions(approvals: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Who agreed and who passed which gate, by reference, where it counted until the end."""
    for each in approvals:
        if "voided_at" not in each:
            gate = f": {each['gate']}" if "gate" in each else ""
            yield WORDS.get(each["verdict"], each["verdict"]), f"{each['by']}{gate}"


def _say_what_is_proved(output: Output, *, chain: bool, trusted: bool) -> None:
    if chain:
        output.line("Nothing was changed since it was signed, and no receipt is missing between these.")
    else:
        output.line("Nothing was changed since it was signed.")
    if trusted:
        output.line("They were signed by the key that you gave.")
    else:
        output.line("Whose key it is, the receipt cannot say: give --key, which `dg receipt key` prints.")
