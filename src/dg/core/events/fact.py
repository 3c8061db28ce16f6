"""The base of all facts, what those about one kind of object carry, and which types there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Base of all facts. `about` names the field that holds the id of the object the fact is about."""

    about: ClassVar[str] = ""
    type: ClassVar[str] = "fact"

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.type = (
            re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower().replace(" ", ".", 1).replace(" ", "_")
        )

    def payload(self) -> dict[str, object]:
        """Field values without the unset ones, as they stand in the ledger."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @property
    def object(self) -> str:
        return str(getattr(self, self.about, "")) if self.about else ""


@dataclass(frozen=True, kw_only=True)
class DeploymentFact(Fact):
    """What every fact about a deployment carries."""

    about: ClassVar[str] = "deployment"

    deployment: str
    service: str
    environment: str
    number: int | None = None
    """What people call it; not in facts that are older than this field."""


@dataclass(frozen=True, kw_only=True)
class LaneFact(Fact):
    """What every fact about a lane carries. The object is `service/environment`."""

    service: str
    environment: str

    @property
    def object(self) -> str:
        return f"{self.service}/{self.environment}"


@dataclass(frozen=True, kw_only=True)
class RightsFact(Fact):
    """What every fact carries that changes what somebody may do: who is connected is looked at again."""


def changes_rights(type_: str) -> bool:
    """Whether a fact of this type changes what somebody may do."""
    return type_ in _rights_facts()


@cache
def _rights_facts() -> frozenset[str]:
    found, ahead = set(), [RightsFact]
    while ahead:
        kind = ahead.pop()
        found.add(kind.type)
        ahead += kind.__subclasses__()
    return frozenset(found)


def catalogue() -> frozenset[str]:
    """The types of everything that can happen."""
    return frozenset(_types(Fact))


def _types(kind: type[Fact]) -> Iterator[str]:
    below = kind.__subclasses__()
    if not below:
        yield kind.type
    for each in below:
        yield from _types(each)
