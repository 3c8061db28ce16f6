"""A request for every operation of the contracts that is good in itself: who may send it is all that is left.

Whoever adds an operation whose path names something new says in `Occasions` how to make one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from tests.api.conftest import Api

from dg.api import contract, samples
from dg.api.call import PREFIX
from dg.client.wire import rfc3339
from dg.core.access.accounts import Account
from dg.core.access.models import SYSTEM, CreateBinding, CreateRole, Origin, Scope
from dg.core.access.sessions import ApproveLogin, Device, SessionTokens, WantedGrant
from dg.core.deployments.models import BlockVersion, CreateDeployment, SetFreeze
from dg.core.environments.models import UpdateEnvironment
from dg.core.outbox.models import Later, Message, Outcome
from dg.core.slack.models import MuteChannel, SubscribeChannel
from dg.core.types import Environment
from dg.core.webhooks.models import CreateWebhook

HOUR = 3600 * 1_000_000
WHERE = {"environment": "staging", "service": "shop"}


class Slack:
    """A Slack in which every channel is dg's own, and nothing is posted."""

    async def post(self, message: Message) -> Outcome:
        return Later(HOUR)

    async def examine(self, channel: str) -> None:
        pass

    def figures(self) -> Mapping[str, Any]:
        return {}

    def state(self) -> str:
        return "ok"


async def subscribed(api: Api, channel: str, **where: Any) -> str:
    """The id of what a channel subscribed to."""
    await api.core.messenger.attach(Slack())
    wish = SubscribeChannel(channel=channel, **where)
    return (await api.core.subscriptions.subscribe(SYSTEM, wish)).id


@dataclass(frozen=True)
class Declared:
    """An operation as its contract declares it."""

    id: str
    method: str
    path: str
    action: str | None
    tree: Mapping[str, Any]
    document: contract.Document

    @property
    def reads(self) -> bool:
        """Whether it is refused by saying that there is nothing, since nobody is to learn what there is."""
        return bool(self.action and self.action.endswith(":read"))


def declared() -> Iterator[Declared]:
    """Every operation of every contract."""
    for document in map(contract.load, contract.NAMES):
        for path, item in document["paths"].items():
            for method in contract.METHODS:
                if tree := item.get(method):
                    yield Declared(
                        tree["operationId"], method.upper(), path, tree.get("x-action"), tree, document
                    )


OPERATIONS = {each.id: each for each in declared()}

BODIES: dict[str, dict[str, Any]] = {
    "createDeployment": {**WHERE, "ref": "main"},
    "previewDeployment": {**WHERE, "ref": "main"},
    "cancelDeployment": {"reason": "not today"},
    "updateDeployment": {"note": "soon"},
    "lockLane": {"reason": "look", "for": "1h"},
    "createFreeze": {**WHERE, "reason": "fair", "for": "1h"},
    "blockVersion": {"version": "main", "reason": "bad"},
    "createToken": {**WHERE, "name": "x", "role": "viewer"},
    "createKey": {"name": "x", "scopes": [{**WHERE, "role": "viewer"}]},
    "createRole": {"name": "made", "actions": []},
    "updateRole": {"description": "x"},
    "approveLogin": {"person": "ana", "grants": [{**WHERE, "role": "viewer"}]},
    "restoreEnvironment": {"version": 0},
    "createBinding": {**WHERE, "subject": "clerk:user_1", "role": "viewer"},
}
"""Bodies where the contract's example needs more than the operation's own action, or what is not here."""

QUERIES: dict[str, dict[str, str]] = {"checkAccess": {"action": "lane:lock"}}


