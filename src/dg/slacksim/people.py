"""What people do: type commands, write, press, choose, submit, look at the app's home."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from dg.slacksim import choosing, payloads, responding
from dg.slacksim.answers import Answer, Delivery
from dg.slacksim.blockkit.blocks import elements_of
from dg.slacksim.bounded import Bounded
from dg.slacksim.choosing import Choice
from dg.slacksim.deliveries import Deliveries
from dg.slacksim.errors import Impossible, SlackError
from dg.slacksim.messages import Conversation, Json, Message
from dg.slacksim.surfaces import View
from dg.slacksim.users import User
from dg.slacksim.workspace import Workspace

TROUBLE = "We had some trouble connecting. Try again?"
MOST_TYPED = 40_000
MOST_MISTAKES = 200
_ADDRESS = re.compile(r"<(https?://([^/\s<>|:?#]+)[^\s<>|]*)[^<>]*>")


class People:
    """Acts as anybody. Every act raises Impossible where Slack would not let a person do it."""

    def __init__(self, slack: Workspace, deliveries: Deliveries) -> None:
        self._slack = slack
        self._deliveries = deliveries
        self._suggested: Bounded[tuple[str, str], list[Json]] = Bounded(500)
        self.mistakes: deque[str] = deque(maxlen=MOST_MISTAKES)
        """What the app answered that Slack could make nothing of."""

    async def command(self, person: str, text: str, channel: str, name: str = "/dg") -> Delivery:
        """Type a slash command; what comes with the acknowledgement is shown."""
        slack = self._slack
        user, place = self._here(person, channel)
        if name not in slack.app.commands:
            raise Impossible(f"{name} is not a valid command")
        _short(text)
        payload = payloads.command(slack, user, place, name, text)
        delivery = await self._deliveries.once("slash_commands", payload)
        if not delivery.ok:
            slack.tell(user, place, f"`{name}` failed with the error “{_seen(delivery.answer)}”")
            return delivery
        try:
            responding.to_command(slack, place, user, delivery.answer.body)
        except SlackError as error:
            self._mistake(f"the answer to {name}", error)
            slack.tell(user, place, f"`{name}` failed with the error “{error.code}”")
        return delivery

    async def say(self, person: str, text: str, channel: str, thread_ts: str | None = None) -> Message:
        """Write a message; the app hears of it where it subscribed to that."""
        slack = self._slack
        user, place = self._here(person, channel)
        if place.archived:
            raise Impossible(f"{place.name} is archived")
        _short(text)
        if thread_ts and thread_ts not in place.messages:
            raise Impossible("there is no such thread")
        text = payloads.linked(payloads.written(slack, text))
        message = slack.keep(Message(slack.next_ts(), place.id, user.id, text, thread_ts=thread_ts))
        for event in self._heard(user, place, message):
            await self._event(event, place)
        return message

    def _heard(self, user: User, place: Conversation, message: Message) -> list[Json]:
        app = self._slack.app
        if app.user_id not in place.members:
            return []
        common = {"user": user.id, "channel": place.id, "event_ts": message.ts}
        thread = {"thread_ts": message.thread_ts} if message.thread_ts else {}
        text = {"text": message.text, "ts": message.ts, "team": user.team, **thread}
        name, kind = {
            "public": ("message.channels", "channel"),
            "private": ("message.groups", "group"),
            "im": ("message.im", "im"),
        }[place.kind]
        events: list[Json] = []
        if name in app.events:
            events.append({"type": "message", "channel_type": kind, **text, **common})
        if "app_mention" in app.events and f"<@{app.user_id}" in message.text:
            events.append({"type": "app_mention", **text, **common})
        links = [
            {"url": address.replace("&amp;", "&"), "domain": domain}
            for address, domain in _ADDRESS.findall(message.text)
            if any(domain == each or domain.endswith(f".{each}") for each in app.unfurl_domains)
        ]
        if links and "link_shared" in app.events:
            unfurl = {"unfurl_id": f"{place.id}.{message.ts}", "source": "conversations_history"}
            shared = {"message_ts": message.ts, "is_bot_user_member": True, **thread, **unfurl, **common}
            events.append({"type": "link_shared", "links": links, **shared})
        return events

    async def click(
        self,
        person: str,
        place: Message | View,
        action_id: str,
        choice: Choice = None,
        *,
        value: str | None = None,
    ) -> Delivery:
        """Press a button, or choose in a select, of a message or a view.

        `value` tells apart buttons with the same action; `choice` is what is chosen where there is a choice.
        """
        user = self._slack.person(person)
        self._sees(user, place)
        block, element = _element(_blocks(place), action_id, value)
        chosen: Json = {}
        if element["type"] != "button":
            chosen = self._enter(place, block, element, choice)
        action = payloads.action(self._slack, block, element, chosen)
        payload = payloads.interaction(self._slack, "block_actions", user)
        delivery = await self._deliveries.once(
            "interactive", {**payload, **self._where(user, place), "actions": [action]}
        )
        if not delivery.ok:
            self._trouble(user, place, delivery.answer)
        return delivery

    def _enter(self, place: Message | View, block: Json, element: Json, choice: Choice) -> Json:
        known = self._suggested.get((_name(place), element["action_id"]), [])
        value = choosing.entered(element, choice, known)
        if choosing.field_of(element["type"]):
            kept = place.values.setdefault(block["block_id"], {})
            kept[element["action_id"]] = {"type": element["type"], **value}
        return value

    async def suggest(self, person: str, place: Message | View, action_id: str, typed: str) -> list[Json]:
        """Type into an external select: the options that the app suggests."""
        user = self._slack.person(person)
        self._sees(user, place)
        block, element = _element(_blocks(place), action_id, None)
        if element["type"] not in ("external_select", "multi_external_select"):
            raise Impossible(f"{action_id} asks the app for nothing")
        asked = {"action_id": action_id, "block_id": block["block_id"], "value": typed}
        payload = payloads.interaction(self._slack, "block_suggestion", user)
        where = self._where(user, place)
        delivery = await self._deliveries.once("interactive", {**payload, **where, **asked})
        if not delivery.ok:
            return []
        try:
            options = responding.to_suggestion(delivery.answer.body)
        except SlackError as error:
            self._mistake(f"the options of {action_id}", error)
            return []
        self._suggested[_name(place), action_id] = options
        return options

    async def submit(
        self,
        person: str,
        view: View | None = None,
        values: Mapping[str, Choice | Mapping[str, Choice]] | None = None,
    ) -> Delivery:
        """Submit the modal on top with `values`: by block what is entered, or by block and action."""
        user = self._slack.person(person)
        view = self._on_top(user, view)
        if "submit" not in view.content:
            raise Impossible("this modal has no button to submit it")
        self._fill_in(view, values or {})
        self._check_inputs(view)
        payload = payloads.interaction(self._slack, "view_submission", user)
        shown = {"view": payloads.viewed(self._slack, view), "response_urls": []}
        trigger = {"trigger_id": self._slack.passes.trigger(user.id)}
        delivery = await self._deliveries.once("interactive", {**payload, **shown, **trigger})
        if not delivery.ok:
            self._trouble(user, view, delivery.answer)
            return delivery
        try:
            responding.to_submission(self._slack, view, delivery.answer.body)
        except SlackError as error:
            self._mistake("the answer to a submission", error)
            self._trouble(user, view, delivery.answer)
        return delivery

    def _fill_in(self, view: View, values: Mapping[str, Choice | Mapping[str, Choice]]) -> None:
        blocks = {each["block_id"]: each for each in view.content["blocks"]}
        for name, given in values.items():
            if name not in blocks:
                raise Impossible(f"this modal has no block {name}")
            elements = {each["action_id"]: each for _, each in elements_of(blocks[name])}
            if not isinstance(given, Mapping):
                given = dict.fromkeys(list(elements)[:1], given)
            for action, choice in given.items():
                if action not in elements:
                    raise Impossible(f"{name} has nothing called {action}")
                self._enter(view, blocks[name], elements[action], choice)

    def _check_inputs(self, view: View) -> None:
        values = choosing.state(view.content["blocks"], view.values)
        for block in view.content["blocks"]:
            if block["type"] == "input":
                value = values[block["block_id"]][block["element"]["action_id"]]
                if problem := choosing.unfit(block, value):
                    raise Impossible(f"“{block['label']['text']}” {problem}")

    async def close(self, person: str, view: View | None = None, *, all_: bool = False) -> Delivery | None:
        """Close the modal on top, or all; the app is told where it wants to be."""
        user = self._slack.person(person)
        view = self._on_top(user, view)
        told = view.content.get("notify_on_close")
        payload = payloads.interaction(self._slack, "view_closed", user)
        payload |= {"view": payloads.viewed(self._slack, view), "is_cleared": all_}
        if all_ or view.content.get("clear_on_close"):
            self._slack.views.clear(user.id)
        else:
            self._slack.views.close(view)
        self._slack.changed()
        return await self._deliveries.once("interactive", payload) if told else None

    async def open_home(self, person: str, tab: str = "home") -> Delivery | None:
        """Look at the app's home."""
        user = self._slack.person(person)
        home = self._slack.views.home(user.id)
        shown = {"view": self._slack.views.as_json(home)} if home else {}
        channel = self._slack.direct(user)
        return await self._event(
            {"type": "app_home_opened", "user": user.id, "channel": channel.id, "tab": tab, **shown}, channel
        )

    async def shortcut(self, person: str, callback_id: str) -> Delivery:
        """Choose one of the app's global shortcuts."""
        user = self._slack.person(person)
        if callback_id not in [each.callback_id for each in self._slack.app.shortcuts]:
            raise Impossible(f"the app has no shortcut {callback_id}")
        payload = payloads.interaction(self._slack, "shortcut", user)
        trigger = self._slack.passes.trigger(user.id)
        more = {"callback_id": callback_id, "trigger_id": trigger, "action_ts": self._slack.next_ts()}
        return await self._deliveries.once("interactive", {**payload, **more})

    async def _event(self, content: Json, place: Conversation | None = None) -> Delivery | None:
        """Tell the app of something that it subscribed to."""
        if content["type"] not in self._slack.app.events and not content.get("channel_type"):
            return None
        shared = place is not None and place.shared
        return await self._deliveries.event(payloads.event(self._slack, content, shared=shared))

    async def happen(self, content: Json) -> Delivery | None:
        """Tell the app of an event of any kind, when it subscribed to it."""
        return await self._event(content)

    def _here(self, person: str, channel: str) -> tuple[User, Conversation]:
        user, place = self._slack.person(person), self._slack.conversation(channel)
        self._slack.member(place, user)
        return user, place

    def _sees(self, user: User, place: Message | View) -> None:
        if isinstance(place, View):
            if place.user != user.id:
                raise Impossible(f"{user.name} does not see this view")
            return
        channel = self._slack.conversations[place.channel]
        self._slack.member(channel, user)
        if channel.find(place.ts) is not place or place.deleted:
            raise Impossible("the message is gone")
        if place.only_for not in (None, user.id):
            raise Impossible(f"{user.name} does not see this message")

    def _where(self, user: User, place: Message | View) -> Json:
        if isinstance(place, View):
            return payloads.in_view(self._slack, user, place)
        return payloads.in_message(self._slack, user, place)

    def _on_top(self, user: User, view: View | None) -> View:
        stack = self._slack.views.stack(user.id)
        if not stack or (view is not None and view is not stack[-1]):
            raise Impossible(f"{user.name} has no such modal on top")
        return stack[-1]

    def _trouble(self, user: User, place: Message | View, answer: Answer) -> None:
        if isinstance(place, View):
            place.errors = {"": TROUBLE}
            self._slack.changed()
        else:
            where = self._slack.conversations[place.channel]
            self._slack.tell(user, where, f"That did not work: {_seen(answer)}")

    def _mistake(self, where: str, error: SlackError) -> None:
        problems: Any = error.more.get("errors", [])
        self.mistakes.append(f"{where}: {error.code} {'; '.join(problems)[:500]}".strip())


def _seen(answer: Answer) -> str:
    """What a person reads when the app does not answer."""
    return "operation_timeout" if answer.error == "timeout" else "dispatch_failed"


def _short(text: str) -> None:
    if len(text) > MOST_TYPED:
        raise Impossible(f"more than {MOST_TYPED:,} characters cannot be sent")


def _blocks(place: Message | View) -> list[Json]:
    if isinstance(place, View):
        found: list[Json] = place.content["blocks"]
        return found
    inside = [block for each in place.attachments for block in each.get("blocks", [])]
    return [*place.blocks, *inside]


def _name(place: Message | View) -> str:
    return place.id if isinstance(place, View) else place.ts


def _element(blocks: list[Json], action_id: str, value: str | None) -> tuple[Json, Json]:
    """The element of an action, as a person sees it. Raises Impossible."""
    for block in blocks:
        for _, element in elements_of(block):
            if element["action_id"] == action_id and value in (None, element.get("value")):
                return block, element
    raise Impossible(f"there is nothing called {action_id}" + (f" with the value {value}" if value else ""))
