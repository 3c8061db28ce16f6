"""The composition root of the core: what exists and who gets what, in the order in which it is opened."""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import SystemRandom

from dg import __version__
from dg.core.access.keys import receipt_key
from dg.core.access.models import SYSTEM
from dg.core.access.opening import Entrance, open_access
from dg.core.access.service import Access, Accounts, Bindings, Keys, Logins, Roles, Sessions, Tokens
from dg.core.anchors import Anchors
from dg.core.audit.service import Audit, OriginsWitness
from dg.core.backup.service import Backups
from dg.core.bus import Bus
from dg.core.clock import SECOND, Clock, Ids, SystemClock
from dg.core.custody import Custody
from dg.core.database.address import address_of
from dg.core.database.opening import open_databases
from dg.core.database.transactions import Tx, Waits
from dg.core.deployments import pipeline
from dg.core.deployments import store as deployment_store
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.drivers import Runners
from dg.core.deployments.gates import keeper
from dg.core.deployments.git import Mirrors
from dg.core.deployments.jobs import jobs as deployment_jobs
from dg.core.deployments.notices.secrets import NoticeSecrets
from dg.core.deployments.notices.secrets import hidden_variables as hidden_by_notices
from dg.core.deployments.parts import Git, Parts, Protection
from dg.core.deployments.quota import LogQuota
from dg.core.deployments.receipt import fingerprint
from dg.core.deployments.receipts import ReceiptsWitness
from dg.core.deployments.reports.reporting import KIND as REPORT
from dg.core.deployments.reports.reporting import Reporting
from dg.core.deployments.secrets import FileSecrets, Secrets
from dg.core.deployments.service import (
    Approvals,
    Deployments,
    Figures,
    Lanes,
    Notices,
    Pipelines,
    Recovery,
)
from dg.core.deployments.sources import Sources, hidden_variables
from dg.core.drift.drivers import Checks
from dg.core.drift.jobs import jobs as drift_jobs
from dg.core.drift.models import Deployed
from dg.core.drift.models import Lane as DriftLane
from dg.core.drift.service import Drift
from dg.core.drift.watch import Watch
from dg.core.environments.service import Environments, probes_of, protections_of, runs_of
from dg.core.environments.usage import SecretUsage
from dg.core.environments.vault import KeptSecrets, Vault
from dg.core.errors import Invalid, Unavailable
from dg.core.events import ServerStarted
from dg.core.feed import Feed, open_feed
from dg.core.health.models import Suspect
from dg.core.health.opening import open_vigil
from dg.core.health.service import Health
from dg.core.home import Home, write_private
from dg.core.http import Outbound, Resolve
from dg.core.jobs import Every, Job, open_scheduler
from dg.core.ledger import Ledger
from dg.core.outbox import Following, Outbox
from dg.core.outbox import store as outbox_store
from dg.core.past.service import Past
from dg.core.protection import Protections
from dg.core.sealed import Keyring
from dg.core.slack.announcing import Announcements
from dg.core.slack.digest import Digests
from dg.core.slack.fuse import Fuse
from dg.core.slack.handovers import Handovers
from dg.core.slack.messenger import Messenger
from dg.core.slack.quiet import QuietHours
from dg.core.slack.routing import KIND as SLACK
from dg.core.slack.routing import Routes
from dg.core.slack.service import Channels
from dg.core.slack.subscribing import ChannelSubscriptions
from dg.core.slack.tokens import hidden_variables as hidden_by_slack
from dg.core.system import Gauge, LoopLag, System
from dg.core.tasks import open_tasks
from dg.core.types import Environment
from dg.core.webhooks.models import KIND as WEBHOOK
from dg.core.webhooks.sending import Deliverer
from dg.core.webhooks.service import Webhooks
from dg.core.webhooks.subscriptions import Subscriptions
from dg.runner import cgroups
from dg.runner.handover import Opener
from dg.settings import Settings
from dg.settings.tree import Runner

log = logging.getLogger(__name__)

_LOOK = 10.0
_MINUTE = 60.0
_HOUR = 3600.0


@dataclass(frozen=True)
class Core:
    """The product without a face: what surfaces call."""

    settings: Settings
    deployments: Deployments
    approvals: Approvals
    recovery: Recovery
    lanes: Lanes
    pipelines: Pipelines
    notices: Notices
    figures: Figures
    environments: Environments
    secrets: SecretUsage
    drift: Drift
    backups: Backups
    health: Health
    past: Past
    keyring: Keyring
    access: Access
    tokens: Tokens
    keys: Keys
    roles: Roles
    bindings: Bindings
    sessions: Sessions
    logins: Logins
    accounts: Accounts
    handovers: Handovers
    feed: Feed
    webhooks: Webhooks
    messenger: Messenger
    channels: Channels
    subscriptions: ChannelSubscriptions
    audit: Audit
    system: System
    clock: Clock
    drain: Callable[[], Awaitable[None]]
    """Starts no deployment any more but rollbacks, and returns when none runs."""
    superseded: asyncio.Event
    """Set when another server took the database over: this one must end."""


