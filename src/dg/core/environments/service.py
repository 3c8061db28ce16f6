"""What can be done with environments, and by whom. Errors are those of `dg.core.errors`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dg.core.access.models import Action, Principal
from dg.core.access.service import Access
from dg.core.clock import Clock
from dg.core.database import Database, Tx
from dg.core.environments import content as contents
from dg.core.environments import snapshots, store
from dg.core.environments.models import (
    Box,
    Ciphertext,
    Content,
    EnvironmentDiff,
    EnvironmentState,
    Graded,
    RunningCheck,
    SealingKey,
    SecretState,
    Snapshot,
    UpdateEnvironment,
    Version,
    VersionPage,
)
from dg.core.environments.running import forbidden_commands
from dg.core.environments.vault import Vault
from dg.core.errors import Invalid, NotFound, Stale
from dg.core.events import EnvironmentUpdated
from dg.core.idempotency import Once, once
from dg.core.types import Environment

_NEWEST = 1 << 62
_LIVE = ("protection", "probes")
"""What of an environment others act by: they are told when it changes."""

Change = Callable[[Tx, Content], Content]


class Rules(Protocol):
    """What an environment demands of deployments, for those who start them (see `core/protection.py`)."""

    def mistakes(self, environment: Environment, protection: Mapping[str, Any]) -> list[tuple[str, str]]: ...

    async def change(self, environment: Environment, protection: Mapping[str, Any]) -> None: ...


class Probing(Protocol):
    """Who asks what an environment has probes for (see `core/health/`)."""

    def mistakes(self, probes: Mapping[str, Any]) -> list[tuple[str, str]]: ...

    def secrets(self, probes: Mapping[str, Any]) -> frozenset[str]: ...

    def hold(self, environment: Environment, probes: Mapping[str, Any]) -> None: ...


class Environments:
    """The actions on environments. `expected` is the version that a change was made from: any other by now
    is Stale, and nothing is changed. `commands` says whether `runs` may have them."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        access: Access,
        vault: Vault,
        rules: Rules,
        probing: Probing,
        *,
        commands: bool,
    ) -> None:
        self._db = db
        self._clock = clock
        self._access = access
        self._vault = vault
        self._rules = rules
        self._probing = probing
        self._commands = commands

    async def list(self, principal: Principal) -> tuple[EnvironmentState, ...]:
        """Those within the caller's reach, in the order of a release."""
        self._access.require_somewhere(principal, Action.ENVIRONMENT_READ)

        def work(tx: Tx) -> tuple[EnvironmentState, ...]:
            return tuple(
                EnvironmentState.of(name, *store.newest(tx, name))
                for name in Environment
                if principal.may(Action.ENVIRONMENT_READ, name)
            )

        return await self._db.read(work)

    async def get(
        self, principal: Principal, name: Environment, version: int | None = None
    ) -> EnvironmentState:
        """The environment now, or as it was. Raises NotFound for a version that there never was."""
        self._access.require(principal, Action.ENVIRONMENT_READ, name)
        found, at = await self._db.read(lambda tx: _at(tx, name, version))
        return EnvironmentState.of(name, found, at)

    async def update(
        self,
        principal: Principal,
        name: Environment,
        request: UpdateEnvironment,
        expected: int | None = None,
        key: Once | None = None,
    ) -> EnvironmentState:
        """Make it so, as a new version unless it is so already. Raises Invalid, Stale, Mismatch."""
        wanted = await self._wanted(principal, name, request)
        change = self._replacing(principal, name, wanted)
        return await self._change(principal, name, change, request.reason, expected, key)

    async def preview(
        self, principal: Principal, name: Environment, request: UpdateEnvironment, expected: int | None = None
    ) -> EnvironmentState:
        """What `update` would lead to, with its `changes`; nothing is changed. Raises Invalid, Stale."""
        wanted = await self._wanted(principal, name, request)
        return await self._previewed(name, self._replacing(principal, name, wanted, keep=False), expected)

    async def _previewed(self, name: Environment, change: Change, expected: int | None) -> EnvironmentState:
        def work(tx: Tx) -> EnvironmentState:
            before, version = _current(tx, name, expected)
            after = change(tx, before)
            state = EnvironmentState.of(name, after, version)
            return state.model_copy(update={"changes": contents.difference(before, after)})

        # The key of fingerprints is made by the first who needs it.
        return await self._db.write(work)

    async def history(
        self, principal: Principal, name: Environment, *, cursor: str | None = None, limit: int = 50
    ) -> VersionPage:
        """Every version, newest first. Raises Invalid for a bad cursor."""
        self._access.require(principal, Action.ENVIRONMENT_READ, name)
        before = _before(cursor)
        found = await self._db.read(lambda tx: store.history(tx, name, before, limit + 1))
        more = str(found[limit - 1].version) if len(found) > limit else None
        return VersionPage(items=tuple(found[:limit]), next_cursor=more)

    async def diff(
        self,
        principal: Principal,
        name: Environment,
        *,
        since: int | None = None,
        until: int | None = None,
        other: Environment | None = None,
    ) -> EnvironmentDiff:
        """From the version `since` to `until`; or from this environment to `other`, at those versions.

        Without `other`, `since` is the version before `until`; every other one left out is the newest.
        Raises NotFound.
        """
        self._access.require(principal, Action.ENVIRONMENT_READ, name)
        if other is not None:
            self._access.require(principal, Action.ENVIRONMENT_READ, other)

        def work(tx: Tx) -> EnvironmentDiff:
            right = _at(tx, other or name, until)
            earlier = max((right[1].version if right[1] else 0) - 1, 0)
            left = _at(tx, name, earlier if other is None and since is None else since)
            return EnvironmentDiff(
                before=_side(name, left[1]),
                after=_side(other or name, right[1]),
                items=contents.difference(left[0], right[0]),
            )

        return await self._db.read(work)

    async def restore(
        self,
        principal: Principal,
        name: Environment,
        version: int,
        reason: str | None = None,
        expected: int | None = None,
        key: Once | None = None,
    ) -> EnvironmentState:
        """Take back what an older version held, as a new version. Raises NotFound, Stale, Mismatch.

        Who may not set secrets may do so where they are the same.
        """
        self._access.require(principal, Action.ENVIRONMENT_UPDATE, name)
        contents.check_reason(reason)
        now, then = await self._db.read(lambda tx: (store.newest(tx, name)[0], _at(tx, name, version)[0]))
        self._require_possible(name, then)
        if now.secrets != then.secrets or self._gives_away(now, then):
            self._access.require(principal, Action.SECRET_UPDATE, name)

        def change(tx: Tx, before: Content) -> Content:
            # A secret that was set since the look above.
            if before.secrets != then.secrets and not principal.may(Action.SECRET_UPDATE, name):
                raise Stale(f"the secrets of {name} were changed just now: look again", reason="stale")
            self._check_given(principal, name, before, then)
            return then

        return await self._change(principal, name, change, reason, expected, key, restored=version)

    async def put_back(
        self,
        principal: Principal,
        snapshot: Snapshot,
        backup: str,
        reason: str | None = None,
        expected: int | None = None,
        key: Once | None = None,
    ) -> EnvironmentState:
        """Make an environment what it was in a backup, secrets too, as a new version.

        One that was never configured gets the versions before that one too. Raises Invalid, Stale, Mismatch.
        """
        change = self._putting_back(principal, snapshot)
        contents.check_reason(reason)
        return await self._change(
            principal,
            snapshot.environment,
            change,
            reason or f"restored from the backup {backup}",
            expected,
            key,
            backup=backup,
            past=lambda tx: snapshots.bring_past(tx, self._vault, snapshot),
        )

    async def preview_put_back(
        self, principal: Principal, snapshot: Snapshot, expected: int | None = None
    ) -> EnvironmentState:
        """What `put_back` would lead to, with its `changes`; nothing is changed. Raises Invalid, Stale."""
        change = self._putting_back(principal, snapshot, keep=False)
        return await self._previewed(snapshot.environment, change, expected)

    def _putting_back(self, principal: Principal, snapshot: Snapshot, *, keep: bool = True) -> Change:
        name, content = snapshot.environment, snapshot.content
        self._access.require(principal, Action.BACKUP_RESTORE, name)
        snapshots.check(snapshot)
        self._require_possible(name, content)

        def change(tx: Tx, before: Content) -> Content:
            gone = dict.fromkeys(before.secrets.keys() - content.secrets.keys())
            given: dict[str, Graded | None] = {**gone, **snapshot.secrets}
            secrets = self._secrets(tx, principal, name, before, given, keep=keep)
            return content.model_copy(update={"secrets": secrets})

        return change

    async def set_secret(
        self,
        principal: Principal,
        name: Environment,
        secret: str,
        value: str | Box | Ciphertext | None,
        reason: str | None = None,
        expected: int | None = None,
        key: Once | None = None,
    ) -> EnvironmentState:
        """Set one secret, in the grade that the kind of `value` has, or unset it with None.

        Raises Invalid, Mismatch; Stale, also for a box that was sealed as another version; NotFound to unset
        what is not set.
        """
        self._access.require(principal, Action.SECRET_UPDATE, name)
        _check(secret, value)
        contents.check_reason(reason)

        def change(tx: Tx, before: Content) -> Content:
            if value is None and secret not in before.secrets:
                raise NotFound(f"{name} has no secret `{secret}`")
            given = {secret: self._graded(tx, name, secret, value)}
            secrets = self._secrets(tx, principal, name, before, given)
            return before.model_copy(update={"secrets": secrets})

        return await self._change(principal, name, change, reason, expected, key)

    async def sealing_key(self, principal: Principal, name: Environment, secret: str) -> SealingKey:
        """What a client seals the next version of a secret with. Raises Invalid for a name that none has."""
        self._access.require(principal, Action.ENVIRONMENT_READ, name)
        contents.check_secret(secret, None)
        # The first who asks has the key made.
        return await self._db.write(lambda tx: self._vault.sealing_key(tx, name, secret))

    def _graded(
        self, tx: Tx, name: Environment, secret: str, value: str | Box | Ciphertext | None
    ) -> Graded | None:
        if isinstance(value, Box):
            text = self._vault.open_box(tx, name, secret, value)
            contents.check_secret(secret, text)
            return Graded(text, "sealed")
        if isinstance(value, Ciphertext):
            return Graded(value.ciphertext, "runner_only")
        return None if value is None else Graded(value)

    async def set_probe(
        self,
        principal: Principal,
        name: Environment,
        probe: str,
        definition: Mapping[str, Any] | None,
        reason: str | None = None,
        expected: int | None = None,
        key: Once | None = None,
    ) -> EnvironmentState:
        """Set one probe, or remove it with None. Raises Invalid, Stale, NotFound, Mismatch."""
        self._access.require(principal, Action.ENVIRONMENT_UPDATE, name)
        contents.check_reason(reason)

        def change(tx: Tx, before: Content) -> Content:
            if definition is None and probe not in before.probes:
                raise NotFound(f"{name} has no probe {probe}")
            others = {key: value for key, value in before.probes.items() if key != probe}
            probes = others if definition is None else {**before.probes, probe: dict(definition)}
            wrong = [*contents.wrong_probes(probes), *self._probing.mistakes(probes)]
            if wrong:
                raise contents.refused(wrong)
            after = before.model_copy(update={"probes": probes})
            self._check_given(principal, name, before, after)
            return after

        if definition is not None:
            given = contents.with_probe(probe, definition)
            await self._require_given(principal, name, given)
        return await self._change(principal, name, change, reason, expected, key)

    def _require_possible(self, name: Environment, content: Content) -> None:
        """Raises Invalid for what this server's settings do not let an environment have."""
        wrong = [
            *self._rules.mistakes(name, content.protection),
            *self._probing.mistakes(content.probes),
            *([] if self._commands else forbidden_commands(content.runs)),
        ]
        if wrong:
            raise contents.refused(wrong)

    async def _require_given(self, principal: Principal, name: Environment, given: Content) -> None:
        """Raises Forbidden for who may not set secrets and would have a probe send one somewhere else."""
        before = await self._db.read(lambda tx: store.newest(tx, name)[0])
        if self._gives_away(before, given):
            self._access.require(principal, Action.SECRET_UPDATE, name)

    def _check_given(self, principal: Principal, name: Environment, before: Content, after: Content) -> None:
        """Raises Stale for what was changed since `_require_given`."""
        if self._gives_away(before, after) and not principal.may(Action.SECRET_UPDATE, name):
            raise Stale(f"the probes of {name} were changed just now: look again", reason="stale")

    def _gives_away(self, before: Content, after: Content) -> bool:
        """Whether a probe is given a secret that it was not given before, or takes it elsewhere."""
        new = {key: value for key, value in after.probes.items() if before.probes.get(key) != value}
        return bool(self._probing.secrets(new))

    async def _wanted(
        self, principal: Principal, name: Environment, request: UpdateEnvironment
    ) -> contents.Wanted:
        self._access.require(principal, Action.ENVIRONMENT_UPDATE, name)
        wanted = contents.read(request)
        self._require_possible(name, wanted.content)
        if wanted.secrets:
            self._access.require(principal, Action.SECRET_UPDATE, name)
        await self._require_given(principal, name, wanted.content)
        return wanted

    def _replacing(
        self, principal: Principal, name: Environment, wanted: contents.Wanted, *, keep: bool = True
    ) -> Change:
        def change(tx: Tx, before: Content) -> Content:
            if missing := sorted(wanted.kept - before.secrets.keys()):
                where = contents.path_of(missing[0])
                raise contents.refused([(where, "is not set, so there is nothing to keep: give its value")])
            given = {key: None if value is None else Graded(value) for key, value in wanted.secrets.items()}
            secrets = self._secrets(tx, principal, name, before, given, keep=keep)
            stays = {field: getattr(before, field) for field in wanted.stays}
            after = wanted.content.model_copy(update={"secrets": secrets, **stays})
            self._check_given(principal, name, before, after)
            return after

        return change

    def _secrets(
        self,
        tx: Tx,
        principal: Principal,
        name: Environment,
        before: Content,
        given: Mapping[str, Graded | None],
        *,
        keep: bool = True,
    ) -> dict[str, SecretState]:
        """The secrets after that; a value that stands already makes no new version. Not `keep` seals none."""
        secrets = dict(before.secrets)
        for key, value in given.items():
            standing = before.secrets.get(key)
            if value is None:
                secrets.pop(key, None)
            elif standing is None or not self._is_same(tx, name, key, standing, value):
                secrets[key] = SecretState(
                    version=self._vault.put(tx, name, key, value.text)
                    if keep
                    else store.last_version(tx, name, key) + 1,
                    fingerprint=self._vault.fingerprint(tx, value.known_by),
                    grade=value.grade,
                    changed_at=self._clock.micros(),
                    changed_by=principal.id,
                )
        if len(secrets) > contents.MOST_KEYS:
            raise Invalid(f"secrets: {name} may have {contents.MOST_KEYS}", field="secrets")
        return secrets

    def _is_same(self, tx: Tx, name: Environment, key: str, standing: SecretState, value: Graded) -> bool:
        """A value that came in openly once is not graded up by sealing it later."""
        kept = "runner_only" in (standing.grade, value.grade)
        if kept and standing.grade != value.grade:
            return False
        return self._vault.open(tx, name, key, standing.version) == value.text

    async def _change(
        self,
        principal: Principal,
        name: Environment,
        change: Change,
        reason: str | None,
        expected: int | None,
        key: Once | None,
        *,
        restored: int | None = None,
        backup: str | None = None,
        past: Callable[[Tx], None] | None = None,
    ) -> EnvironmentState:
        """`past` makes the versions before, where there are none."""
        moved: set[str] = set()

        def effect(tx: Tx) -> EnvironmentState:
            moved.clear()
            before, standing = _current(tx, name, expected)
            if past and standing is None:
                past(tx)
                before, standing = store.newest(tx, name)
            after = change(tx, before)
            changed = tuple(item.key for item in contents.difference(before, after))
            moved.update(field for field in _LIVE if getattr(after, field) != getattr(before, field))
            if changed:
                version = Version(
                    version=(standing.version if standing else 0) + 1,
                    at=self._clock.micros(),
                    by=principal.id,
                    reason=reason or None,
                    restored=restored,
                    changed=changed,
                )
                store.add(tx, name, after, version)
                tx.append(_updated(name, version, backup), principal)
            return EnvironmentState.of(name, *store.newest(tx, name))

        def work(tx: Tx) -> EnvironmentState:
            return once(tx, principal, self._sealed(tx, key), EnvironmentState, self._clock, effect)

        state = await self._db.write(work)
        if "protection" in moved:
            await self._rules.change(name, state.protection)
        if "probes" in moved:
            self._probing.hold(name, state.probes)
        return state

    def _sealed(self, tx: Tx, key: Once | None) -> Once | None:
        """The key with a fingerprint of the request that tells nothing of the secrets in it."""
        return key and Once(key.key, self._vault.digest(tx, key.fingerprint))


