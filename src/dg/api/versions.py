"""Which versions of the API there are, which one a request asks for, and what of them is going to end.

A version is the `info.version` of a contract. Its first number is in the path; within one of those, every
release answers whoever was written for an earlier one (docs/versions.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dg.core.errors import Invalid
from dg.core.text import plain

if TYPE_CHECKING:
    from dg.api.contract import Operation

CURRENT = "1.0.0"
RELEASE = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")
_PATH_MAJOR = re.compile(rb"/v([0-9]{1,4})/")


class Versions:
    """The versions that the operations of a server speak."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        known = list(operations)
        releases = sorted({operation.version for operation in known}, key=_numbers)
        self.supported = tuple(dict.fromkeys(name for release in releases for name in _names(release)))
        self._deprecated = [operation for operation in known if operation.deprecation]

    def check(self, asked: str | None, path: bytes) -> None:
        """Raises Invalid when Accept-Version names a version that is not spoken, or another than the path."""
        if asked is None:
            return
        if asked not in self.supported:
            raise Invalid(
                f"Accept-Version {plain(asked, limit=32)} is not spoken here; "
                f"there are {', '.join(self.supported)}",
                reason="unsupported_version",
                supported=self.supported,
            )
        major = _PATH_MAJOR.match(path)
        if major and major[1].decode() != asked.partition(".")[0]:
            raise Invalid(
                f"the path says v{major[1].decode()} and Accept-Version {asked}; let them agree, or leave "
                "Accept-Version out",
                reason="version_mismatch",
                supported=self.supported,
            )

    def deprecations(self) -> list[dict[str, Any]]:
        """Every operation that is going to end, as JSON values, the first to end first."""
        listed = [
            {
                "operation": operation.id,
                "method": operation.method,
                "path": operation.prefix + operation.path,
                "since": deprecation.since.isoformat(),
                "sunset": deprecation.sunset.isoformat(),
                "successor": deprecation.successor,
            }
            for operation in self._deprecated
            if (deprecation := operation.deprecation)
        ]
        return sorted(listed, key=lambda each: (str(each["sunset"]), str(each["operation"])))


def major(release: str) -> str:
    """The first number of `info.version`. Raises ValueError for what is no release."""
    if not RELEASE.fullmatch(release):
        raise ValueError(f"`info.version` is three numbers such as {CURRENT}, not {release}")
    return release.partition(".")[0]


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def _names(release: str) -> tuple[str, ...]:
    """What a client may call a release: `1`, `1.0` or `1.0.0`."""
    first, second, _ = release.split(".")
    return first, f"{first}.{second}", release