@dataclass(frozen=True)
class Drivers:
    """What touches the world, where it is to be another than the usual one."""

    git: Git | None = None
    secrets: Secrets | None = None
    protection: Protection | None = None
    resolve: Resolve | None = None


@asynccontextmanager
async def open_core(
    settings: Settings,
    *,
    clock: Clock | None = None,
    drivers: Drivers | None = None,
    environ: Mapping[str, str] | None = None,
    passive: bool = False,
    waits: Waits | None = None,
) -> AsyncIterator[Core]:
    """Open the home of `settings` and everything in it; closing leaves running deployments alone.

    `passive` starts no dispatcher and no jobs: for commands that work on a home whose server is down. `waits`
    is told when another server is active on the database, whose end is then waited for. Raises Refused when
    another server holds the home, or the database where nobody waits, or when the schema is newer; Invalid
    for a database that this dg does not speak.
    """
    clock = clock or SystemClock()
    drivers = drivers or Drivers()
    environ = os.environ if environ is None else environ
    home = Home(settings.home)
    address = address_of(settings.database)
    async with AsyncExitStack() as stack:
        stack.enter_context(home.lock())
        signing = receipt_key(home.keys)
        custody = Custody(settings.keys, home.path, environ, required=settings.server.production)
        envelope = await custody.open()
        environ = custody.rest()
        tasks = await stack.enter_async_context(open_tasks())
        bus = Bus()
        databases = await stack.enter_async_context(
            open_databases(
                home,
                settings.database,
                address,
                clock=clock,
                tasks=tasks,
                seal=Ledger(clock).seal,
                publish=bus.publish,
                keys=fingerprint(signing.public_key()),
                waits=waits,
            )
        )
        state, logs = databases.state, databases.logs
        ids = Ids(clock)
        vault = Vault(envelope, clock)
        keyring = Keyring(state, envelope, custody, vault)
        if settings.server.production and not passive:
            await keyring.require_whole()
        protections = Protections(settings)
        for environment, own in (await protections_of(state)).items():
            protections.hold(environment, own)
        entrance = await open_access(
            state,
            bus=bus,
            clock=clock,
            ids=ids,
            tasks=tasks,
            home=home,
            settings=settings.access,
            outbound=settings.outbound,
        )
        anchors = Anchors(settings.ledger.anchor_file, settings.ledger.anchor_command, environ=environ)
        access = entrance.access
        usage = SecretUsage(state, clock, access, _named_secrets, settings.secrets.remind_after)
        stack.push_async_callback(_flush, entrance)
        feed = await open_feed(
            state,
            access=access,
            bus=bus,
            clock=clock,
            anchors=anchors,
            witnesses=lambda: (ReceiptsWitness(), OriginsWitness()),
        )
        runners = Runners(
            home.runs,
            home.lanes,
            str(settings.runner.python) if settings.runner.python else None,
            _cgroup(settings, prepare=not passive),
            settings.runner.kill_grace,
            settings.runner.area,
            _opener(settings.runner, environ),
        )
        hidden = (
            hidden_variables(settings.git.sources)
            | hidden_by_notices(settings.incoming.sources)
            | hidden_by_slack(settings.slack)
            | set(settings.runner.decrypt_env)
        )
        shown = {name: value for name, value in environ.items() if name not in hidden}
        passed = {name: shown[name] for name in settings.runner.env_pass if name in shown}
        secrets = drivers.secrets or FileSecrets(settings.secrets_file, KeptSecrets(state, vault, clock))
        vigil = await stack.enter_async_context(
            open_vigil(
                state,
                logs,
                access=access,
                clock=clock,
                settings=settings,
                secrets=secrets,
                environ=passed,
                documents=await probes_of(state),
                suspect=partial(_suspect, int(settings.probes.suspect_within * SECOND)),
                resolve=drivers.resolve,
            )
        )
        parts = Parts(
            settings=settings,
            db=state,
            logs=logs,
            access=access,
            clock=clock,
            ids=ids,
            git=drivers.git or _mirrors(home, settings, clock, environ),
            secrets=secrets,
            protection=drivers.protection or protections,
            machine=runners,
            environ=shown,
            probes=vigil.standings,
            receipt_key=signing,
            place=home.place(),
        )
        bus.subscribe(parts.followers.observe)
        outbound = Outbound(settings.outbound, resolve=drivers.resolve)
        deliverer = Deliverer(state, clock, outbound, envelope, settings.webhooks)
        # Ends before the databases close: what follows runs writes until its last moment.
        work = await stack.enter_async_context(open_tasks())
        dispatcher = Dispatcher(parts, runners, work)

        async def renew_guards() -> None:
            await state.write(lambda tx: keeper.renew(tx, parts.protection, clock.micros()))
            dispatcher.wake()

        protections.renew = renew_guards
        deployments, pipelines = Deployments(parts, dispatcher), Pipelines(parts)
        notices = Notices(
            parts,
            NoticeSecrets(settings.incoming.sources, home.path, environ),
            deployments,
            pipelines,
            work,
        )
        reporting = Reporting(
            state,
            clock,
            ids,
            outbound,
            Sources(settings.git.sources, home.path, environ),
            settings.server.public_url,
        )
        quiet, routes = QuietHours(settings.slack.quiet), Routes(settings.slack)
        messenger = Messenger(state, clock, ids, quiet, Fuse(clock, settings.slack.most_a_minute))
        outbox = Outbox(
            state, clock, work, SystemRandom(), {WEBHOOK: deliverer, REPORT: reporting, SLACK: messenger}
        )
        messenger.wake = outbox.wake
        digests = Digests(state, clock, ids, routes, settings.slack.digest, quiet, outbox.wake)
        subscriptions = Subscriptions(clock, ids, settings.webhooks)
        announcements = Announcements(clock, ids, routes)
        channels = Channels(state, clock, ids, access, routes, messenger.look_again)
        following = Following(state, bus, clock, (subscriptions, reporting, announcements), outbox.wake)
        environments = Environments(
            state, clock, access, vault, protections, vigil.rules, commands=settings.drift.commands
        )
        backups = Backups(settings, state, clock, access, vault, environments, environ)
        lag = LoopLag(clock)
        quota = LogQuota(parts, runners)
        gauges: dict[str, Gauge] = {
            "active_runs": lambda: dispatcher.active,
            "kept_logs": quota.figures,
            "probes": lambda: vigil.watch.figures,
            "outbox": lambda: {**outbox.figures, **following.figures},
            "backups": lambda: backups.figures,
            "slack": messenger.figures,
        }
        slack_signs = {"slack": messenger.state} if settings.slack.mode != "off" else {}
        system = System(
            state=state,
            logs=logs,
            home=home,
            clock=clock,
            access=access,
            settings=settings.health,
            lag=lag,
            gauges=gauges,
            signs={"kept_logs": lambda: quota.state, **slack_signs, **entrance.signs(), **backups.signs()},
            anchors=anchors,
            bus=bus,
        )
        stack.callback(bus.close)

        async def remove_old_messages() -> None:
            before = clock.micros() - int(settings.retention.deliveries * SECOND)
            await state.write(lambda tx: outbox_store.prune(tx, before))

        if not passive:
            await state.write(lambda tx: tx.append(ServerStarted(version=__version__), by=SYSTEM))
            write_private(home.owner_token, await entrance.tokens.owner_token(_owner()))
            entrance.begin()
            watch = Watch(
                state,
                clock,
                runs_of,
                _lane,
                Checks(outbound, passed, commands=settings.drift.commands),
                settings.drift.concurrency,
            )
            listed = (
                *deployment_jobs(parts, dispatcher, runners, quota),
                *drift_jobs(watch),
                Job("secrets.remind", Every(_HOUR), usage.remind),
                *vigil.jobs,
                *_house_jobs(settings, home, entrance, feed),
                Job("notices.handle", Every(_LOOK), notices.handle),
                *backups.jobs(),
                *digests.jobs(),
                Job("slack.end_mutes", Every(_LOOK), channels.end_mutes),
                Job("outbox.remove_old", Every(settings.retention.interval), remove_old_messages),
            )
            await following.begin()
            await backups.begin()
            scheduler = await stack.enter_async_context(
                open_scheduler(listed, db=state, clock=clock, tasks=work)
            )
            gauges["scheduler"] = lambda: scheduler.figures
            work.spawn("loop lag", lag.measure())
            work.spawn("dispatcher", dispatcher.run())
            vigil.begin()
            work.spawn("following the ledger", following.run())
            work.spawn("outbox", outbox.run())
        yield Core(
            settings=settings,
            deployments=deployments,
            approvals=Approvals(parts, dispatcher),
            recovery=Recovery(parts, dispatcher),
            lanes=Lanes(parts, dispatcher),
            pipelines=pipelines,
            notices=notices,
            figures=Figures(parts),
            secrets=usage,
            environments=environments,
            backups=backups,
            health=vigil.health,
            past=Past(state, clock, access),
            keyring=keyring,
            drift=Drift(state, clock, access, runs_of, _lane, settings.drift),
            access=access,
            tokens=entrance.tokens,
            keys=entrance.keys,
            roles=entrance.roles,
            bindings=entrance.bindings,
            sessions=entrance.sessions,
            logins=entrance.logins,
            accounts=entrance.accounts,
            handovers=Handovers(state, clock, ids, access, routes, outbox.wake),
            feed=feed,
            webhooks=Webhooks(
                state, clock, ids, access, outbound, envelope, deliverer, settings.webhooks, outbox.wake
            ),
            messenger=messenger,
            channels=channels,
            subscriptions=ChannelSubscriptions(state, clock, ids, access, messenger.examine),
            audit=Audit(state, access, clock),
            system=system,
            clock=clock,
            drain=dispatcher.drain,
            superseded=databases.superseded,
        )


