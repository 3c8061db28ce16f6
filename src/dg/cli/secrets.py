"""`dg secret`: sets and unsets secrets of environments, and tells of them without showing any."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from dg.cli.environments import NAME, REASON
from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Text
from dg.cli.words import SECOND
from dg.client.words import age, time_ago

if TYPE_CHECKING:
    from dg.client.environments import Environments
    from dg.core.environments.models import EnvironmentState, SecretUse
    from dg.core.types import Environment


def _check_name(context: click.Context, option: click.Parameter, name: str) -> str:
    """A name that no secret can have may be a secret itself, so it is not repeated."""
    from dg.core.environments.content import is_secret_name

    if not is_secret_name(name):
        raise click.UsageError(
            "NAME has at most 63 lower case letters, digits and underscores; a value comes on standard input"
        )
    return name


def _refuse_typed(context: click.Context, option: click.Parameter, typed: tuple[str, ...]) -> None:
    """What stands behind the name is likely a secret, so it is not repeated."""
    if typed:
        raise click.UsageError(
            "a value belongs on standard input, as in `dg secret set ENVIRONMENT NAME < FILE`: what was "
            "typed here stands in the history of the shell, and other users of this machine could see it"
        )


SECRET = click.argument("name", metavar="NAME", callback=_check_name)
TYPED = click.argument("typed", metavar="", nargs=-1, callback=_refuse_typed, expose_value=False)


@click.command(cls=Group)
def secret() -> None:
    """Set, list and unset secrets of environments; nobody reads them back."""


@secret.command("list")
@NAME
@pass_invocation
def list_secrets(invocation: Invocation, environment: Environment) -> None:
    """List the secrets of ENVIRONMENT: how old each is, and which services' steps use it."""
    from dg.cli.remote import now, record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.environments.secrets(environment))
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    rows = [_use(each, now()) for each in found]
    output.table(rows, header=("NAME", "VERSION", "GRADE", "AGE", "NAMED BY", "LAST USED", "FINGERPRINT"))


def _use(each: SecretUse, now: int) -> list[Text]:
    used = "never" if each.used_at is None else time_ago((now - each.used_at) / SECOND)
    return [
        each.name,
        str(each.version),
        each.grade.replace("_", " "),
        (age(each.age), Meaning.WARN if each.old else Meaning.DIM),
        " ".join(each.services) or ("no service", Meaning.DIM),
        f"{used}, {each.used_by}" if each.used_by else used,
        (each.fingerprint, Meaning.DIM),
    ]


@secret.command(
    "set",
    epilog="""\b
Examples:
  dg secret set production session_key < session.key
  dg secret set staging database_url --from-file url.txt --reason rotated
  age -a -r age1… < token | dg secret set production token --runner-only""",
)
@NAME
@SECRET
@TYPED
@click.option("--from-file", "file", type=click.File("rb"), help="Read the value from this file.")
@click.option("--sealed", is_flag=True, help="Seal it here, so that no proxy before the server reads it.")
@click.option(
    "--sealing-key",
    metavar="KEY",
    help="The key that --sealed seals for, as `dg keys check` prints it there.",
)
@click.option(
    "--runner-only", is_flag=True, help="It is a ciphertext, which `runner.decrypt` opens in the runner."
)
@REASON
@pass_invocation
def set_secret(
    invocation: Invocation,
    environment: Environment,
    name: str,
    file: Any,
    sealed: bool,
    sealing_key: str | None,
    runner_only: bool,
    reason: str | None,
) -> None:
    """Set the secret NAME of ENVIRONMENT to what comes on standard input, or from a file.

    A line break at the end does not count. `database_url`, `redis_url` and `api_key_NAME` are those of the
    configuration.
    """
    from dg.core.environments.content import SHORTEST
    from dg.core.environments.models import Ciphertext

    if sealed and runner_only:
        raise click.UsageError("a ciphertext is sealed already: give one of --sealed and --runner-only")
    if sealing_key and not sealed:
        raise click.UsageError("--sealing-key belongs to --sealed")
    value = _value(file)
    if not runner_only and len(value.encode()) < SHORTEST:
        raise click.UsageError(
            f"a secret has {SHORTEST} bytes or more: a shorter one cannot be masked in a log"
        )

    def put(environments: Environments) -> Coroutine[Any, Any, EnvironmentState]:
        if sealed:
            return environments.seal_secret(environment, name, value, sealing_key=sealing_key, reason=reason)
        given = Ciphertext(ciphertext=value) if runner_only else value
        return environments.set_secret(environment, name, given, reason=reason)

    _put(invocation, f"{name} is set in", put)


@secret.command("unset")
@NAME
@SECRET
@TYPED
@REASON
@pass_invocation
def unset_secret(invocation: Invocation, environment: Environment, name: str, reason: str | None) -> None:
    """Take the secret NAME of ENVIRONMENT away. Restoring an older version brings it back."""
    _put(
        invocation,
        f"{name} is unset in",
        lambda environments: environments.set_secret(environment, name, None, reason=reason),
    )


def _value(file: Any) -> str:
    """The secret, from the file, a pipe, or a person who types it unseen."""
    if file is None and sys.stdin.isatty():
        typed: str = click.prompt("Value", hide_input=True, err=True)
        return typed
    data: bytes = (file or sys.stdin.buffer).read(1024 * 1024)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError("a secret must be UTF-8 text; encode what is not, as base64 does") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise click.UsageError("no value came: give it on standard input, or with --from-file")
    return text


def _put(
    invocation: Invocation,
    done: str,
    put: Callable[[Environments], Coroutine[Any, Any, EnvironmentState]],
) -> None:
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        after = dg.run(put(dg.client.environments))
    output = invocation.output
    if output.json:
        record(output, after)
    else:
        output.line(output.glyph("ok"), done, f"{after.name.value}, version {after.version}")
