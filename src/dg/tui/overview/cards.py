"""How the overview draws an environment: what matters most stays where there is little room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dg.client.words import duration
from dg.core.text import counted
from dg.tui.drawing import ago, badge, flight, running_step
from dg.tui.ink import Piece, Pieces, apart, fit, measure, wrapped
from dg.tui.signs import bar, ink, sign
from dg.tui.store import Store
from dg.tui.views import PRODUCTION, DeploymentView, EnvironmentView, LaneView, ProgressView, ServiceView

ROOMY = 10
"""Rows from which a card has some to spare."""
NARROW = 36
"""Cells below which a card says only the most of everything."""
ORDER = ("frozen", "locked", "busy", "open")
"""Lane states, what needs a person first."""
WORST = ("unhealthy", "degraded", "unknown")
"""States of a service that is not healthy, what needs a person first."""

MUST, SHOULD, MAY, AIR = range(4)
"""How much a block of a card matters."""

Block = tuple[int, list[Pieces]]


@dataclass(frozen=True)
class Card:
    """What is known of one environment at `now` (microseconds). Not `live`, nothing is expected."""

    health: EnvironmentView
    lanes: tuple[LaneView, ...]
    deployments: Mapping[str, DeploymentView]
    progress: Mapping[str, ProgressView]
    now: int
    live: bool = True
    hidden: bool = False
    """Whether somebody looks who may see no lane of it."""

    @classmethod
    def of(cls, store: Store, name: str, now: int) -> Card:
        lanes = urgent(lane for lane in store.lanes.values() if lane.environment == name)
        health = store.environments.get(name, EnvironmentView(name))
        hidden = bool(store.rights.name) and not store.rights.may_in("lane:read", name)
        return cls(health, tuple(lanes), store.deployments, store.progress, now, store.link.live, hidden)

    def draw(self, width: int, height: int) -> list[Pieces]:
        """The environment in a box."""
        if not self.lanes and not self.health.services:
            return [[(self._nothing, "dim")]]
        blocks = self._blocks(width, height, 0)
        if closed := sum(each.closed for each in self.lanes):
            # Why a lane is closed is said to its end before anything of the past is.
            spare = max(0, height - sum(len(rows) for _, rows in blocks))
            blocks = self._blocks(width, height, spare // closed)
        used = sum(len(rows) for _, rows in blocks)
        blocks.append((MAY, past(self._lately(), width, height - used - 1, self.now)))
        return fitted(blocks, height)

    def _blocks(self, width: int, height: int, spare: int) -> list[Block]:
        """All but the past. A closed lane's sentence has `spare` rows more than it must have."""
        roomy = height > ROOMY
        blocks: list[Block] = [
            # A badge right below the badge of the border would read as one.
            (MAY, [[]] if roomy else []),
            (MUST, [self._top(width)]),
            (MUST, [] if roomy else flowing(map(_short, self._unwell), width, 2)),
        ]
        for lane in self.lanes:
            blocks += self._lane(lane, width, roomy=roomy, spare=spare)
        services = self._services(width) if roomy else []
        services.append((MUST, [row for each in self.health.drifts for row in _drift(each, width)]))
        if any(rows for _, rows in services):
            blocks.append((AIR, [[]]))
        return blocks + services

    def line(self, width: int) -> Pieces:
        """The environment where there is room for a line alone."""
        name = self.health.name
        shown: Piece = (f" {name.upper()} ", "prod badge") if name == PRODUCTION else (name, "fg bold")
        state: list[Piece] = [self._health_badge()] if self.health.services else []
        closed = [each for each in self.lanes if each.closed or not each.known]
        if self.lanes and (closed or not state):
            state += [(" ", "")] * bool(state) + [self._lane_badge()]
        runs = "  ".join(f"{each.service} {each.version}" for each in self.lanes)
        nothing: list[Piece] = [] if state else [(self._nothing, "dim")]
        return apart([shown, ("  ", ""), *state, *nothing, (f"  {runs}", "muted")], [], width)

    # Its parts

    @property
    def _nothing(self) -> str:
        return "you may not see what deploys here" if self.hidden else "nothing deploys here yet"

    def _health_badge(self) -> Piece:
        return badge(self.health.status)

    def _lane_badge(self) -> Piece:
        first = self.lanes[0]
        if not all(each.known for each in self.lanes) and not first.closed:
            return " ▲ NOT KNOWN ", "warn badge"
        return badge(first.state)

    def _top(self, width: int) -> Pieces:
        """How it is and since when, and of how many services that is so; of its lanes, where nobody looks."""
        services = self.health.services
        if not services:
            return apart([self._lane_badge()], [(counted(len(self.lanes), "lane"), "muted")], width)
        since = ago(self.health.since, self.now)
        well = sum(each.well for each in services)
        count: Piece = (f"{well}/{len(services)}", "fg bold" if well == len(services) else "err bold")
        noun = " service" if len(services) == 1 else " services"
        if width < NARROW:
            return apart([self._health_badge(), (f"  {since}", "muted")], [count], width)
        lasting = f"  for {since}" if since and since != "now" else ""
        return apart([self._health_badge(), (lasting, "muted")], [count, (noun, "muted")], width)

    def _lane(self, found: LaneView, width: int, *, roomy: bool, spare: int) -> list[Block]:
        """What runs there, why it is closed, what is under way and what waits."""
        current = self.deployments.get(found.current)
        loud = bool(self.health.services)
        rows = (4 if roomy else 2) + spare
        first, *why = lane(found, current, width, self.now, rows=rows, loud=loud)
        blocks: list[Block] = [(MUST, [first]), (MUST if roomy else SHOULD, why)]
        holder = self.deployments.get(found.holder)
        if holder is not None and holder.active:
            progress = self.progress.get(holder.id)
            if roomy:
                head, *more = flight(holder, progress, width, self.now, self.live)
                blocks += [(AIR, [[]]), (MUST, [head]), (SHOULD, more)]
            else:
                blocks.append((MUST, [self._flight(holder, progress, width)]))
        blocks.append((MUST, waiting(found, self.deployments, width)))
        return blocks

    def _flight(self, found: DeploymentView, progress: ProgressView | None, width: int) -> Pieces:
        """What is under way, in one line."""
        step = running_step(found, progress)
        share = progress.share if progress else 0.0
        head = [(f"{sign(found.status)} {step} {share * 100:.0f}% ", "progress bold")]
        return [*head, *bar(max(0, width - measure(head)), share)]

    @property
    def _unwell(self) -> list[ServiceView]:
        """What is not healthy, the worst first."""
        found = [each for each in self.health.services if not each.well]
        return sorted(found, key=lambda each: WORST.index(each.status) if each.status in WORST else 0)

    def _services(self, width: int) -> list[Block]:
        """What is not well, and why; then the others by their names alone."""
        blocks: list[Block] = []
        for each in self._unwell:
            name, *why = self._ill(each, width)
            blocks += [(MUST, [name]), (SHOULD, why)]
        if len(self.health.services) > 1:
            # One that is all there is says no more than the first line.
            names = sorted(each.name for each in self.health.services if each.well)
            blocks.append(
                (MAY, flowing([(f"{sign('healthy')} {name}", "muted") for name in names], width, 2))
            )
        return blocks

    def _ill(self, found: ServiceView, width: int) -> list[Pieces]:
        tone = ink(found.status)
        suspect = f" since #{found.suspect}" if found.suspect is not None else ""
        head: list[Piece] = [
            (f"{sign(found.status)} {found.name} ", f"{tone} bold"),
            (found.status, tone),
            (suspect, "warn"),
        ]
        first = apart(head, [(ago(found.since, self.now), "muted")], width)
        return [first, *(wrapped([(found.why, "muted")], width, 2) if found.why else [])]

    def _lately(self) -> list[DeploymentView]:
        lanes = {lane.key for lane in self.lanes}
        return [each for each in self.deployments.values() if each.final and _key(each) in lanes]


