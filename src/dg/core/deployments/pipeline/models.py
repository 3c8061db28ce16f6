"""What a pipeline is: the tables of `dg.toml`, frozen. `parse` makes one; durations are seconds as float."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt

from dg.core.deployments.durations import Duration, DurationOrOff
from dg.core.deployments.gates.demands import Demands
from dg.core.deployments.models import Happening, Kind
from dg.core.deployments.pipeline import placeholders
from dg.core.deployments.remotes import check_ref, check_url
from dg.core.deployments.tables import Table
from dg.core.errors import Invalid
from dg.core.types import NAME_PATTERN, Environment
from dg.settings.units import parse_size

MOST_STEPS = 100
LARGEST_SIZE = 1 << 44
LEAST_MEMORY = 16 << 20
PHASES = ("build", "deploy", "verify")

Phase = Literal["build", "deploy", "verify"]
S = TypeVar("S", bound=Sized)


def _matching(pattern: str, sentence: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def _as_value_error(check: Callable[[str], str]) -> AfterValidator:
    def checked(value: str) -> str:
        try:
            return check(value)
        except Invalid as problem:
            raise ValueError(problem.message) from None

    return AfterValidator(checked)


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("may not hold a NUL character")
    return value


def _one_line(value: str) -> str:
    if re.search("[\x00-\x1f\x7f]", value):
        raise ValueError("may not hold control characters")
    return value


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or path.startswith(":"):
        raise ValueError("must be a path inside the repository, such as dg.toml")
    return path


def _variable(name: str) -> str:
    if name.upper().startswith("DG_"):
        raise ValueError("may not begin with DG_: those names are dg's own")
    return name


def _secret(name: str) -> str:
    if name in {"home", "path", "tmpdir"}:
        raise ValueError(f"would replace the variable {name.upper()}; choose another name")
    return name


def _web_address(template: str) -> str:
    if not template.startswith(("http://", "https://", "{")) or re.search(r"\s", template):
        raise ValueError("must be an address that begins with http:// or https://")
    return template


def _host_and_port(template: str) -> str:
    if not re.fullmatch(r"\S+:([0-9]{1,5}|\S*\})|\{[^{}]+\}", template):
        raise ValueError("must be host:port")
    return template


def _not_empty(value: S) -> S:
    if not value:
        raise ValueError("must not be empty")
    return value


def _not_too_many(steps: S) -> S:
    if len(steps) > MOST_STEPS:
        raise ValueError(f"may have at most {MOST_STEPS} entries")
    return steps


def _exactly_one(value: object) -> object:
    if type(value) is not int:
        raise ValueError("must be 1")
    return value


def _list_of_one(value: object) -> object:
    return [value] if isinstance(value, int) else value


def _size(value: object) -> int:
    """Read bytes from a number or from text such as "512 MiB"."""
    count = None if isinstance(value, bool) else parse_size(value)
    if not isinstance(count, int) or not 0 <= count <= LARGEST_SIZE:
        raise ValueError('must be a size such as "512 MiB" or "2 GiB", at most 16384 GiB; 0 is no limit')
    return count


def _enough_memory(count: int) -> int:
    if 0 < count < LEAST_MEMORY:
        raise ValueError('must be at least "16 MiB", which a program needs to begin; 0 is no limit')
    return count


def _cpus(value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (value == 0 or 0.01 <= value <= 1024)
    ):
        raise ValueError("must be a number of CPUs such as 1.5, from 0.01 to 1024; 0 is no limit")
    return float(value)


Text = Annotated[str, AfterValidator(_without_nul)]
Template = Annotated[Text, AfterValidator(lambda text: placeholders.check(text, outputs=False))]
TemplateWithOutputs = Annotated[Text, AfterValidator(lambda text: placeholders.check(text, outputs=True))]
ShellText = Annotated[Text, AfterValidator(_not_empty), AfterValidator(placeholders.check_shell)]
Arguments = Annotated[tuple[TemplateWithOutputs, ...], AfterValidator(_not_empty)]

ServiceName = Annotated[
    str,
    _matching(
        NAME_PATTERN, "must be at most 63 lower case letters, digits and dashes, beginning with a letter"
    ),
]
StepName = Annotated[
    str,
    _matching(
        r"[a-z][a-z0-9_-]{0,62}",
        "must be at most 63 lower case letters, digits, dashes and underscores, beginning with a letter",
    ),
]
Key = Annotated[
    str,
    _matching(
        r"[a-z][a-z0-9_]{0,62}",
        "must be at most 63 lower case letters, digits and underscores, beginning with a letter",
    ),
]
VariableName = Annotated[
    str,
    _matching(r"[A-Za-z_][A-Za-z0-9_]{0,127}", "must be the name of an environment variable"),
    AfterValidator(_variable),
]
SecretName = Annotated[Key, AfterValidator(_variable), AfterValidator(_secret)]
ProbeName = Annotated[
    str, _matching(NAME_PATTERN, "must be the name of a probe of the environment (dg probe list)")
]
HeaderName = Annotated[
    str, _matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", "must be the name of an HTTP header")
]
HeaderValue = Annotated[TemplateWithOutputs, AfterValidator(_one_line)]
Status = Annotated[StrictInt, Field(ge=100, le=599)]
UserName = Annotated[
    str, _matching(r"[a-z_][a-z0-9_.-]{0,31}", "must be the name of a user of the server's machine")
]
Memory = Annotated[int, BeforeValidator(_size), AfterValidator(_enough_memory)]
FileSize = Annotated[int, BeforeValidator(_size)]
Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]
Cpu = Annotated[float, BeforeValidator(_cpus)]


class Source(Table):
    """Where the code comes from. `pipeline = "repo"` reads `path` from the branch `ref` and nowhere else."""

    git: Annotated[str, _as_value_error(check_url)]
    ref: Annotated[str, _as_value_error(check_ref)] = "main"
    trust: Literal["protected", "any"] = "protected"
    pipeline: Literal["registered", "repo"] = "registered"
    path: Annotated[Text, AfterValidator(_inside)] = "dg.toml"


class Limits(Table):
    """What a step may use at most; sizes in bytes, `cpu` in CPUs. 0 lifts a limit of the defaults."""

    memory: Memory | None = None
    processes: Count | None = None
    cpu: Cpu | None = None
    file_size: FileSize | None = None
    open_files: Count | None = None

    def over(self, defaults: Limits) -> dict[str, int | float]:
        """Those that hold where these stand before `defaults`, by name."""
        merged = defaults.model_dump(exclude_none=True) | self.model_dump(exclude_none=True)
        return {name: value for name, value in merged.items() if value}


class Defaults(Table):
    """What holds for a step that says nothing else; `env_pass` names server variables that steps see."""

    timeout: Duration = 900.0
    idle: DurationOrOff = 0.0
    grace: Duration = 10.0
    env_pass: tuple[VariableName, ...] = ()
    limits: Limits = Limits()
    user: UserName | None = None
    network: StrictBool = True


class Check(Table):
    """Asks every `every` until it was good for `steady` seconds (0: once); `timeout` bounds one attempt."""

    http: Annotated[TemplateWithOutputs, AfterValidator(_web_address)] | None = None
    tcp: Annotated[TemplateWithOutputs, AfterValidator(_host_and_port)] | None = None
    command: Arguments | None = None
    probes: Annotated[tuple[ProbeName, ...], AfterValidator(_not_empty)] | None = None
    status: Annotated[tuple[Status, ...], BeforeValidator(_list_of_one), AfterValidator(_not_empty)] = (200,)
    contains: TemplateWithOutputs | None = None
    headers: Mapping[HeaderName, HeaderValue] = {}
    steady: DurationOrOff = Field(default=0.0, alias="for")
    every: Duration = 1.0
    timeout: Duration = 5.0

    def problems(self) -> Iterator[tuple[str, str]]:
        if [self.http, self.tcp, self.command, self.probes].count(None) != 3:
            yield "", "needs exactly one of http, tcp, command and probes"
        if self.probes is not None and "timeout" in self.model_fields_set:
            yield "timeout", "does not apply to probes, which have their own; remove it"
        if self.probes is not None and len(set(self.probes)) < len(self.probes):
            yield "probes", "names a probe twice"
        if self.http is None:
            for field in sorted(self.model_fields_set & {"status", "contains", "headers"}):
                yield field, "belongs to an http check only; remove it"

    def templates(self) -> Iterator[tuple[str, str]]:
        """Field and text of everything in which placeholders may stand."""
        for field, text in (("http", self.http), ("tcp", self.tcp), ("contains", self.contains)):
            if text is not None:
                yield field, text
        for at, argument in enumerate(self.command or ()):
            yield f"command[{at}]", argument
        for name, value in self.headers.items():
            yield f"headers.{name}", value


class Step(Table):
    """One step. Exactly one of `run` (an argument list), `shell` (a text) and `check` says what it does."""

    NOT_YET: ClassVar[frozenset[str]] = frozenset({"judge", "targets"})

    name: StepName
    phase: Phase
    run: Arguments | None = None
    shell: ShellText | None = None
    check: Check | None = None
    timeout: Duration | None = None
    idle: DurationOrOff | None = None
    grace: Duration | None = None
    on: Annotated[tuple[Kind, ...], AfterValidator(_not_empty)] | None = None
    secrets: tuple[SecretName, ...] = ()
    env: Mapping[VariableName, Template] = {}
    output: Mapping[Key, Annotated[Template, AfterValidator(_one_line)]] = {}
    reversible: StrictBool = True
    cancel: Literal["kill", "finish"] = "kill"
    resume: Literal["rerun", "ask"] = "rerun"
    when: Literal["success", "failure", "always"] = "success"
    background: StrictBool = False
    limits: Limits = Limits()
    user: UserName | None = None
    network: StrictBool | None = None

    @property
    def asks_itself(self) -> bool:
        """Whether it begins no program: in an http, tcp or probes check it is dg that asks."""
        return self.check is not None and self.check.command is None

    def runs_on(self, kind: Kind) -> bool:
        """Whether a deployment of this kind runs the step; without `on`, only a deploy builds."""
        if self.on is None:
            return self.phase != "build" or kind is Kind.DEPLOY
        return kind in self.on

    def problems(self) -> Iterator[tuple[str, str]]:
        if [self.run, self.shell, self.check].count(None) != 2:
            yield "", "needs exactly one of run, shell and check"
        if self.run and not self.run[0]:
            yield "run[0]", "must name a program"
        if self.check and self.check.probes and self.phase != "verify":
            yield "check.probes", 'says how what was deployed is doing; make it a step of phase = "verify"'
        if self.check and self.idle:
            yield "idle", "does not apply to a check; its own every and timeout do"
        if self.check and self.background:
            yield "background", "does not apply to a check; remove it"
        for field in sorted(
            self.model_fields_set & {"limits", "user", "network"} if self.asks_itself else ()
        ):
            yield field, "does not apply to an http, tcp or probes check, which dg makes itself; remove it"
        if len(set(self.secrets)) < len(self.secrets):
            yield "secrets", "names a secret twice"
        for name in self.secrets:
            if name.upper() in self.env:
                yield (
                    f"env.{name.upper()}",
                    f"is already the variable of the secret `{name}`; rename one of them",
                )

    def templates(self) -> Iterator[tuple[str, str]]:
        """Field and text of everything in which placeholders may stand, shell texts apart."""
        for at, argument in enumerate(self.run or ()):
            yield f"run[{at}]", argument
        if self.check:
            yield from ((f"check.{field}", text) for field, text in self.check.templates())
        yield from ((f"env.{name}", text) for name, text in self.env.items())
        yield from ((f"output.{name}", text) for name, text in self.output.items())


class Rollback(Table):
    """When dg rolls back by itself and how long the lane stays closed: after it (0: not at all), and where
    nobody knows what runs, until somebody looked."""

    strategy: Literal["redeploy"] = "redeploy"
    auto: Literal["never", "verify_failed", "failed"] = "verify_failed"
    lock: DurationOrOff = 1800.0
    lock_unknown: Duration = 86400.0


class Trigger(Table):
    """What the repository's host reports for which a deployment is asked: see docs/incoming-webhooks.md.

    `ref` is the name of a branch (`push`) or tag (`tag`, `release`), in which `*` stands for any text.
    """

    event: Happening
    ref: Annotated[
        str,
        _matching(
            r"[A-Za-z0-9*][\w./*+-]{0,199}", 'must be the name of a branch or tag; "v*" is all from v on'
        ),
    ]
    environment: Environment


class EnvironmentTable(Demands):
    """One environment: what is demanded of a deployment there, beside what the environment itself demands,
    and what differs there: each key of `settings` is `{env.KEY}` in a template and `DG_ENV_KEY` to a step.
    """

    settings: Mapping[Key, Text] = {}

    @property
    def demands(self) -> Demands:
        """What this table adds to the environment's own demands."""
        return Demands.model_construct(**{name: getattr(self, name) for name in Demands.model_fields})


