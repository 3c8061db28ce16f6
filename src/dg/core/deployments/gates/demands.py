"""What an environment demands of a deployment: written in `server.toml` for all and in a pipeline for one.

The pipeline only adds: a `Guard` keeps the demands of every source, and each of them must be met.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from dg.core.deployments.durations import Wait
from dg.core.deployments.gates.expressions import Expression, unknowable
from dg.core.deployments.gates.names import USER, PersonName, RoleName
from dg.core.deployments.gates.windows import Window, never_open
from dg.core.deployments.tables import Table, at_most, mistakes
from dg.core.errors import Invalid
from dg.core.types import Environment
from dg.settings.environments import Environments

Queue = Literal["all", "latest", "reject"]
"""What happens to those who wait: each has its turn, the newest takes all turns, or nobody may wait."""

QUEUES: tuple[Queue, ...] = ("all", "latest", "reject")
"""From the mildest to the strictest."""

MOST_PEOPLE = 100
MOST_RULES = 30
"""Windows of one source, and gates of one: all of them are judged with every look at a lane."""


class Approvals(Table):
    """`count` different people of `from` must agree; each agreement is good for `expires` seconds.

    The deployment's maker is none of them unless `self`. `bypass` may do without them, with a reason.
    """

    count: Annotated[StrictInt, Field(ge=1, le=20)] = 1
    people: Annotated[tuple[PersonName, ...], at_most(MOST_PEOPLE)] = Field(
        default=("role:approver", "role:admin"), alias="from"
    )
    own: StrictBool = Field(default=False, alias="self")
    expires: Wait = 86400.0
    bypass: RoleName | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        if not self.people:
            yield "from", "must name somebody; leave it out for approvers and admins"
        elif all(name.startswith(USER) for name in self.people) and len(set(self.people)) < self.count:
            yield "count", f"asks for {self.count} people, and `from` names {len(set(self.people))}"


class Demands(Table):
    """The demands of one source on one environment. `soak` is in seconds since the success in `requires`."""

    approvals: Approvals | None = None
    requires: tuple[Environment, ...] = ()
    soak: Wait | None = None
    keys_of: tuple[Environment, ...] = ()
    windows: Annotated[tuple[Window, ...], at_most(MOST_RULES)] = ()
    queue: Queue = "all"
    gates: Annotated[tuple[Expression, ...], at_most(MOST_RULES)] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.soak and not self.requires:
            yield "soak", "counts from the success in an earlier environment; name it in `requires`"
        if len(set(self.requires)) < len(self.requires):
            yield "requires", "names an environment twice"
        if len(set(self.keys_of)) < len(self.keys_of):
            yield "keys_of", "names an environment twice"

    def misplaced(self, environment: Environment) -> Iterator[tuple[str, str]]:
        """What cannot be demanded of `environment`: field and sentence."""
        order = list(Environment)
        for at, required in enumerate(self.requires):
            if order.index(required) >= order.index(environment):
                yield f"requires[{at}]", f"must be an environment before {environment}, and {required} is not"
        for at, other in enumerate(self.keys_of):
            if other is environment:
                yield f"keys_of[{at}]", f"must be another environment than {environment}"
        for at, gate in enumerate(self.gates):
            if problem := unknowable(gate, environment):
                yield f"gates[{at}]", problem
        if never_open(self.windows):
            yield (
                "windows",
                "leave no time at all; freeze the lane instead, or let them end before they begin again",
            )


def of_all(environments: Environments) -> dict[Environment, Demands]:
    """What the settings demand of each environment. Raises Invalid as `read` does."""
    return {
        tier: read(environments.named(tier).demands(), tier, f"environments.{tier}") for tier in Environment
    }


def read(values: Mapping[str, object], environment: Environment, setting: str) -> Demands:
    """The demands of `environment` as the table `setting` of the settings has them.

    Raises Invalid naming every key that is wrong.
    """
    try:
        demands = Demands.model_validate(values)
        wrong = list(demands.misplaced(environment))
    except ValidationError as error:
        wrong = mistakes(error, Demands)
    else:
        if not wrong:
            return demands
    errors = [{"field": f"{setting}.{field}", "message": message} for field, message in wrong]
    said = "; ".join(f"{error['field']} {error['message']}" for error in errors)
    raise Invalid(f"the settings are not valid: {said}", reason="invalid_settings", errors=errors)


class Guard(BaseModel):
    """All demands on one deployment, by their sources; every one of them must be met. JSON keeps it."""

    model_config = ConfigDict(frozen=True)

    sources: tuple[Demands, ...] = ()

    @classmethod
    def of(cls, *sources: Demands) -> Self | None:
        """The guard of the sources that demand anything; None when none does."""
        demanding = tuple(dict.fromkeys(source for source in sources if source != Demands()))
        return cls(sources=demanding) if demanding else None

    @property
    def approvals(self) -> Sequence[Approvals]:
        return [source.approvals for source in self.sources if source.approvals]

    @property
    def requires(self) -> Sequence[Environment]:
        return list(dict.fromkeys(name for source in self.sources for name in source.requires))

    @property
    def soak(self) -> float:
        """Seconds; 0 without one."""
        return max((source.soak or 0.0 for source in self.sources), default=0.0)

    @property
    def keys_of(self) -> Sequence[Environment]:
        return list(dict.fromkeys(name for source in self.sources for name in source.keys_of))

    @property
    def calendars(self) -> Sequence[Sequence[Window]]:
        return [source.windows for source in self.sources if source.windows]

    @property
    def queue(self) -> Queue:
        return max((source.queue for source in self.sources), key=QUEUES.index, default="all")

    @property
    def gates(self) -> Sequence[str]:
        return list(dict.fromkeys(gate for source in self.sources for gate in source.gates))

    def text(self) -> str:
        """The one JSON text that is kept and hashed; what has its default is left out."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)
