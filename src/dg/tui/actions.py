"""Everything that the dashboard can change, and the one place that sends it.

An `Act` says what it would do, what a yes takes and the command that does the same. `Hands` refuses what may
not be, and sends.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dg.client.words import duration
from dg.tui.ink import Pieces
from dg.tui.signs import sign
from dg.tui.store import Store
from dg.tui.views import PRODUCTION, DeploymentView, LaneView

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import Freeze
    from dg.core.deployments.previews import Preview, RollbackPreview
    from dg.core.types import Environment

Values = Mapping[str, str]
"""What was typed, by field."""

SHOWN = 8
"""Commits that a preview shows."""


@dataclass(frozen=True)
class Field:
    """One line to fill in."""

    name: str
    hint: str
    value: str = ""
    required: bool = False
    secret: bool = False
    """Typed unseen, and gone from the form when it was sent."""


@dataclass(frozen=True)
class Look:
    """What an act would do, as it stands now. `typed` must be typed to confirm it; without it, `y` is enough.

    `ready` is False for what would be refused anyway.
    """

    rows: list[Pieces]
    typed: str = ""
    ready: bool = True


@dataclass(frozen=True)
class Shown:
    """What there is to read in an answer. A `secret` is in this one alone."""

    title: str
    rows: list[Pieces]
    secret: str = ""


@dataclass(frozen=True)
class Act:
    """One change that somebody may ask for. `right` is the action it takes, in `environment`, for `service`;
    empty for what is one's own.

    `look` asks the server what it would do, `send` does it, with an Idempotency-Key; `stamp` is what must not
    move between the two.
    """

    title: str
    right: str
    environment: str
    service: str
    look: Callable[[Client, Values], Awaitable[Look]]
    send: Callable[[Client, Values, str], Awaitable[Any]]
    command: Callable[[Values], str]
    done: str
    fields: tuple[Field, ...] = ()
    stamp: Callable[[Store, Values], object] = field(default=lambda store, values: None)
    later: bool = False
    """Whether the look hangs on what is typed, and so comes after it."""
    first: str = ""
    """The field that the cursor starts in; without one, the first that is empty."""
    show: Callable[[Any], Shown] | None = None
    """What of the answer is shown; without it, `done` alone says that it was sent."""

    def place(self, values: Values) -> tuple[str, str]:
        """Where it would happen: the environment and the service, which may be among what is typed."""
        return values.get("environment", self.environment), values.get("service", self.service)


class Hands:
    """The only way from the dashboard to a change. `read_only` leaves nothing of it.

    `withheld` says why nothing can be changed from where one is, empty where something can.
    """

    def __init__(self, store: Store, *, read_only: bool, withheld: Callable[[], str] = str) -> None:
        self._store, self._read_only, self._withheld = store, read_only, withheld

    def may(self, right: str, environment: str | None = None, service: str | None = None) -> bool:
        """Whether the key for it is shown at all."""
        return not self._read_only and self._store.rights.may(right, environment, service)

    def may_anywhere(self, right: str) -> bool:
        """Whether there is some place where it is allowed."""
        return not self._read_only and self._store.rights.may_anywhere(right)

    def allows(self, act: Act) -> bool:
        """Whether the key for it is shown at all, with its fields as they are when it opens."""
        environment, service = act.place({each.name: each.value for each in act.fields})
        return not self._read_only and (not act.right or self._given(act.right, environment, service))

    def closed(self) -> str:
        """Why nothing at all can be sent now, empty when something can."""
        if self._read_only:
            return "not sent: this dashboard only looks"
        if reason := self._withheld():
            return f"not sent: {reason}"
        return "" if self._store.link.live else "not sent: no connection"

    def objection(self, act: Act, values: Values) -> str:
        """Why it cannot be sent now, empty when it can."""
        if closed := self.closed():
            return closed
        environment, service = act.place(values)
        if act.right and not self._given(act.right, environment, service):
            place = "/".join(filter(None, (service, environment)))
            return f"not sent: that takes {act.right}{f' on {place}' if place else ''}"
        return ""

    def _given(self, right: str, environment: str, service: str) -> bool:
        """What has no place of its own is judged by the server, where one has the right anywhere."""
        rights = self._store.rights
        placed = bool(environment or service)
        return rights.may(right, environment, service) if placed else rights.may_anywhere(right)

    async def send(self, client: Client, act: Act, values: Values, key: str) -> Any:
        """Do it. Raises ValueError with the objection when there is one, and what the client raises."""
        if objection := self.objection(act, values):
            raise ValueError(objection)
        return await act.send(client, values, key)


def line(*words: str) -> str:
    """A command as a shell takes it."""
    return shlex.join(("dg", *words))


def _typed(environment: str) -> str:
    return environment if environment == PRODUCTION else ""


def _given(values: Values, name: str, flag: str) -> tuple[str, ...]:
    return (flag, values[name]) if values.get(name) else ()


def _lane(store: Store, service: str, environment: str) -> LaneView | None:
    return store.lanes.get((service, environment))


# Deploy


def deploy(service: str, environment: str, ref: str = "", *, version: str = "", note: str = "") -> Act:
    """A deployment of what is typed; the preview says what would come of it.

    What it is called is asked for only where that was said before.
    """
    from dg.core.deployments.models import CreateDeployment

    def request(values: Values) -> CreateDeployment:
        return CreateDeployment(
            environment=_environment(values["environment"]),
            service=values["service"],
            ref=values["ref"],
            version=values.get("version") or None,
            note=values["note"] or None,
        )

    async def look(dg: Client, values: Values) -> Look:
        found = await dg.deployments.preview(request(values))
        refused = found.verdict.value == "refused"
        return Look(_previewed(found), _typed(found.environment.value), ready=not refused)

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.deployments.create(request(values), key=key)

    def command(values: Values) -> str:
        what = values["service"] or "SERVICE", values["ref"] or "REF"
        flags = *_given(values, "version", "--version"), *_given(values, "note", "--note")
        return line("deploy", *what, "--env", values["environment"], *flags)

    def stamp(store: Store, values: Values) -> object:
        lane = _lane(store, values["service"], values["environment"])
        return lane and (lane.state, lane.current)

    return Act(
        title="deploy",
        right="deployment:create",
        environment=environment,
        service=service,
        look=look,
        send=send,
        command=command,
        done="asked for the deployment",
        fields=(
            Field("service", "which one", service, required=True),
            Field("environment", "development, staging or production", environment, required=True),
            Field("ref", "a branch, tag or commit", ref, required=True),
            *((Field("version", "what it is called", version),) if version else ()),
            Field("note", "a word for the history", note),
        ),
        stamp=stamp,
        later=True,
    )


def _environment(text: str) -> Environment:
    from dg.core.errors import Invalid
    from dg.core.types import Environment

    try:
        return Environment(text)
    except ValueError:
        raise Invalid("environment must be development, staging or production") from None


def _previewed(found: Preview) -> list[Pieces]:
    verdict = {"starts": ("✓", "ok"), "waits": ("◇", "warn"), "refused": ("✗", "err")}[found.verdict.value]
    rows: list[Pieces] = [
        [
            (f"{found.environment.value}  ", "prod bold" if found.environment == PRODUCTION else "fg bold"),
            (found.current_version or "nothing", "fg"),
            ("  →  ", "muted"),
            (found.version, "fg bold"),
            (f"  {found.commit_sha[:7]}", "muted"),
        ],
        [(f"{verdict[0]} {found.sentence}", verdict[1])],
        *[[(f"✗ {each.sentence}", "err")] for each in found.objections[1:]],
        *[
            [(f"{sign('open' if each.open else 'closed')} {each.name}: ", "muted"), (each.sentence, "fg")]
            for each in found.gates
        ],
        *[[("▲ cannot be undone: ", "warn"), (each, "fg")] for each in found.irreversible],
    ]
    if found.expected is not None:
        rows.append([("takes about ", "muted"), (duration(found.expected), "fg")])
    if found.files is not None:
        rows.append(
            [
                (f"{found.files.total} files  ", "muted"),
                (f"+{found.files.added} ", "ok"),
                (f"-{found.files.removed}", "err"),
            ]
        )
    return [*rows, *commits("+", "ok", found.changes.commits, found.changes.total)]


def commits(mark: str, ink: str, found: Any, total: int) -> list[Pieces]:
    """The first of some commits, and how many more there are."""
    rows: list[Pieces] = [
        [
            (f"{mark} ", ink),
            (f"{each.sha[:7]} ", "muted"),
            (each.subject, "fg"),
            (f"  {each.author}", "muted"),
        ]
        for each in found[:SHOWN]
    ]
    return [*rows, [(f"and {total - SHOWN} more", "dim")]] if total > SHOWN else rows


# Roll back


def roll_back(service: str, environment: str, *, target: str = "", reason: str = "") -> Act:
    """The lane back to the deployment with the id `target`, without one to its newest good one."""
    from dg.core.deployments.models import RequestRollback
    from dg.core.types import Environment

    crossing: list[bool] = [False]

    def request(values: Values) -> RequestRollback:
        reason = values.get("reason") or None
        return RequestRollback(target=target or None, reason=reason, cross_irreversible=crossing[0])

    async def look(dg: Client, values: Values) -> Look:
        found = await dg.lanes.preview_rollback(service, Environment(environment), request(values))
        if found.crosses and not crossing[0]:
            # Whoever confirms has read which steps cannot be undone: ask again with that agreed to.
            crossing[0] = True
            found = await dg.lanes.preview_rollback(service, Environment(environment), request(values))
        return Look(_rolled_back(found), _typed(environment), ready=found.verdict.value != "refused")

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.lanes.rollback(service, Environment(environment), request(values), key=key)

    def stamp(store: Store, _: Values) -> object:
        lane = _lane(store, service, environment)
        return lane and (lane.state, lane.current, lane.holder)

    def command(values: Values) -> str:
        to = ("--to", target) if target else ()
        return line("rollback", service, "--env", environment, *to, *_given(values, "reason", "--reason"))

    return Act(
        title=f"roll back {service} in {environment}",
        right="deployment:rollback",
        environment=environment,
        service=service,
        look=look,
        send=send,
        command=command,
        done=f"rolling back {service} in {environment}",
        fields=(Field("reason", "why, for the record", reason),),
        stamp=stamp,
    )


def _rolled_back(found: RollbackPreview) -> list[Pieces]:
    verdict = {"safe": ("✓", "ok"), "asks": ("▲", "warn"), "refused": ("✗", "err")}[found.verdict.value]
    source = found.undoes.version if found.undoes else "not known"
    target = found.target.version if found.target else "nothing"
    rows: list[Pieces] = [
        [
            (f"{found.environment.value}  ", "prod bold" if found.environment == PRODUCTION else "fg bold"),
            (source, "fg bold"),
            ("  →  ", "muted"),
            (target, "fg bold"),
        ],
        [(f"{verdict[0]} {found.sentence}", verdict[1])],
        *[[(f"✗ {each.sentence}", "err")] for each in found.objections],
        *[[(f"▲ {each.sentence}", "warn")] for each in found.doubts],
        *[[("▲ cannot be undone: ", "warn"), (each, "fg")] for each in found.crosses],
    ]
    if found.expected is not None:
        rows.append([("takes about ", "muted"), (duration(found.expected), "fg")])
    if found.changes is not None:
        rows += commits("-", "err", found.changes.leaving, found.changes.leaving_total)
        rows += commits("+", "ok", found.changes.commits, found.changes.total)
    return rows


# One deployment


def _of(found: DeploymentView) -> list[Pieces]:
    return [
        [(found.name, "prod bold" if found.in_production else "fg bold")],
        [(f"{sign(found.state)} {found.state.replace('_', ' ')}  ", "fg"), (found.words, "muted")],
    ]


def _on(
    found: DeploymentView,
    verb: str,
    send: Callable[[Client, Values, str], Awaitable[Any]],
    *,
    typed: str = "",
    fields: tuple[Field, ...] = (),
    extra: tuple[Pieces, ...] = (),
) -> Act:
    """An act on one deployment, which must stay as it was seen. Fields are called as its flags."""

    async def look(_: Client, __: Values) -> Look:
        return Look([*_of(found), *extra], typed)

    def command(values: Values) -> str:
        flags = (_given(values, each.name, f"--{each.name}") for each in fields)
        return line(verb, found.id, *(word for given in flags for word in given))

    def stamp(store: Store, _: Values) -> object:
        now = store.deployments.get(found.id, found)
        return now.status, now.content, now.cancelling

    return Act(
        title=f"{verb} #{found.number} in {found.environment}",
        right=f"deployment:{verb}",
        environment=found.environment,
        service=found.service,
        look=look,
        send=send,
        command=command,
        done=f"{verb}: {found.name}",
        fields=fields,
        stamp=stamp,
    )


def approve(found: DeploymentView, note: str = "") -> Act:
    """Agree to what was seen: the version is what is approved, and its content what counts."""
    from dg.core.deployments.models import Approve

    async def send(dg: Client, values: Values, key: str) -> Any:
        said = Approve(content=found.content or None, note=values.get("note") or None)
        return await dg.deployments.approve(found.id, said, key=key)

    bound: Pieces = [
        ("bound to the content ", "muted"),
        (found.content[:12], "fg"),
        (f" of {found.sha[:12]}", "muted"),
    ]
    typed = found.version if found.in_production else ""
    fields = (Field("note", "a word for the record", note),) if note else ()
    return _on(found, "approve", send, typed=typed, fields=fields, extra=(bound,))


def reject(found: DeploymentView, reason: str = "") -> Act:
    """Say no; the deployment ends."""

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.deployments.reject(found.id, values["reason"], key=key)

    return _on(found, "reject", send, fields=(Field("reason", "why", reason, required=True),))


def cancel(found: DeploymentView, reason: str = "") -> Act:
    """Stop it."""

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.deployments.cancel(found.id, reason=values.get("reason") or None, key=key)

    typed = _typed(found.environment)
    return _on(found, "cancel", send, typed=typed, fields=(Field("reason", "why, for the record", reason),))


def retry(found: DeploymentView, *, step: str = "", note: str = "") -> Act:
    """Take a failed one up again, from `step` or the first one that did not succeed.

    A step that had begun and asks before it is run again is named first; a second yes agrees to that.
    """
    from dg.core.deployments.models import RequestRetry
    from dg.core.errors import Refused

    agreed: list[bool] = [False]

    async def send(dg: Client, values: Values, key: str) -> Any:
        asked = RequestRetry(
            from_step=values.get("from") or None, note=values.get("note") or None, confirm=agreed[0]
        )
        try:
            return await dg.deployments.retry(found.id, asked, key=f"{key}-agreed" if agreed[0] else key)
        except Refused as refused:
            if agreed[0] or refused.reason != "confirm":
                raise
            agreed[0] = True
            raise Refused(f"{refused.message}: the same answer again agrees", reason="confirm") from None

    fields = (Field("from", "the step to begin with", step), Field("note", "a word for the history", note))
    said = tuple(each for each in fields if each.value)
    act = _on(found, "retry", send, typed=_typed(found.environment), fields=said)

    def command(values: Values) -> str:
        return f"{act.command(values)}{' --confirm' if agreed[0] else ''}"

    return replace(act, command=command)


# Lanes


def lock(lane: LaneView, *, lasting: str = "1h", reason: str = "") -> Act:
    """Close a lane for a while."""
    from dg.core.types import Environment

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.lanes.lock(
            lane.service,
            Environment(lane.environment),
            reason=values["reason"],
            lasting=values["lasting"],
            key=key,
        )

    return _lane_act(lane, "lock", "lane:lock", send, _while(lasting, reason))


def _while(lasting: str, reason: str) -> tuple[Field, ...]:
    return (
        Field("reason", "why", reason, required=True),
        Field("lasting", "for how long: 30m, 2h", lasting, required=True),
    )


def unlock(lane: LaneView, *, reason: str = "") -> Act:
    """Open a lane that is locked, or lift the freeze that closes it."""
    from dg.core.types import Environment

    async def send(dg: Client, values: Values, key: str) -> Any:
        if lane.freeze:
            return await dg.lanes.thaw(lane.freeze, key=key)
        reason = values.get("reason") or None
        return await dg.lanes.unlock(lane.service, Environment(lane.environment), reason=reason, key=key)

    if lane.freeze:
        return _lane_act(lane, "thaw", "lane:thaw", send, (), typed=_typed(lane.environment))
    fields = (Field("reason", "why, for the record", reason),)
    return _lane_act(lane, "unlock", "lane:unlock", send, fields, typed=_typed(lane.environment))


def freeze(environment: str, service: str = "", *, lasting: str = "1h", reason: str = "") -> Act:
    """Close many lanes for a while: of an environment, of a service, of both, or (neither) all there are."""

    async def look(dg: Client, values: Values) -> Look:
        where = values["environment"]
        found = await dg.lanes.list(
            service=values["service"] or None, environment=_environment(where) if where else None
        )
        rows: list[Pieces] = [
            [
                (f"{each.service}/{each.environment.value}  ", "fg bold"),
                ("is closed", "warn"),
                ("  after what runs there has ended" if each.holder else "", "muted"),
            ]
            for each in found[:SHOWN]
        ]
        more: list[Pieces] = [[(f"and {len(found) - SHOWN} more", "dim")]] if len(found) > SHOWN else []
        none: list[Pieces] = [[("no lane is there yet: those that come are closed", "muted")]]
        return Look([*rows, *more] or none, _typed(where or PRODUCTION))

    async def send(dg: Client, values: Values, key: str) -> Any:
        where = values["environment"]
        return await dg.lanes.freeze(
            reason=values["reason"],
            lasting=values["lasting"],
            service=values["service"] or None,
            environment=_environment(where) if where else None,
            key=key,
        )

    def command(values: Values) -> str:
        lanes = (values["service"],) if values["service"] else () if values["environment"] else ("--all",)
        place, lasting = _given(values, "environment", "--env"), _given(values, "lasting", "--for")
        return line("freeze", *lanes, *place, *lasting, *_given(values, "reason", "--reason"))

    return Act(
        title="freeze",
        right="lane:freeze",
        environment=environment,
        service=service,
        look=look,
        send=send,
        command=command,
        done="frozen",
        fields=(
            *_while(lasting, reason),
            Field("environment", "empty for everywhere", environment),
            Field("service", "empty for all of them", service),
        ),
        first="lasting" if reason else "reason",
        later=True,
    )


def thaw(freeze: str = "") -> Act:
    """End one freeze by its id, or all that one may end."""

    async def look(dg: Client, _: Values) -> Look:
        wanted = [each for each in await dg.lanes.freezes() if not freeze or each.id == freeze]
        rows: list[Pieces] = [
            [(_frozen(each), "fg bold"), (f"  {each.reason}", "muted")] for each in wanted
        ] or [[("nothing is frozen", "muted")]]
        crossed = any(each.environment is None or each.environment.value == PRODUCTION for each in wanted)
        return Look(rows, PRODUCTION if crossed else "", ready=bool(wanted))

    async def send(dg: Client, _: Values, key: str) -> Any:
        return await dg.lanes.thaw(freeze or None, key=key)

    return Act(
        title="thaw" if freeze else "thaw all that you may",
        right="lane:thaw",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda _: line("thaw", *filter(None, (freeze,))),
        done="thawed",
    )


def _frozen(freeze: Freeze) -> str:
    where = freeze.service, freeze.environment and freeze.environment.value
    return "/".join(filter(None, where)) or "everything"


def _lane_act(
    lane: LaneView,
    verb: str,
    right: str,
    send: Callable[[Client, Values, str], Awaitable[Any]],
    fields: tuple[Field, ...],
    *,
    typed: str = "",
) -> Act:
    async def look(_: Client, __: Values) -> Look:
        return Look([[(f"{lane.service}/{lane.environment}  ", "fg bold"), (lane.sentence, "muted")]], typed)

    def command(values: Values) -> str:
        if verb == "thaw":
            return line("thaw", lane.freeze)
        lasting = _given(values, "lasting", "--for")
        reason = _given(values, "reason", "--reason")
        return line("lane", verb, lane.service, lane.environment, *lasting, *reason)

    def stamp(store: Store, _: Values) -> object:
        now = store.lanes.get(lane.key)
        return now and now.state

    return Act(
        title=f"{verb} {lane.service}/{lane.environment}",
        right=right,
        environment=lane.environment,
        service=lane.service,
        look=look,
        send=send,
        command=command,
        done=f"{verb}: {lane.service}/{lane.environment}",
        fields=fields,
        stamp=stamp,
    )