class Pipeline(Table):
    """A whole `dg.toml`, version 1."""

    version: Annotated[Literal[1], BeforeValidator(_exactly_one)]
    service: ServiceName
    source: Source
    defaults: Defaults = Defaults()
    steps: Annotated[
        tuple[Step, ...], AfterValidator(_not_empty), AfterValidator(_not_too_many), Field(alias="step")
    ]
    rollback: Rollback = Rollback()
    environments: Mapping[Environment, EnvironmentTable] = Field(default={}, alias="env")
    triggers: Annotated[tuple[Trigger, ...], AfterValidator(_not_too_many), Field(alias="on")] = ()

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret that a step names."""
        return frozenset(name for step in self.steps for name in step.secrets)

    def running(self, kind: Kind) -> Sequence[Step]:
        """The steps that a deployment of this kind runs, in order."""
        return [step for step in self.steps if step.runs_on(kind)]

    def settings(self, environment: Environment) -> Mapping[str, str]:
        """The settings of `environment`, none where it has no table."""
        table = self.environments.get(environment)
        return table.settings if table else {}

    def demands(self, environment: Environment) -> Demands:
        """What the pipeline demands of a deployment to `environment`."""
        table = self.environments.get(environment)
        return table.demands if table else Demands()

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from self._order_problems()
        for environment, table in self.environments.items():
            for field, message in table.misplaced(environment):
                yield f"env.{environment}.{field}", message
        known = {key for table in self.environments.values() for key in table.settings}
        for at, step in enumerate(self.steps):
            for field, text in step.templates():
                for key in env_keys(text) - known:
                    yield f"step[{at}].{field}", f"uses {{env.{key}}}, but no [env.*.settings] has `{key}`"

    def _order_problems(self) -> Iterator[tuple[str, str]]:
        seen: set[str] = set()
        latest = 0
        for at, step in enumerate(self.steps):
            if step.name in seen:
                yield f"step[{at}].name", f"is the second step named `{step.name}`"
            seen.add(step.name)
            position = PHASES.index(step.phase)
            if position < latest:
                yield (
                    f"step[{at}].phase",
                    f"is {step.phase} after a {PHASES[latest]} step; the order is {', '.join(PHASES)}",
                )
            latest = max(latest, position)


def env_keys(template: str) -> set[str]:
    """The keys of `{env.KEY}` in `template`."""
    prefix = placeholders.ENV_PREFIX
    return {name.removeprefix(prefix) for name in placeholders.names(template) if name.startswith(prefix)}
