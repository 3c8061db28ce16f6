"""The control of the simulator under `/sim`: act as anybody, script faults, look at what there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dg.slacksim.admin import Admin
from dg.slacksim.answers import Delivery
from dg.slacksim.choosing import Choice
from dg.slacksim.errors import Impossible
from dg.slacksim.faults import Fault, Faults
from dg.slacksim.messages import Message
from dg.slacksim.people import People
from dg.slacksim.sockets import Sockets
from dg.slacksim.surfaces import View
from dg.slacksim.workspace import Workspace
from dg.slacksim.world import MOST, Handle

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
WAIT_SECONDS = 20.0
MOST_WAITING = 100

Name = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=40_000)]
B = TypeVar("B", bound=BaseModel)


class Order(BaseModel):
    """A body of the control: a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CommandOrder(Order):
    person: Name
    channel: Name
    text: Text = ""
    command: Name = "/dg"


class SayOrder(Order):
    person: Name
    channel: Name
    text: Annotated[str, Field(min_length=1, max_length=40_000)]
    thread_ts: Name | None = None


class PlaceOrder(Order):
    """An element: in a message by `channel` and `ts`, in the modal on top, or in the home."""

    person: Name
    surface: Literal["message", "modal", "home"] = "message"
    channel: Name = "-"
    ts: Name = "-"
    action_id: Annotated[str, Field(min_length=1, max_length=255)]


class ClickOrder(PlaceOrder):
    value: Text | None = None
    choice: str | int | list[str] | None = None


class SuggestOrder(PlaceOrder):
    typed: Text = ""


class SubmitOrder(Order):
    person: Name
    values: dict[str, dict[str, str | int | list[str] | None]] = {}


class CloseOrder(Order):
    person: Name
    all: bool = False


class HomeOrder(Order):
    person: Name


class ShortcutOrder(Order):
    person: Name
    callback_id: Name


class SocketOrder(Order):
    do: Literal["warn", "refresh", "disable", "abort", "silence"]
    socket: int | None = None
    """Number of one; all when not given."""


