"""How far a server says that its ledger reaches, in two headers of the API: what clients remember of it.

Every answer to a known caller carries `DG-Ledger`. A request may name an entry by `DG-Ledger-Seen: seq`; the
answer then says in the same header which hash that entry has, as `seq:hash`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD = "DG-Ledger"
SEEN = "DG-Ledger-Seen"

_SEQ = r"[0-9]{1,15}"
_HASH = r"[0-9a-f]{64}"
_SIGHTING = re.compile(rf"([0-9A-Za-z-]{{1,64}}):({_SEQ}):({_HASH})")
_ENTRY = re.compile(rf"({_SEQ}):({_HASH})")


@dataclass(frozen=True, slots=True)
class Sighting:
    """The newest entry's seq and hash of one ledger; `ledger` is the id of the home that keeps it."""

    ledger: str
    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.ledger}:{self.entry}"

    @property
    def entry(self) -> str:
        return f"{self.seq}:{self.hash}"


def read_head(text: str) -> Sighting | None:
    """What a `DG-Ledger` says; None for anything else."""
    found = _SIGHTING.fullmatch(text)
    return Sighting(found[1], int(found[2]), found[3]) if found else None


def read_entry(text: str) -> tuple[int, str] | None:
    """The seq and hash that an answer's `DG-Ledger-Seen` says; None for anything else."""
    found = _ENTRY.fullmatch(text)
    return (int(found[1]), found[2]) if found else None


def read_seq(text: str) -> int | None:
    """The entry that a request's `DG-Ledger-Seen` asks about; None for anything else."""
    return int(text) if re.fullmatch(_SEQ, text) else None
