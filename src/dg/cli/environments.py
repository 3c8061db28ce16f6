"""`dg env`: what environments are configured with, and how that came to be."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ENVIRONMENT, Span
from dg.cli.words import SECOND
from dg.client.words import time_ago

if TYPE_CHECKING:
    from dg.client.sync import Blocking
    from dg.core.environments.models import (
        Difference,
        EnvironmentDiff,
        EnvironmentState,
        Kind,
        RunningCheck,
        SecretState,
        UpdateEnvironment,
        Version,
    )
    from dg.core.types import Environment

NAME = click.argument("environment", metavar="ENVIRONMENT", type=ENVIRONMENT)
REASON = click.option("--reason", help="Why; it stands in the history.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say what would change.")

_EDITED = ("domain", "config", "targets", "links", "protection", "runs", "probes")


@click.command(cls=Group)
def env() -> None:
    """Show, change and compare what environments are configured with."""


@env.command("list")
@pass_invocation
def list_environments(invocation: Invocation) -> None:
    """List the environments."""
    from dg.cli.remote import now, record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.environments.list())
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    rows: list[list[Text]] = [[each.name.value, str(each.version), *_changed(each, now())] for each in found]
    output.table(rows, header=("ENVIRONMENT", "VERSION", "CHANGED", "BY", "DOMAIN"))


def _changed(state: EnvironmentState, now: int) -> tuple[Text, Text, Text]:
    if state.changed_at is None:
        return "never", "", ""
    return (
        time_ago((now - state.changed_at) / SECOND),
        state.changed_by_name or state.changed_by or "",
        state.domain,
    )


@env.command()
@NAME
@click.option("--version", type=click.IntRange(min=0), help="As it was in this version.")
@pass_invocation
def show(invocation: Invocation, environment: Environment, version: int | None) -> None:
    """Show what ENVIRONMENT is configured with; of secrets only that they are set."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.environments.get(environment, version))
    if invocation.output.json:
        record(invocation.output, found)
    else:
        print_state(found, invocation.output)


def print_state(state: EnvironmentState, output: Output) -> None:
    """Every key of an environment."""
    from dg.core.environments.content import path_of

    by = state.changed_by_name or state.changed_by
    told = f"version {state.version} by {by}" if by else "never configured"
    output.line((state.name.value, Meaning.STRONG), (told, Meaning.DIM))
    rows: list[list[Text]] = [["domain", state.domain]] if state.domain else []
    rows += [
        [f"config.{key}", json.dumps(value, ensure_ascii=False)]
        for key, value in sorted(settings(state).items())
    ]
    rows += [[path_of(name), (mask(each), Meaning.DIM)] for name, each in sorted(state.secrets.items())]
    rows += [
        [f"targets.{kind}", " ".join(names)] for kind, names in state.targets.model_dump().items() if names
    ]
    rows += [
        [f"protection.{key}", json.dumps(value, ensure_ascii=False)]
        for key, value in sorted(state.protection.items())
    ]
    rows += [[f"links.{name}", url] for name, url in sorted(state.links.items())]
    rows += [[f"runs.{name}", _asked(check)] for name, check in sorted(state.runs.items())]
    rows += [
        [f"probes.{name}", json.dumps(probe, ensure_ascii=False)]
        for name, probe in sorted(state.probes.items())
    ]
    output.table(rows, whole=True)


def _asked(check: RunningCheck) -> str:
    """Whom a check asks, where in what it says the version is, and how often."""
    whom = check.url or shlex.join(check.command or ())
    part = f" at {check.pointer}" if check.pointer is not None else ""
    part += f" by {check.pattern}" if check.pattern is not None else ""
    return f"{whom}{part}, every {check.interval} s"


def settings(state: EnvironmentState) -> dict[str, Any]:
    """What of its configuration is no secret."""
    from dg.core.environments.models import API_KEYS, URLS

    return {key: value for key, value in state.config.items() if key not in (*URLS, API_KEYS)}


def mask(secret: SecretState) -> str:
    """What stands for a secret's value."""
    return f"set, version {secret.version}, fingerprint {secret.fingerprint}"


