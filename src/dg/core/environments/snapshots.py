"""All that is kept of one environment, out of one home and into another: for its backups."""

from __future__ import annotations

from dg.core.database import Tx
from dg.core.environments import content as contents
from dg.core.environments import store
from dg.core.environments.models import Content, KeptVersion, SecretState, Snapshot
from dg.core.environments.vault import Vault
from dg.core.errors import Refused
from dg.core.types import Environment


def take(tx: Tx, vault: Vault, name: Environment) -> Snapshot:
    """Every version of an environment with its secrets. Raises Refused when there is none."""
    versions = store.every(tx, name)
    if not versions:
        raise Refused(f"{name} was never configured: there is nothing to back up", reason="never_configured")
    values: dict[str, dict[int, str]] = {}
    for each in versions:
        for key, state in each.content.secrets.items():
            kept = values.setdefault(key, {})
            if state.version not in kept:
                kept[state.version] = vault.open(tx, name, key, state.version)
    return Snapshot(environment=name, versions=versions, values=values)


def check(snapshot: Snapshot) -> None:
    """Raises Invalid for what no environment can have had: whoever knows a public key can make a backup."""
    for each in snapshot.versions:
        contents.check_kept(each.content)
        for key, state in each.content.secrets.items():
            kept = snapshot.kept(key, state)
            if kept.grade == "runner_only":
                contents.check_ciphertext(key, kept.text)
            else:
                contents.check_secret(key, kept.text)


def bring_past(tx: Tx, vault: Vault, snapshot: Snapshot) -> None:
    """Let an environment that was never configured have had all versions but the newest, as they were."""
    name = snapshot.environment
    past = snapshot.versions[:-1]
    for key, version in sorted(_used(past)):
        vault.put_as(tx, name, key, version, snapshot.values[key][version])
    for each in past:
        store.add(tx, name, _here(tx, vault, snapshot, each.content), each.version)


def _used(versions: tuple[KeptVersion, ...]) -> set[tuple[str, int]]:
    return {(key, state.version) for each in versions for key, state in each.content.secrets.items()}


def _here(tx: Tx, vault: Vault, snapshot: Snapshot, content: Content) -> Content:
    """Its fingerprints belong to the home that it comes from: the same content with this one's."""

    def fingerprinted(key: str, state: SecretState) -> SecretState:
        known_by = snapshot.kept(key, state).known_by
        return state.model_copy(update={"fingerprint": vault.fingerprint(tx, known_by)})

    secrets = {key: fingerprinted(key, state) for key, state in content.secrets.items()}
    return content.model_copy(update={"secrets": secrets})
