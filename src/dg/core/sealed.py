"""All that the home's envelope seals: whether it opens, and sealing it with a newer key. For `dg keys`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from dg.core.access.models import Principal
from dg.core.custody import Custody
from dg.core.database import Database, Tx
from dg.core.environments import store as environments
from dg.core.environments.vault import Vault, Wholeness, key_place
from dg.core.errors import Refused
from dg.core.events import KeyringRotated
from dg.core.keys import Envelope
from dg.core.webhooks import store as webhooks
from dg.core.webhooks.sending import context
from dg.core.webhooks.store import Sealed

Reseal = Callable[[str], str]


class Keyring:
    """The envelope of a home whose server is down."""

    def __init__(self, db: Database, envelope: Envelope, custody: Custody, vault: Vault) -> None:
        self._db = db
        self._envelope = envelope
        self._custody = custody
        self._vault = vault

    @property
    def place(self) -> str:
        """Where the keys are kept, for a sentence."""
        return self._custody.name

    async def check(self) -> Wholeness:
        """Open everything, and keep nothing of it."""

        def work(tx: Tx) -> Wholeness:
            found = list(_all(tx))
            broken = [place for text, place in found if not _opens(self._envelope, text, place)]
            under = self._vault.check(tx)
            return Wholeness(
                sealed=len(found) + under.sealed,
                older=sum(not self._envelope.is_newest(text) for text, _ in found),
                broken=(*broken, *under.broken),
            )

        return await self._db.read(work)

    async def sealing_key(self) -> str:
        """The fingerprint of the key that clients seal secrets for."""
        return await self._db.write(self._vault.sealing_fingerprint)

    async def require_whole(self) -> None:
        """Raises Refused when the key does not open what it has to open first."""
        found = await self._db.read(lambda tx: list(_all(tx)))
        broken = [place for text, place in found if not _opens(self._envelope, text, place)]
        if broken:
            raise Refused(
                f"the key of {self.place} is not the one that sealed this home's secrets ({len(broken)} of "
                f"{len(found)} do not open): put that one back; `dg keys check` names what does not open",
                reason="key_wrong",
            )

    async def rotate(self, by: Principal) -> int:
        """Let a new key seal everything; how much that is. `rewrap` does what an interruption left undone.

        Where dg only reads the keys, the new one has to be there already: Refused when it is not.
        """
        if self._custody.file is not None or not (await self.check()).older:
            self._envelope.become(await self._custody.add())
        return await self.rewrap(by)

    async def rewrap(self, by: Principal) -> int:
        """Seal with the newest key what an older one sealed; how much that was. All of it, or nothing.

        Raises Refused for what no key opens.
        """

        def work(tx: Tx) -> int:
            older = [text for text, _ in _all(tx) if not self._envelope.is_newest(text)]
            for name, text in environments.data_keys(tx).items():
                environments.reseal_data_key(tx, name, self._resealed(text, key_place(name)))
            for webhook in webhooks.webhooks(tx):
                _reseal_webhook(tx, webhook.id, partial(self._resealed, place=context(webhook.id)))
            if older:
                tx.append(KeyringRotated(sealed=len(older)), by)
            return len(older)

        return await self._db.write(work)

    def _resealed(self, text: str, place: str) -> str:
        if self._envelope.is_newest(text):
            return text
        return self._envelope.seal(self._envelope.open(text, place), place)


def _all(tx: Tx) -> Iterator[tuple[str, str]]:
    """Every sealed text, and what it is bound to."""
    for name, text in environments.data_keys(tx).items():
        yield text, key_place(name)
    for webhook in webhooks.webhooks(tx):
        kept = _kept(tx, webhook.id)
        yield from ((text, context(webhook.id)) for text in (kept.secret, kept.old_secret) if text)


def _kept(tx: Tx, webhook_id: str) -> Sealed:
    found = webhooks.find(tx, webhook_id)
    assert found is not None, webhook_id  # noqa: S101 - listed in this transaction
    return found[1]


def _reseal_webhook(tx: Tx, webhook_id: str, reseal: Reseal) -> None:
    kept = _kept(tx, webhook_id)
    old = reseal(kept.old_secret) if kept.old_secret else None
    webhooks.rotate(tx, webhook_id, Sealed(reseal(kept.secret), old, kept.old_until))


def _opens(envelope: Envelope, text: str, place: str) -> bool:
    try:
        envelope.open(text, place)
    except Refused:
        return False
    return True