def _named_secrets(tx: Tx) -> dict[str, frozenset[str]]:
    """The secrets that the steps of each service's pipeline name."""
    found = {}
    for registered in deployment_store.newest_pipelines(tx):
        try:
            found[registered.service] = pipeline.parse(registered.text).secrets
        except Invalid:
            # Written for another dg: it starts nothing, so it uses nothing.
            found[registered.service] = frozenset()
    return found


def _lane(tx: Tx, service: str, environment: Environment) -> DriftLane:
    """What dg deployed there, for who compares it with what runs."""
    row = deployment_store.lane(tx, service, environment.value)
    current = deployment_store.find(tx, row["current"]) if row["current"] else None
    deployed = current and Deployed(
        deployment=current.id, number=current.number, version=current.version, commit_sha=current.commit_sha
    )
    busy = row["holder"] is not None or row["left_by"] is not None
    return DriftLane(deployed=deployed, known=bool(row["known"]), busy=busy)


def _suspect(within: int, tx: Tx, service: str, environment: Environment, at: int) -> Suspect | None:
    """The newest deployment that began there less than `within` (microseconds) before `at`."""
    newest = deployment_store.started_since(tx, service, environment.value, 0)
    if newest is None or newest.started_at is None or not 0 <= at - newest.started_at < within:
        return None
    return Suspect(deployment=newest.id, number=newest.number)


