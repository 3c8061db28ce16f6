"""A look at the database of the settings without opening it; called by `dg doctor`."""

from __future__ import annotations

from dg.core.clock import Clock
from dg.core.database.address import address_of
from dg.core.database.vitals import Look, vitals
from dg.settings import Settings

__all__ = ["Look", "look"]


def look(settings: Settings, clock: Clock) -> Look | None:
    """None where the state is in the home. Raises Invalid, Refused for a database that cannot be used."""
    address = address_of(settings.database)
    return None if address is None else vitals(address, clock)