@env.command(
    "set",
    epilog="""\b
Examples:
  dg env set staging workers=8 debug=false --reason 'more load'
  dg env set production --domain app.example.com --unset debug --dry-run""",
)
@NAME
@click.argument("pairs", metavar="KEY=VALUE", nargs=-1)
@click.option("--unset", "unset", multiple=True, metavar="KEY", help="Take this key away; again for more.")
@click.option("--domain", help="Where it answers.")
@REASON
@DRY_RUN
@pass_invocation
def set_(
    invocation: Invocation,
    environment: Environment,
    pairs: tuple[str, ...],
    unset: tuple[str, ...],
    domain: str | None,
    reason: str | None,
    dry_run: bool,
) -> None:
    """Change settings of ENVIRONMENT; the others stay.

    A VALUE that is JSON (a number, true, a list) is that, any other is text. `dg secret` sets secrets.
    """
    from dg.cli.remote import server

    given = dict(map(_pair, pairs))
    if not given and not unset and domain is None:
        raise click.UsageError("say what to change: KEY=VALUE, --unset KEY or --domain")

    def change(state: EnvironmentState) -> UpdateEnvironment:
        kept = settings(state)
        if unknown := [key for key in unset if key not in kept]:
            raise click.UsageError(f"{environment} has no setting {unknown[0]}")
        kept = {key: value for key, value in kept.items() if key not in unset} | given
        return _wish(state, {"domain": domain or state.domain, "config": kept}, reason)

    with server(invocation) as dg:
        before = dg.run(dg.client.environments.get(environment))
        _apply(dg, invocation.output, before, change(before), dry_run=dry_run)


def _pair(text: str) -> tuple[str, Any]:
    from dg.core.environments.models import API_KEY, API_KEYS, URLS

    key, equals, value = text.partition("=")
    if key in (*URLS, API_KEYS) or key.startswith((API_KEY, f"{API_KEYS}.")):
        raise click.UsageError(f"{key} is a secret, which nobody else may see: dg secret set")
    if not equals or not key:
        raise click.UsageError("write a setting as KEY=VALUE")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


def _wish(state: EnvironmentState, changes: dict[str, Any], reason: str | None) -> UpdateEnvironment:
    """The state with these changes, without its secrets: those stay."""
    from dg.cli.remote import request
    from dg.core.environments.models import UpdateEnvironment

    same = {"domain": state.domain, "targets": state.targets, "links": state.links}
    return request(UpdateEnvironment, **(same | changes), reason=reason)


def _apply(
    dg: Blocking,
    output: Output,
    before: EnvironmentState,
    wish: UpdateEnvironment,
    *,
    dry_run: bool = False,
    agreed: Callable[[EnvironmentDiff], bool] | None = None,
) -> None:
    """Make it so, if nobody else changed it since and whoever is asked agrees to the difference."""
    from dg.cli.remote import record

    environments, expected = dg.client.environments, before.version
    if dry_run or agreed:
        diff = _planned(before, dg.run(environments.preview(before.name, wish, expected=expected)))
        if dry_run:
            print_diff(diff, output)
            return
        if agreed and not agreed(diff):
            return
    after = dg.run(environments.update(before.name, wish, expected=expected))
    if output.json:
        record(output, after)
    elif after.version == before.version:
        output.line(before.name.value, "is so already, at version", str(before.version))
    else:
        output.line(output.glyph("ok"), before.name.value, "is at version", str(after.version))


def _planned(before: EnvironmentState, after: EnvironmentState) -> EnvironmentDiff:
    from dg.core.environments.models import EnvironmentDiff

    now = f"{before.name}@{before.version}"
    return EnvironmentDiff(before=now, after=f"{before.name}@new", items=after.changes or ())


@env.command()
@NAME
@REASON
@click.option("--yes", is_flag=True, help="Do not ask before saving.")
@pass_invocation
def edit(invocation: Invocation, environment: Environment, reason: str | None, yes: bool) -> None:
    """Open ENVIRONMENT in your editor, and save it when you agreed to what changes.

    Secrets are not in it; they stay as they are.
    """
    from dg.cli.remote import server

    output = invocation.output

    def agreed(diff: EnvironmentDiff) -> bool:
        print_diff(diff, output.to(sys.stderr))
        return bool(diff.items) and (yes or click.confirm("Save this?", err=True))

    with server(invocation) as dg:
        before = dg.run(dg.client.environments.get(environment))
        dumped = before.model_dump(mode="json", exclude_none=True)
        shown = {name: value for name, value in dumped.items() if name in _EDITED}
        text = json.dumps(shown | {"config": settings(before)}, indent=2, ensure_ascii=False) + "\n"
        edited = click.edit(text, extension=".json")
        if edited is None:
            output.to(sys.stderr).line("nothing was changed")
            return
        _apply(dg, output, before, _wish(before, _read(edited), reason), agreed=agreed)


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"what you saved is not JSON: {error}") from None
    if not isinstance(found, dict) or found.keys() != set(_EDITED):
        raise click.UsageError(f"what you saved must be an object of {', '.join(_EDITED)}")
    return found


