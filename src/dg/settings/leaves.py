"""Every single setting of the tree: its path, its variable, and how its values are written."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple, cast, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from dg.settings.section import Section
from dg.settings.tree import Settings
from dg.settings.units import Rate, Unit, format_duration, format_rate, format_size, inline

PREFIX = "DG_"


class Leaf(NamedTuple):
    """One setting: its path such as `server.port`, and how it is declared."""

    path: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.path.replace(".", "__").upper()

    @property
    def unit(self) -> str | None:
        """How its values are written, where that is special: see `Unit`."""
        inside = (getattr(part, "__metadata__", ()) for part in get_args(self.field.annotation))
        return next(
            (item.name for item in chain(self.field.metadata, *inside) if isinstance(item, Unit)), None
        )

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return "SecretStr" in str(self.field.annotation)

    def value(self, settings: Settings) -> object:
        """What a tree holds for this setting."""
        return cast(object, operator.attrgetter(self.path)(settings))

    def written(self, value: object) -> str:
        """A value of this setting as a person writes it; a secret as `***`, an unset one as `-`."""
        match value:
            case None | Rate() if self.unit == "rate":
                return format_rate(value)
            case None | ():
                return "-"
            case SecretStr():
                return "***"
            case bool():
                return str(value).lower()
            case float() if self.unit == "duration":
                return format_duration(value)
            case int() if self.unit == "size":
                return format_size(value)
            case _ if self.unit == "toml":
                return inline(value)
            case tuple() | Mapping():
                return " ".join(map(str, value)) or "-"
            case _:
                return str(value)


def leaves(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Leaf]:
    """Every setting but `home`, in the order of the tree."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        elif section is not Settings:
            yield Leaf(prefix + name, field)