def runs_of(tx: Tx, name: Environment) -> Mapping[str, RunningCheck]:
    """What says which version of each service really runs there."""
    return store.newest(tx, name)[0].runs


async def protections_of(db: Database) -> dict[Environment, dict[str, Any]]:
    """What each environment demands by itself."""
    return await db.read(lambda tx: {name: store.newest(tx, name)[0].protection for name in Environment})


async def probes_of(db: Database) -> dict[Environment, dict[str, Any]]:
    """What is asked of each environment's services."""
    return await db.read(lambda tx: {name: store.newest(tx, name)[0].probes for name in Environment})


def _check(secret: str, value: str | Box | Ciphertext | None) -> None:
    if isinstance(value, Ciphertext):
        contents.check_ciphertext(secret, value.ciphertext)
    else:
        contents.check_secret(secret, value if isinstance(value, str) else None)


def _at(tx: Tx, name: Environment, version: int | None) -> tuple[Content, Version | None]:
    if version is None:
        return store.newest(tx, name)
    if version == 0:
        return Content(), None
    found = store.at(tx, name, version) if 0 < version < _NEWEST else None
    if found is None:
        raise NotFound(f"{name} has no version {version}")
    return found


def _current(tx: Tx, name: Environment, expected: int | None) -> tuple[Content, Version | None]:
    content, version = store.newest(tx, name)
    number = version.version if version else 0
    if expected is None or expected == number:
        return content, version
    if version is None:
        raise Stale(f"{name} was never configured: its version is 0", version=0)
    raise Stale(
        f"{name} is at version {number} by now: {version.by_name or version.by} changed it; "
        "read it again, and make your change there",
        version=number,
        changed_by=version.by,
        changed_by_name=version.by_name,
        changed=list(version.changed),
    )


def _updated(name: Environment, version: Version, backup: str | None) -> EnvironmentUpdated:
    return EnvironmentUpdated(
        environment=name.value,
        version=version.version,
        changed=list(version.changed),
        reason=version.reason,
        restored=version.restored,
        backup=backup,
    )


def _side(name: Environment, version: Version | None) -> str:
    return f"{name}@{version.version if version else 0}"


def _before(cursor: str | None) -> int:
    if cursor is None:
        return _NEWEST
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise Invalid("cursor: give the next_cursor of the page before", field="cursor")
    return int(cursor)
