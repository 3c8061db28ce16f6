"""What protects an environment: its settings and what it keeps itself, where deployments ask for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from dg.core.deployments.gates.demands import Demands, of_all, read
from dg.core.errors import Invalid
from dg.core.types import Environment
from dg.settings import Settings

PROTECTED = "protected"


class Protections:
    """The settings and the environments together: both are judged, and the stricter wins.

    Satisfies what deployments ask (`parts.Protection`) and what environments tell (`service.Rules`). Raises
    Invalid naming the setting that demands what cannot be.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.environments
        self._demands = of_all(self._settings)
        self._own: dict[Environment, tuple[bool, Demands]] = {}
        self.renew: Callable[[], Awaitable[None]] | None = None
        """Brings what is demanded of those who wait up to date; set once somebody can."""

    def protected(self, environment: Environment) -> bool:
        own, _ = self._own.get(environment, (False, None))
        return own or self._settings.named(environment.value).protected

    def demands(self, environment: Environment) -> Sequence[Demands]:
        _, own = self._own.get(environment, (False, Demands()))
        return self._demands[environment], own

    def mistakes(self, environment: Environment, protection: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with the protection of an environment, by field."""
        try:
            _read(environment, protection)
        except Invalid as problem:
            errors = cast("list[dict[str, str]]", problem.details.get("errors", []))
            return [(error["field"], error["message"]) for error in errors]
        return []

    def hold(self, environment: Environment, protection: Mapping[str, Any]) -> None:
        """Demand that from now on. Raises Invalid."""
        self._own[environment] = _read(environment, protection)

    async def change(self, environment: Environment, protection: Mapping[str, Any]) -> None:
        """Demand that from now on, of those who wait too. Raises Invalid."""
        self.hold(environment, protection)
        if self.renew:
            await self.renew()


def _read(environment: Environment, protection: Mapping[str, Any]) -> tuple[bool, Demands]:
    demands = {key: value for key, value in protection.items() if key != PROTECTED}
    if not isinstance(protected := protection.get(PROTECTED, False), bool):
        wrong = {"field": f"protection.{PROTECTED}", "message": "must be true or false"}
        raise Invalid(f"{wrong['field']} {wrong['message']}", errors=[wrong])
    return protected, read(demands, environment, "protection")