def _opener(settings: Runner, environ: Mapping[str, str]) -> Opener | None:
    """What opens the secrets that this server cannot; None without a command."""
    seen = {*settings.env_pass, *settings.decrypt_env} & environ.keys()
    env = {name: environ[name] for name in sorted(seen)}
    return Opener(settings.decrypt, env, settings.decrypt_timeout) if settings.decrypt else None


def _cgroup(settings: Settings, *, prepare: bool) -> str | None:
    """The folder for the control groups of runs: the settings', else what systemd left to this service."""
    folder = str(settings.runner.cgroup) if settings.runner.cgroup else cgroups.delegated()
    if folder is not None and prepare:
        cgroups.prepare(folder)
    return folder


def _mirrors(home: Home, settings: Settings, clock: Clock, environ: Mapping[str, str]) -> Mirrors:
    return Mirrors(
        home.mirrors,
        clock=clock,
        environ=environ,
        timeout=settings.git.timeout,
        ssh_command=settings.git.ssh_command or "ssh",
        sources=Sources(settings.git.sources, home.path, environ),
    )


async def _flush(entrance: Entrance) -> None:
    try:
        await entrance.flush()
    except Unavailable as problem:
        log.warning("the last uses of tokens could not be noted: %s", problem)


def _house_jobs(settings: Settings, home: Home, entrance: Entrance, feed: Feed) -> tuple[Job, ...]:
    async def renew_owner_token() -> None:
        if entrance.tokens.owner_token_due():
            write_private(home.owner_token, await entrance.tokens.owner_token(_owner()))

    async def forget_sessions() -> None:
        await entrance.sessions.prune(settings.retention.sessions)

    return (
        Job("access.flush", Every(_MINUTE), entrance.flush),
        Job("access.forget_sessions", Every(settings.retention.interval), forget_sessions),
        Job("access.renew_owner_token", Every(_LOOK), renew_owner_token),
        Job("ledger.anchor", Every(settings.ledger.anchor_interval), feed.anchor),
    )


def _owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "owner"