@env.command(
    epilog="""\b
Examples:
  dg env diff staging production
  dg env diff production --from 3""",
)
@NAME
@click.argument("other", metavar="[OTHER]", type=ENVIRONMENT, required=False)
@click.option("--from", "since", type=click.IntRange(min=0), help="The version of ENVIRONMENT to begin with.")
@click.option("--to", "until", type=click.IntRange(min=0), help="The version to end with.")
@pass_invocation
def diff(
    invocation: Invocation,
    environment: Environment,
    other: Environment | None,
    since: int | None,
    until: int | None,
) -> None:
    """Compare ENVIRONMENT with OTHER, or two versions of it: keys and types, never values.

    Without OTHER, the newest version with the one before. Secrets are compared by their fingerprints.
    """
    from dg.cli.remote import server

    with server(invocation) as dg:
        found = dg.run(dg.client.environments.diff(environment, since=since, until=until, other=other))
    print_diff(found, invocation.output)


def print_diff(diff: EnvironmentDiff, output: Output) -> None:
    """Each key that is not the same on both sides."""
    from dg.cli.remote import record

    if output.json:
        record(output, diff)
        return
    if not diff.items:
        output.line(f"{diff.before} and {diff.after} are the same")
        return
    rows = [[_sign(each), each.key, _kind(each.before), _kind(each.after)] for each in diff.items]
    output.table(rows, header=("", "KEY", diff.before.upper(), diff.after.upper()))


def _sign(item: Difference) -> Text:
    if item.before is None:
        return "+", Meaning.OK
    return ("-", Meaning.ERR) if item.after is None else ("~", Meaning.WARN)


def _kind(kind: Kind | None) -> str:
    if kind is None:
        return ""
    return f"{kind.type} {kind.fingerprint}" if kind.fingerprint else kind.type


@env.command()
@NAME
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="Most versions.")
@pass_invocation
def history(invocation: Invocation, environment: Environment, limit: int) -> None:
    """List the versions of ENVIRONMENT, newest first: who, why, and which keys."""
    from dg.cli.remote import now, record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.environments.history(environment, limit=limit)).items
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    output.table(_versions(found, now()), header=("VERSION", "WHEN", "BY", "WHY", "CHANGED"), whole=True)


def _versions(found: Sequence[Version], now: int) -> list[list[Text]]:
    return [
        [
            str(each.version),
            time_ago((now - each.at) / SECOND),
            each.by_name or each.by,
            each.reason or (f"restored {each.restored}" if each.restored is not None else ""),
            " ".join(each.changed),
        ]
        for each in found
    ]


@env.command()
@NAME
@click.argument("version", type=click.IntRange(min=0))
@REASON
@pass_invocation
def restore(invocation: Invocation, environment: Environment, version: int, reason: str | None) -> None:
    """Make what ENVIRONMENT held in VERSION, secrets too, its newest version."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        after = dg.run(dg.client.environments.restore(environment, version, reason=reason))
    output = invocation.output
    if output.json:
        record(output, after)
    else:
        output.line(output.glyph("ok"), environment.value, f"is at version {after.version}, like {version}")


@env.command(
    epilog="""\b
