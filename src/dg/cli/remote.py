"""The way from a command to the server: found, opened, closed again. Imports what is heavy when used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dg.cli.options import Invocation
from dg.cli.output import Meaning, Output

if TYPE_CHECKING:
    from pydantic import BaseModel

    from dg.client.app import Client
    from dg.client.auth import Credentials
    from dg.client.credentials import SessionFile
    from dg.client.sync import Blocking


Model = TypeVar("Model", bound="BaseModel")

SENTENCES = {"string_too_short": "must not be empty"}
"""What pydantic finds wrong, in dg's words; every text of a request may be as short as one character."""


@contextmanager
def server(invocation: Invocation, session: SessionFile | None = None) -> Iterator[Blocking]:
    """The client for the server in question: `--url`, the one of `--home`, `DG_URL`, or the one of the home.

    It comes with the token that is set, the session of `dg login` or the owner's token; with `session` where
    that is given. Raises Unreachable when there is no server, NoCredential when nothing opens it.
    """
    from dg.client.auth import Credentials

    found = Credentials(session.url, None, session) if session else credentials(invocation)
    with _client(invocation, found) as dg:
        yield dg


def credentials(invocation: Invocation) -> Credentials:
    """The server in question and what opens it. Raises Unreachable, NoCredential."""
    from dg.client.auth import find

    environ, home = _meant(invocation)
    return find(environ, home, url=invocation.url)


@contextmanager
def guest(invocation: Invocation) -> Iterator[Blocking]:
    """The client for the server in question, without anything that opens it. Raises Unreachable."""
    from dg.client.auth import Credentials

    with _client(invocation, Credentials(place(invocation), None)) as dg:
        yield dg


def place(invocation: Invocation) -> str:
    """The address of the server in question. Raises Unreachable."""
    from dg.client.auth import address

    return address(*_meant(invocation), invocation.url)


def _meant(invocation: Invocation) -> tuple[Mapping[str, str], Path]:
    """What of the environment counts, and the home: one that was named is meant, whatever server the shell is
    set up for."""
    from dg.homes import default_home

    home = invocation.home or default_home(invocation.environ)[0]
    return ({} if invocation.home and not invocation.url else invocation.environ), home


@contextmanager
def _client(invocation: Invocation, found: Credentials) -> Iterator[Blocking]:
    from dg.cli.local import is_unattended
    from dg.client.errors import Unreachable
    from dg.client.sync import Blocking

    with Blocking(client(invocation, found, lambda said: warn(invocation, said))) as dg:
        try:
            yield dg
        except Unreachable as error:
            if not is_unattended(invocation):
                raise
            raise Unreachable(
                f"the server with the home {_meant(invocation)[1]} has stopped: start it with `dg serve`",
                url=found.url,
            ) from error


def client(invocation: Invocation, found: Credentials, complain: Callable[[str], None]) -> Client:
    """A client that is not opened yet; `complain` gets what does not fit together in the server's ledger."""
    from dg.client.app import Client
    from dg.client.credentials import SignedIn
    from dg.client.ledger import state_file
    from dg.core.clock import SystemClock

    authority = invocation.environ.get("DG_CA_FILE")
    return Client(
        found.url,
        SignedIn(found.session, SystemClock()) if found.session else found.token,
        ca_file=Path(authority) if authority else None,
        memory=state_file(invocation.environ),
        complain=complain,
    )


def warn(invocation: Invocation, sentence: str) -> None:
    """Say on standard error what the command itself does not hang on."""
    output = invocation.output.to(sys.stderr)
    if output.json:
        output.record({"warning": {"reason": "ledger", "message": sentence}})
    else:
        output.line(("dg: warning:", Meaning.ERR), sentence)


def record(output: Output, model: BaseModel) -> None:
    """One line of JSON, as the API writes the model."""
    from dg.client.wire import encode

    output.record(encode(model))


def now() -> int:
    """This machine's wall clock in microseconds, for ages."""
    from dg.core.clock import SystemClock

    return SystemClock().micros()


def request(kind: type[Model], **values: object) -> Model:
    """A request of this kind from options, those that were not given left out. Raises Invalid."""
    from pydantic import ValidationError

    from dg.core.errors import Invalid

    try:
        return kind.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        wrong = [
            {"field": ".".join(map(str, item["loc"])), "message": SENTENCES.get(item["type"], item["msg"])}
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        first = f"{wrong[0]['field']} {wrong[0]['message']}".strip()
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise Invalid(first + more, errors=wrong) from None
