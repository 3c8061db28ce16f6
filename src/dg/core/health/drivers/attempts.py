"""One try of a probe while it is made, and the ways in which it ends early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dg.core.types import Environment

P = TypeVar("P")


class Failed(Exception):
    """The target is not as it should be; the message says how, in words after its name."""


class Unable(Exception):
    """It could not be looked at: that says nothing about the target."""


@dataclass
class Attempt(Generic[P]):
    """`host` is what is asked, where that is not this machine; `connected` that it has answered somehow.

    `facts` gather what somebody would like to know who tests the probe by hand.
    """

    environment: Environment
    probe: P
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    host: str | None = None
    connected: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