def fitted(blocks: list[Block], height: int) -> list[Pieces]:
    """Blocks in their order on at most `height` rows: what matters least goes first. Where something that
    matters is missing, the last row says so."""
    room, kept = height, dict[int, list[Pieces]]()
    for at in sorted(range(len(blocks)), key=lambda at: blocks[at][0]):
        kept[at] = blocks[at][1][: max(0, room)]
        room -= len(kept[at])
    rows = [row for at in range(len(blocks)) for row in kept[at]]
    missing = sum(len(whole) - len(kept[at]) for at, (weight, whole) in enumerate(blocks) if weight <= SHOULD)
    if missing and height:
        return [*rows[:-1], [(f"… {counted(missing + 1, 'more line')}", "dim")]]
    return rows


def flowing(pieces: Iterable[Piece], width: int, rows: int) -> list[Pieces]:
    """Words side by side on at most so many rows, none of them broken; `…` where some are missing."""
    lines: list[list[Piece]] = []
    for text, words in pieces:
        gap = "  "
        if not lines or measure(lines[-1]) + len(gap) + measure([(text, "")]) > width:
            if len(lines) == rows:
                lines[-1].append((" …", words))
                break
            lines.append([])
        lines[-1].append((f"{gap}{text}" if lines[-1] else fit(text, width), words))
    return list(lines)


