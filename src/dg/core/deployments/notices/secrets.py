"""What the sources of notices sign with: the settings' `incoming.sources`, read anew for each notice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dg.core.deployments.secrets import exposed
from dg.core.errors import Refused
from dg.settings.webhooks import IncomingSource

SHORTEST = 16
"""Characters of a secret."""

_LARGEST = 4096
_MOST = 4


class NoticeSecrets:
    """The secrets by source. `environ` is the server's environment; relative paths are below `home`."""

    def __init__(self, sources: Mapping[str, IncomingSource], home: Path, environ: Mapping[str, str]) -> None:
        self._sources = sources
        self._home = home
        self._environ = environ

    def of(self, name: str) -> tuple[str, ...]:
        """What this source may sign with: several while one is exchanged for another. Raises Refused."""
        text = self._text(name, self._sources[name])
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not 0 < len(lines) <= _MOST or any(len(line) < SHORTEST for line in lines):
            raise _refused(
                name, f"has no usable secret: 1 to {_MOST} lines of at least {SHORTEST} characters each"
            )
        return tuple(lines)

    def problems(self) -> Iterator[tuple[str, str | None]]:
        """Each source's name, and what is wrong with its secret; None where nothing is."""
        for name in self._sources:
            try:
                self.of(name)
            except Refused as problem:
                yield name, problem.message
            else:
                yield name, None

    def _text(self, name: str, source: IncomingSource) -> str:
        if source.secret_env is not None:
            if not self._environ.get(source.secret_env):
                raise _refused(name, f"names {source.secret_env}, which the server's environment lacks")
            return self._environ[source.secret_env]
        path = self._home / (source.secret_file or "")
        try:
            with path.open("rb") as file:
                if problem := exposed(path, os.fstat(file.fileno())):
                    raise _refused(name, f"cannot use its secret_file: {path} {problem}")
                return file.read(_LARGEST).decode("utf-8", "replace")
        except OSError as error:
            raise _refused(name, f"cannot read its secret_file {path}: {error.strerror}") from None


def hidden_variables(sources: Mapping[str, IncomingSource]) -> frozenset[str]:
    """Names of the variables that hold secrets: no step may see them, whatever its pipeline passes on."""
    return frozenset(source.secret_env for source in sources.values() if source.secret_env)


def _refused(name: str, what: str) -> Refused:
    return Refused(f"the source [incoming.sources.{name}] {what}", reason="incoming", source=name)