Examples:
  dg env runs staging web --at https://w.example.com/v --pointer /commit
  dg env runs staging web -- ssh web-1 cat /srv/web/REVISION
  dg env runs staging web --unset""",
)
@NAME
@click.argument("service")
@click.argument("command", metavar="[COMMAND]...", nargs=-1)
@click.option("--at", "address", metavar="URL", help="The address that says it.")
@click.option("--pointer", help="Where in JSON, as in /build/commit.")
@click.option("--pattern", help="A regular expression that finds it; its group, where it has one.")
@click.option("--every", "interval", type=Span(), default="60s", show_default=True, help="How often to look.")
@click.option("--timeout", type=Span(), default="10s", show_default=True, help="How long one look may take.")
@click.option("--unset", is_flag=True, help="Check this service no longer.")
@REASON
@DRY_RUN
@pass_invocation
def runs(
    invocation: Invocation,
    environment: Environment,
    service: str,
    command: tuple[str, ...],
    address: str | None,
    pointer: str | None,
    pattern: str | None,
    interval: str,
    timeout: str,
    unset: bool,
    reason: str | None,
    dry_run: bool,
) -> None:
    """Set what says which version of SERVICE really runs in ENVIRONMENT: an address, or a COMMAND.

    The version is all it says, or a part of it. `dg env drift` compares it with what dg deployed.
    """
    from dg.cli.remote import server
    from dg.settings.units import seconds_of

    asked = {"url": address, "command": command or None, "pointer": pointer, "pattern": pattern}
    if unset is any(value is not None for value in asked.values()):
        raise click.UsageError("give either --at, a COMMAND or --unset")
    check = None
    if not unset:
        check = asked | {"interval": round(seconds_of(interval)), "timeout": round(seconds_of(timeout))}

    def change(state: EnvironmentState) -> UpdateEnvironment:
        kept: dict[str, Any] = {name: each for name, each in state.runs.items() if name != service}
        if unset and service not in state.runs:
            raise click.UsageError(f"nothing checks which version of {service} runs in {environment}")
        changed = kept if check is None else kept | {service: check}
        return _wish(state, {"config": settings(state), "runs": changed}, reason)

    with server(invocation) as dg:
        before = dg.run(dg.client.environments.get(environment))
        _apply(dg, invocation.output, before, change(before), dry_run=dry_run)


@env.command(
    epilog="""\b
Examples:
  dg env drift
  dg env drift production
  dg env drift production --accept web --reason 'hotfix, see 2.4' --for 2d""",
)
@click.argument("environment", metavar="[ENVIRONMENT]", type=ENVIRONMENT, required=False)
@click.option("--accept", metavar="SERVICE", help="Let what runs of this service be, for a while.")
@click.option("--withdraw", metavar="SERVICE", help="Take that back.")
@click.option("--for", "lasting", type=Span(), help="With --accept: how long, as in 12h or 2d.")
@click.option("--reason", help="With --accept and --withdraw: why; everybody reads it.")
@pass_invocation
def drift(
    invocation: Invocation,
    environment: Environment | None,
    accept: str | None,
    withdraw: str | None,
    lasting: str | None,
    reason: str | None,
) -> int:
    """Compare what runs with what dg deployed, for services that have a check (`dg env runs`).

    Exits with 3 when something differs that nobody accepted.
    """
    from dg.cli.remote import record, server
    from dg.core.drift.models import DriftStatus
    from dg.core.types import Environment

    changes = accept is not None or withdraw is not None
    if accept is not None and withdraw is not None:
        raise click.UsageError("give one of --accept and --withdraw")
    if changes and environment is None:
        raise click.UsageError("name the ENVIRONMENT too")
    if changes is not (reason is not None) or (accept is not None) is not (lasting is not None):
        raise click.UsageError("--accept takes --reason and --for, --withdraw takes --reason")
    with server(invocation) as dg:
        environments = dg.client.environments
        if environment is None or not changes:
            names = [environment] if environment else list(Environment)
            found = [each for name in names for each in dg.run(environments.drift(name))]
        elif accept is not None:
            asked = environments.accept_drift(environment, accept, reason=reason or "", lasting=lasting)
            found = [dg.run(asked)]
        else:
            asked = environments.withdraw_drift(environment, withdraw or "", reason=reason or "")
            found = [dg.run(asked)]
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
    elif not found:
        output.line("nothing says what really runs; `dg env runs` sets what does")
    else:
        rows: list[list[Text]] = [[output.status(each.status.value), each.sentence] for each in found]
        output.table(rows, whole=True)
    differs = any(each.status is DriftStatus.DRIFTED for each in found)
    return ExitCode.REFUSED if differs and not changes else ExitCode.OK