class Occasions:
    """Makes what requests need to be good: a service, a deployment that waits, things to revoke."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._numbers = itertools.count(1)
        self.deployment = ""
        self._makers: Mapping[str, Callable[[], Awaitable[str]]] = {
            "/deployments/": self._deployment,
            "/freezes/": self._freeze,
            "/tokens/": self._token,
            "/security/access/keys/": self._key,
            "/security/access/bindings/": self._binding,
            "/sessions/device/": self._user_code,
            "/sessions/{id}/": self._session,
            "/webhooks/": self._webhook,
            "/slack/links/": self._slack_link,
            "/slack/codes/": self._slack_code,
            "/slack/mutes/": self._slack_mute,
            "/slack/subscriptions/": self._slack_subscription,
        }

    async def begin(self) -> None:
        """Register the service and let one deployment of it wait."""
        core = self._api.core
        await core.pipelines.register(SYSTEM, self._api.pipeline())
        later = core.clock.micros() + HOUR
        wish = CreateDeployment(service="shop", environment=Environment.STAGING, ref="main", not_before=later)
        self.deployment = (await core.deployments.create(SYSTEM, wish)).id

    async def send(self, client: httpx.AsyncClient, operation: Declared) -> httpx.Response:
        """Send a good request for the operation."""
        path = operation.path
        for name in re.findall(r"\{(\w+)\}", operation.path):
            path = path.replace(f"{{{name}}}", await self._value(operation, name))
        return await client.request(
            operation.method,
            PREFIX + path,
            json=await self._secret(operation) or self.body(operation),
            params=self._query(operation),
        )

    def _query(self, operation: Declared) -> dict[str, str] | None:
        if operation.id == "getPastEnvironment":
            return {"as_of": rfc3339(self._api.core.clock.micros())}
        return QUERIES.get(operation.id)

    def body(self, operation: Declared) -> Any:
        """The body of a good request, None for an operation without one."""
        declared = contract.resolve(operation.document, operation.tree.get("requestBody", {}))
        media = declared.get("content", {}).get("application/json")
        if media is None:
            return None
        if operation.id == "registerPipeline" or operation.id == "lintPipeline":
            return {"text": self._api.pipeline()}
        return BODIES.get(operation.id) or samples.of_media(media, operation.document)

    async def _value(self, operation: Declared, name: str) -> str:
        match name:
            case "service" | "environment":
                return WHERE[name]
            case "file":
                return "platform-api.json"
            case "source":
                return "github"
            case "commit":
                return await self._block()
            case "name" if operation.path.startswith("/environments/"):
                return WHERE["environment"]
            case "id" if operation.path.startswith("/environments/"):
                return await self._backup()
            case "key":
                return "session_key"
            case "probe":
                return await self._probe(operation)
            case "name":
                return await self._role()
        maker = next((make for begin, make in self._makers.items() if operation.path.startswith(begin)), None)
        assert maker, f"say in tests/api/occasions.py how to make what {{{name}}} names in {operation.path}"
        return await maker()

    async def _probe(self, operation: Declared) -> str:
        """One to test, and one that takes beats; any other may be set."""
        if operation.id == "setProbe":
            return "web"
        probes = {
            "web": {"kind": "dns", "service": "shop", "host": "localhost", "interval": "1h"},
            "pulse": {"kind": "heartbeat", "service": "shop", "interval": "1h"},
        }
        wish = UpdateEnvironment(domain="staging.example.com", config={}, probes=probes)
        await self._api.core.environments.update(SYSTEM, Environment.STAGING, wish)
        return "pulse" if operation.id == "beatProbe" else "web"

    async def _deployment(self) -> str:
        return self.deployment

    async def _freeze(self) -> str:
        until = self._api.core.clock.micros() + HOUR
        wish = SetFreeze(reason="fair", until=until, service="shop", environment=Environment.STAGING)
        return (await self._api.core.lanes.freeze(SYSTEM, wish)).id

    async def _token(self) -> str:
        made = await self._api.core.tokens.create(
            SYSTEM, name="x", role="viewer", environment="staging", service="shop"
        )
        return made.token.id

    async def _key(self) -> str:
        scope = Scope(role="viewer", environment=Environment.STAGING, service="shop")
        return (await self._api.core.keys.create(SYSTEM, name="x", scopes=[scope])).key.id

    async def _binding(self) -> str:
        wish = CreateBinding(subject="clerk:user_1", role="viewer", **WHERE)
        return (await self._api.core.bindings.create(SYSTEM, wish)).id

    async def _secret(self, operation: Declared) -> dict[str, str] | None:
        """The body of an operation that takes a secret which is good once."""
        match operation.id:
            case "collectTokens":
                return {"device_code": (await self._device()).device_code}
            case "linkSlackAccount":
                return {"code": await self._slack_code()}
            case "refreshTokens":
                return {"refresh_token": (await self._signed_in()).refresh_token}
        return None

    async def _device(self) -> Device:
        origin = Origin(address=f"198.51.100.{next(self._numbers)}")
        return await self._api.core.logins.ask(origin, name="ana", host="laptop")

    async def _signed_in(self) -> SessionTokens:
        device = await self._device()
        wish = ApproveLogin(person="ana", grants=(WantedGrant(role="viewer", **WHERE),))
        await self._api.core.logins.approve(SYSTEM, device.user_code, wish)
        return await self._api.core.logins.collect(device.device_code)

    async def _user_code(self) -> str:
        return (await self._device()).user_code

    async def _session(self) -> str:
        return (await self._signed_in()).session.id

    async def _slack_code(self) -> str:
        return await self._api.core.accounts.ask(Account("T0SHOP", f"U{next(self._numbers)}"), "ana")

    async def _slack_link(self) -> str:
        by = SYSTEM.model_copy(update={"kind": "person"})
        return (await self._api.core.accounts.link(by, await self._slack_code())).id

    async def _slack_mute(self) -> str:
        until = self._api.core.clock.micros() + HOUR
        return (await self._api.core.channels.mute(SYSTEM, MuteChannel(channel="C1", until=until))).channel

    async def _slack_subscription(self) -> str:
        return await subscribed(self._api, f"C{next(self._numbers)}", **WHERE)

    async def _webhook(self) -> str:
        # This machine itself, where nothing is sent to: a test of it ends at once.
        wish = CreateWebhook(url="http://localhost/", **WHERE)
        return (await self._api.core.webhooks.create(SYSTEM, wish)).webhook.id

    async def _backup(self) -> str:
        core, tier = self._api.core, Environment(WHERE["environment"])
        if not (await core.environments.get(SYSTEM, tier)).version:
            await core.environments.update(SYSTEM, tier, UpdateEnvironment(domain="x.example", config={}))
        return (await core.backups.make(SYSTEM, tier, f"backup-{next(self._numbers)}")).id

    async def _role(self) -> str:
        wish = CreateRole(name=f"role-{next(self._numbers)}", actions=())
        return (await self._api.core.roles.create(SYSTEM, wish)).name

    async def _block(self) -> str:
        lanes = self._api.core.lanes
        if not (blocks := await lanes.blocks(SYSTEM, "shop", "staging")):
            return (
                await lanes.block(SYSTEM, "shop", "staging", BlockVersion(version="main", reason="x"))
            ).commit_sha
        return blocks[0].commit_sha