class AdminOrder(Order):
    do: Literal[
        "archive",
        "unarchive",
        "rename",
        "invite",
        "remove",
        "deactivate",
        "revoke",
        "uninstall",
        "reinstall",
        "regroup",
    ]
    channel: Name = "-"
    person: Name | None = None
    name: Handle | None = None
    token: Name | None = None
    people: Annotated[tuple[Name, ...], Field(max_length=MOST)] = ()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """The handlers under `/sim`: 400 for what is malformed, 409 for what Slack would not let somebody do."""

    def __init__(
        self, slack: Workspace, faults: Faults, sockets: Sockets, people: People, admin: Admin
    ) -> None:
        self._slack = slack
        self._faults = faults
        self._sockets = sockets
        self._people = people
        self._admin = admin
        self._waiting = 0

    def mount(self, router: web.UrlDispatcher) -> None:
        post = {
            "command": self._on(CommandOrder, self._command),
            "say": self._on(SayOrder, self._say),
            "click": self._on(ClickOrder, self._click),
            "suggest": self._on(SuggestOrder, self._suggest),
            "submit": self._on(SubmitOrder, self._submit),
            "close": self._on(CloseOrder, self._close),
            "home": self._on(HomeOrder, self._home),
            "shortcut": self._on(ShortcutOrder, self._shortcut),
            "sockets": self._on(SocketOrder, self._do_to_sockets),
            "admin": self._on(AdminOrder, self._administer),
            "faults": self._on(Fault, self._add_fault),
        }
        for name, handler in post.items():
            router.add_post(f"/sim/{name}", handler)
        router.add_get("/sim/faults", guarded(self._list_faults))
        router.add_delete("/sim/faults", guarded(self._clear_faults))
        router.add_get("/sim/state", guarded(self._state))
        router.add_get("/sim/messages", guarded(self._messages))
        router.add_get("/sim/changes", guarded(self._changes))

    def _on(self, body: type[B], act: Callable[[B], Awaitable[dict[str, Any]]]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            if request.content_type != "application/json":
                return refusal(415, "send application/json")
            try:
                order = body.model_validate_json(await request.read())
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(map(str, first["loc"]))
                return refusal(400, f"{field}: {first['msg']}" if field else first["msg"])
            try:
                return web.json_response(await act(order))
            except Impossible as error:
                return refusal(409, str(error))

        return guarded(handle)

    async def _command(self, order: CommandOrder) -> dict[str, Any]:
        return outcome(await self._people.command(order.person, order.text, order.channel, order.command))

    async def _say(self, order: SayOrder) -> dict[str, Any]:
        said = await self._people.say(order.person, order.text, order.channel, order.thread_ts)
        return {"ok": True, "ts": said.ts}

    async def _click(self, order: ClickOrder) -> dict[str, Any]:
        choice: Choice = order.choice
        place = self._place(order)
        return outcome(
            await self._people.click(order.person, place, order.action_id, choice, value=order.value)
        )

    async def _suggest(self, order: SuggestOrder) -> dict[str, Any]:
        found = await self._people.suggest(order.person, self._place(order), order.action_id, order.typed)
        return {"ok": True, "options": found}

    def _place(self, order: PlaceOrder) -> Message | View:
        user = self._slack.person(order.person)
        if order.surface == "message":
            message = self._slack.conversation(order.channel).find(order.ts)
            if message is None:
                raise Impossible("there is no such message")
            return message
        views = self._slack.views
        view = views.home(user.id) if order.surface == "home" else views.top(user.id)
        if view is None:
            raise Impossible(f"{user.name} has no {order.surface}")
        return view

    async def _submit(self, order: SubmitOrder) -> dict[str, Any]:
        return outcome(await self._people.submit(order.person, values=order.values))

    async def _close(self, order: CloseOrder) -> dict[str, Any]:
        return outcome(await self._people.close(order.person, all_=order.all))

    async def _home(self, order: HomeOrder) -> dict[str, Any]:
        return outcome(await self._people.open_home(order.person))

    async def _shortcut(self, order: ShortcutOrder) -> dict[str, Any]:
        return outcome(await self._people.shortcut(order.person, order.callback_id))

    async def _do_to_sockets(self, order: SocketOrder) -> dict[str, Any]:
        match order.do:
            case "warn":
                await self._sockets.warn(order.socket)
            case "refresh":
                self._sockets.refresh(order.socket)
            case "disable":
                self._sockets.refresh(order.socket, "link_disabled")
            case "abort":
                self._sockets.abort(order.socket)
            case "silence":
                self._sockets.silence(order.socket)
        return {"ok": True}

    async def _administer(self, order: AdminOrder) -> dict[str, Any]:
        person = order.person or ""
        match order.do:
            case "archive":
                await self._admin.archive(order.channel)
            case "unarchive":
                await self._admin.unarchive(order.channel)
            case "rename":
                if order.name is None:
                    raise Impossible("a channel is renamed to a name: give one")
                await self._admin.rename(order.channel, order.name)
            case "invite":
                await self._admin.invite(order.channel, person)
            case "remove":
                await self._admin.remove(order.channel, person)
            case "deactivate":
                await self._admin.deactivate(person)
            case "revoke":
                await self._admin.revoke()
            case "uninstall":
                await self._admin.uninstall()
            case "reinstall":
                self._admin.reinstall(order.token)
            case "regroup":
                await self._admin.regroup(order.name or "", order.people)
        return {"ok": True}

    async def _add_fault(self, fault: Fault) -> dict[str, Any]:
        try:
            self._faults.add(fault)
        except ValueError as error:
            raise Impossible(str(error)) from None
        return {"ok": True}

    async def _list_faults(self, _request: web.Request) -> web.Response:
        armed = [{**each.fault.model_dump(), "left": each.left} for each in self._faults.armed()]
        return web.json_response({"faults": armed})

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response({"ok": True})

    async def _state(self, _request: web.Request) -> web.Response:
        slack = self._slack
        counts = [
            {"method": method, "outcome": what, "count": n} for (method, what), n in slack.counts.items()
        ]
        return web.json_response(
            {
                "revision": slack.revision,
                "standing": slack.standing,
                "transport": slack.app.transport,
                "sockets": [{"number": each.number, "silent": each.silent} for each in self._sockets.open()],
                "people": [{"id": each.id, "name": each.name} for each in slack.users.values()],
                "channels": [each.as_json(slack.app.user_id) for each in slack.conversations.values()],
                "calls": counts,
                "mistakes": list(self._people.mistakes),
            }
        )

    async def _messages(self, request: web.Request) -> web.Response:
        """Of a channel, with the ephemeral ones of a person when one is given."""
        try:
            channel = self._slack.conversation(request.query.get("channel", ""))
            person = request.query.get("person")
            user = self._slack.person(person) if person else None
        except Impossible as error:
            return refusal(404, str(error))
        own = [each for each in channel.ephemerals.values() if user and each.only_for == user.id]
        found = sorted([*channel.messages.values(), *own], key=lambda each: each.ts)
        shown = [
            {**each.as_json(metadata=True), "edits": each.edits, "ephemeral": each.only_for is not None}
            for each in found
        ]
        return web.json_response({"messages": shown})

    async def _changes(self, request: web.Request) -> web.Response:
        """Answers when there is a newer revision than `after`, at the latest in some seconds."""
        text = request.query.get("after", "0")
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            return refusal(400, "after: must be a revision")
        if self._waiting >= MOST_WAITING:
            return refusal(503, "too many wait for changes")
        self._waiting += 1
        try:
            if self._slack.revision <= int(text):
                await asyncio.wait_for(self._slack.change(), WAIT_SECONDS)
        except TimeoutError:
            # Nothing new is an answer too.
            pass
        finally:
            self._waiting -= 1
        return web.json_response({"revision": self._slack.revision})


def outcome(delivery: Delivery | None) -> dict[str, Any]:
    """What became of a delivery, for programs; None when the app was not asked."""
    if delivery is None:
        return {"ok": True, "asked": False}
    answer = delivery.answer
    seen = {"status": answer.status, "error": answer.error or None, "body": answer.body}
    return {"ok": delivery.ok, "asked": True, "milliseconds": round(answer.seconds * 1000, 1), **seen}


def refusal(status: int, message: str) -> web.Response:
    return web.json_response({"ok": False, "error": message}, status=status)


def guarded(handler: Handler) -> Handler:
    """Only for programs and pages of this machine: no other site may reach it through a browser."""

    async def handle(request: web.Request) -> web.StreamResponse:
        here = urlsplit(f"//{request.host}").hostname in LOOPBACK
        origin = request.headers.get("Origin")
        if not here or (origin is not None and urlsplit(origin).netloc != request.host):
            return refusal(403, "the simulator answers to this machine only")
        return await handler(request)

    return handle