def urgent(lanes: Iterable[LaneView]) -> list[LaneView]:
    """Lanes, those that need a person first."""
    order = {state: at for at, state in enumerate(ORDER)}
    return sorted(lanes, key=lambda each: (order.get(each.state, 0), each.service))


def lane(
    found: LaneView,
    current: DeploymentView | None,
    width: int,
    now: int,
    *,
    rows: int = 3,
    loud: bool = False,
) -> list[Pieces]:
    """One lane: what runs there and since when; why it is closed, where it is, on so many `rows`.

    `loud` is for where nothing above says so.
    """
    runs: list[Piece] = [("not known", "warn bold")]
    if found.known:
        runs = [(found.version, "fg bold")] if found.version else [("nothing yet", "dim")]
    if found.sha and not found.sha.startswith(found.version or "-"):
        runs.append((f" {found.sha[:7]}", "muted"))
    since = f"{current.by} · {ago(current.completed_at, now)}" if current and current.completed_at else ""
    head = [*_mark(found, loud=loud), (f"{found.service} ", "muted"), *runs]
    right: list[Piece] = [(since, "muted")] if measure(head) + measure([(since, "")]) < width else []
    drawn: list[Pieces] = [apart(head, right, width)]
    if found.closed or not found.known:
        drawn += wrapped([(found.standing, ink(found.state) if found.closed else "warn")], width, rows)
    return drawn


def _mark(found: LaneView, *, loud: bool) -> list[Piece]:
    if found.state == "open":
        return []
    if loud and found.closed:
        return [badge(found.state), (" ", "")]
    return [(f"{sign(found.state)} ", f"{ink(found.state)} bold")]


def past(found: Iterable[DeploymentView], width: int, room: int, now: int) -> list[Pieces]:
    """The newest deployments that have ended, below an empty line, as far as there is room."""
    newest = sorted(found, key=lambda each: -each.number)[: max(0, room)]
    rows: list[Pieces] = [[]] if newest else []
    for each in newest:
        back = "back to " if each.kind == "rollback" else ""
        what = f" {each.service} {back}{each.version}"
        took = "" if each.seconds is None else duration(each.seconds)
        right: Pieces = [(f"{took}  {ago(each.completed_at, now):>4}", "dim")]
        name: list[Piece] = [(sign(each.status), ink(each.status)), (what, "muted"), (f"  {each.by}", "dim")]
        rows.append(apart(name, right if width >= NARROW else right[:0], width))
    return rows


def waiting(found: LaneView, deployments: Mapping[str, DeploymentView], width: int) -> list[Pieces]:
    """What waits for a lane, and for what."""
    waits = [each for each in deployments.values() if each.status == "pending" and _key(each) == found.key]
    rows: list[Pieces] = []
    for each in sorted(waits, key=lambda waits: waits.number)[:2]:
        head: list[Piece] = [
            (f"{sign(each.state)} #{each.number} {each.version} ", f"{ink(each.state)} bold")
        ]
        rows.append(apart([*head, (each.hold, "muted")], [], width))
    return rows


def skeleton(width: int, height: int) -> list[Pieces]:
    """What stands in a box before anything is known."""
    shares = (0.4, 0.7, 0.5)
    return [[("─" * int(width * share), "dim")] for share in shares[: max(0, height - 1)]]


def _short(found: ServiceView) -> Piece:
    return f"{sign(found.status)} {found.name}", f"{ink(found.status)} bold"


def _drift(sentence: str, width: int) -> list[list[Piece]]:
    head: list[Piece] = [(f"{sign('drifted')} drift", "err bold"), (sentence, "muted")]
    return wrapped(head, width, 2)


def _key(found: DeploymentView) -> tuple[str, str]:
    return found.service, found.environment
