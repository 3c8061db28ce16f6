"""What several actions look up first: the service that is meant, its pipeline, where a page begins."""

from __future__ import annotations

from dg.core.deployments import store
from dg.core.deployments.models import RegisteredPipeline
from dg.core.deployments.parts import Parts
from dg.core.errors import Invalid, NotFound


async def service(parts: Parts, name: str | None) -> str:
    """The service that is meant: the named one, else the only one, else the default of the settings.

    Raises NotFound for a name that is not registered, Invalid naming the choices when none was given.
    """
    known = [found.service for found in await parts.db.read(store.newest_pipelines)]
    if name is not None:
        if name not in known:
            raise NotFound(_unknown(name, known), reason="unknown_service")
        return name
    if len(known) == 1:
        return known[0]
    if parts.settings.deployments.default_service in known:
        return str(parts.settings.deployments.default_service)
    choices = ", ".join(known) or "none is registered yet: dg pipeline register dg.toml"
    raise Invalid(
        f"service: say which one is meant ({choices})",
        errors=[{"field": "service", "message": f"one of: {choices}"}],
        services=known,
    )


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return f"there is no service {name}; register its pipeline first: dg pipeline register dg.toml"
    return f"there is no service {name}; there are {', '.join(known)}"


async def pipeline(parts: Parts, name: str) -> RegisteredPipeline:
    """The newest pipeline of a service. Raises NotFound."""
    found = await parts.db.read(lambda tx: store.newest_pipeline(tx, name))
    if found is None:
        raise NotFound(_unknown(name, []), reason="unknown_service")
    return found


def cursor(text: str | None) -> int | None:
    """Where a page begins. Raises Invalid for what no page gave out."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(
            "cursor: send the next_cursor of the page before, or none",
            errors=[{"field": "cursor", "message": "is not one that a page gave out"}],
        )
    return int(text)
