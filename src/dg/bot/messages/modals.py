"""Modals: what production and a no take more than a click for. Their metadata holds ids only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Block
from dg.bot.messages.text import code, escape, sentence
from dg.core.deployments.models import Deployment
from dg.core.deployments.previews import RollbackPreview
from dg.core.grammar.commands import Deploy, Rollback
from dg.core.types import Environment

DEPLOY, ROLL_BACK, REJECT, DONE = (
    f"dg_{name}" for name in ("deploy_view", "rollback_view", "reject_view", "done_view")
)
REASON, NAME = "reason", "name"
LEAST = 5
"""Characters of a reason."""


def metadata(**ids: str | None) -> str:
    """Ids as a view carries them."""
    return json.dumps({name: value for name, value in ids.items() if value}, separators=(",", ":"))


def deploy(wish: Deploy, channel: str) -> Block:
    """Before a deployment to production is asked for."""
    what = f":rocket: *{escape(wish.service)}* {code(wish.ref)} → *{wish.environment.value}*"
    ids = metadata(
        service=wish.service,
        ref=wish.ref,
        environment=wish.environment.value,
        version=wish.version,
        channel=channel,
    )
    asked = [_reason(wish.note or ""), _typed(wish.service)]
    return b.modal(DEPLOY, "Deploy", [b.section(what), *asked], submit="Deploy", metadata=ids)


def rollback(wish: Rollback, target: str | None, preview: RollbackPreview | None, channel: str) -> Block:
    """Before something is rolled back: what it would bring back, as far as that is known by now."""
    service, environment = wish.service, wish.environment
    before = "to what was chosen" if target else "to what ran well before"
    shown = [b.section(f":rewind: *{escape(service)}* in *{environment.value}* goes back {before}.")]
    if preview is not None:
        to = f" to {code(preview.target.version)}" if preview.target else ""
        shown = [b.section(f":rewind: *{escape(service)}* in *{environment.value}* goes back{to}")]
        shown.append(b.context(escape(preview.sentence, 600)))
        said = (each.sentence for each in (*preview.objections, *preview.doubts))
        more = [each for each in said if each != preview.sentence]
        shown += [b.context(f":warning: {escape(each, 400)}") for each in more[:3]]
        shown += [b.context(f":lock: {sentence(each.sentence, 500)}") for each in preview.afterwards]
    ids = metadata(service=service, environment=environment.value, target=target, channel=channel)
    asked = [_reason(wish.reason or "")]
    if environment is Environment.PRODUCTION:
        asked.append(_typed(service))
    return b.modal(ROLL_BACK, "Roll back", [*shown, *asked], submit="Roll back", metadata=ids)


def reject(told: Deployment, channel: str) -> Block:
    """A no takes a reason."""
    what = f"*{escape(told.service)}* {code(told.version)} → *{told.environment.value}* ends as rejected."
    ids = metadata(deployment=told.id, channel=channel)
    blocks = [b.section(what), _reason("")]
    return b.modal(REJECT, "Reject", blocks, submit="Reject", metadata=ids)


def outcome(text: str) -> Block:
    """What became of a modal that was sent."""
    return b.modal(DONE, "dg", [b.section(text)], submit=None)


def mistakes(ids: Mapping[str, str], typed: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with what was typed, by field."""
    found = {}
    if len(typed.get(REASON, "").strip()) < LEAST:
        found[REASON] = f"Say why, in {LEAST} characters or more."
    if NAME in typed and typed[NAME].strip() != ids.get("service"):
        found[NAME] = "This is not the service's name."
    return found


def typed(view: Mapping[str, Any]) -> dict[str, str]:
    """What was typed, by field."""
    values = view.get("state", {}).get("values", {})
    return {name: str(field.get("typed", {}).get("value") or "") for name, field in values.items()}


def _reason(value: str) -> Block:
    return b.field(REASON, "Why?", hint="Everybody reads this.", least=LEAST, value=value, multiline=True)


def _typed(service: str) -> Block:
    return b.field(NAME, f"Type {service} to confirm", most=63)
