"""`dg contracts`: the API's contracts as they stand in this installation, without a server."""

from __future__ import annotations

import json

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning


@click.command(cls=Group)
def contracts() -> None:
    """Check and print the API's contracts."""


@contracts.command()
@pass_invocation
def validate(invocation: Invocation) -> ExitCode:
    """Say what is wrong with the contracts: references, links, examples, and what they have in common."""
    from dg.api import contract, soundness

    output = invocation.output
    documents = {name: contract.load(name) for name in contract.NAMES}
    found = list(soundness.findings(documents))
    for finding in found:
        if output.json:
            output.record(finding._asdict())
        else:
            output.line((finding.contract, Meaning.ERR), f"{finding.where}: {finding.sentence}")
    if not found and not output.json:
        output.table(
            [
                (
                    output.status("ok"),
                    name,
                    str(len(list(soundness.operations(document)))),
                    str(len(list(soundness.examples(document)))),
                )
                for name, document in documents.items()
            ],
            header=("", "CONTRACT", "OPERATIONS", "EXAMPLES"),
            right=frozenset({2, 3}),
        )
    return ExitCode.FAILED if found else ExitCode.OK


@contracts.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@pass_invocation
def bundle(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Print one OpenAPI document that holds all contracts, or those that are named; with --json as JSON."""
    import yaml

    from dg.api import contract
    from dg.api.bundle import bundle as bundled

    for name in names:
        if name not in contract.NAMES:
            raise click.BadParameter(f"there is no contract {name!r}; there are {', '.join(contract.NAMES)}")
    whole = bundled({name: contract.load(name) for name in names or contract.NAMES})
    text = (
        json.dumps(whole, indent=2) + "\n"
        if invocation.json
        else yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=110)
    )
    click.echo(text, nl=False)


@contracts.command()
@pass_invocation
def docs(invocation: Invocation) -> None:
    """Print the API reference: every operation and schema on one Markdown page."""
    from dg.api import contract
    from dg.api.docs.reference import page

    text = page({name: contract.load(name) for name in contract.NAMES})
    if invocation.json:
        invocation.output.record({"markdown": text})
        return
    click.echo(text, nl=False)


@contracts.command()
@pass_invocation
def gateway(invocation: Invocation) -> None:
    """Print the routes that a gateway in front of dg has to let through, as the specification writes them."""
    from dg.api.gateway import routes

    found = routes()
    if invocation.json:
        invocation.output.record({"api_gateway": {"routes": [route.entry() for route in found]}})
        return
    click.echo("api_gateway:\n  routes:")
    for route in found:
        click.echo(f"    - path: {route.path}\n      service: {route.service}")
        click.echo(f"      methods: [{', '.join(route.methods)}]")
