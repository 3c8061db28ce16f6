"""What one person is answered, seen by them alone."""

from __future__ import annotations

from collections.abc import Sequence

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.deployments import summary
from dg.bot.messages.text import code, escape, joined, moment, sentence, stated
from dg.core.access.models import Principal
from dg.core.deployments.models import Deployment, Lane, LaneState, Waiting
from dg.core.grammar import Misread, Verb

_MOST_LANES = 30
_MOST = 10
LANES = {
    LaneState.OPEN: ":large_green_circle:",
    LaneState.BUSY: ":large_blue_circle:",
    LaneState.LOCKED: ":lock:",
    LaneState.FROZEN: ":snowflake:",
}


def said(text: str) -> Rendered:
    """One sentence, whose words are ours."""
    return Rendered(text, (b.section(text),))


def problem(message: str, able: Sequence[str] = ()) -> Rendered:
    """Why something was not done, and who could do it."""
    found = f":no_entry: {stated(sentence(message, 1500))}"
    if able:
        found += "\n" + joined([f"<@{user}>" for user in able]) + " could."
    return said(found)


def unclear(misread: Misread) -> Rendered:
    """A line that is no command."""
    hint = escape(misread.hint, 300)
    return said(f":bulb: {escape(misread.message, 500)}\n{hint}")


def link(code_: str, url: str | None) -> Rendered:
    """How an account in Slack becomes somebody's. The code is theirs alone, so nobody else sees this."""
    where = f" --url {url}" if url else ""
    return said(
        ":closed_lock_with_key: Say who you are, where you are signed in to dg (`dg login`):\n"
        f"`dg slack link {code_}{escape(where, 200)}`\nThe code is good once, for ten minutes."
    )


def unlinked() -> Rendered:
    """To somebody of whom is not known who they are."""
    return said(
        ":closed_lock_with_key: dg does not know who you are. Run `/dg link`, and the command that it shows."
    )


def signed_out() -> Rendered:
    """To somebody whom nothing lets in any more."""
    return said(
        ":closed_lock_with_key: Your sign-in has ended: run `dg login` again, and Slack goes on with it."
    )


def stranger() -> Rendered:
    """To somebody of another organization in a shared channel."""
    return said(":no_entry: dg answers members of its own workspace only.")


def older() -> Rendered:
    """To a click on something that has changed since."""
    return said("That button was of an older state. The message shows how it is now.")


def lanes(found: Sequence[Lane], under_way: Sequence[Deployment]) -> Rendered:
    """What runs where, and what is under way."""
    if not found:
        return said("There is no such lane that you may see.")
    lines = [
        f"{LANES[lane.state]} {escape(lane.service)} in {lane.environment.value}: {runs(lane)}{_closed(lane)}"
        for lane in found[:_MOST_LANES]
    ]
    left = len(found) - _MOST_LANES
    lines += [f"_{left} more: name a service_"] if left > 0 else []
    shown = [b.section("\n".join(lines))]
    if under_way:
        shown.append(b.section("\n".join(f"• {escape(summary(each), 200)}" for each in under_way[:_MOST])))
    return Rendered(f"{len(found)} lanes", tuple(shown))


def runs(lane: Lane) -> str:
    """The version that runs in a lane."""
    if lane.current_version:
        return code(lane.current_version)
    return "nothing" if lane.known else "not known"


def _closed(lane: Lane) -> str:
    return (
        f"\n      {sentence(lane.sentence, 400)}"
        if lane.state in (LaneState.LOCKED, LaneState.FROZEN)
        else ""
    )


def why(lane: Lane, queue: Sequence[Waiting]) -> Rendered:
    """What closes a lane, and who waits there."""
    lines = [f"{LANES[lane.state]} {sentence(lane.sentence, 1000)}"]
    for waiting in queue[:_MOST]:
        starts = f", about {moment(waiting.estimated_start)}" if waiting.estimated_start else ""
        told = waiting.deployment
        lines.append(
            f"{waiting.position}. #{told.number} {code(told.version)}{starts}: {sentence(told.hold or '')}"
        )
    return Rendered(escape(lane.sentence), (b.section("\n".join(lines)),))


def who(principal: Principal) -> Rendered:
    """Who somebody is here, and what they may."""
    held = ", ".join(sorted({grant.spoken for grant in principal.grants})) or "no role"
    return said(f"You are *{escape(principal.name, 80)}*: {escape(held, 800)}")


def commands(verbs: Sequence[Verb]) -> Rendered:
    """What somebody may say."""
    lines = [f"`/dg {verb.example}`  {verb.summary}" for verb in verbs]
    lines += ["`/dg link`  Say who you are; `/dg unlink` takes it back."]
    return Rendered("What you may say", (b.section("\n".join(lines)),))


def command(verb: Verb) -> Rendered:
    """How one thing is said."""
    names = f"\nAlso: {', '.join(map(code, verb.aliases))}" if verb.aliases else ""
    return said(f"{verb.summary}\n`/dg {verb.example}`{names}")


def done(text: str, told: Deployment | None = None, channel: str | None = None) -> Rendered:
    """Something was done; where to watch it."""
    number = f" #{told.number}" if told else ""
    where = f" Follow it in <#{channel}>." if channel else ""
    hold = f"\n{sentence(told.hold, 500)}" if told and told.hold else ""
    return said(f":white_check_mark: {text}{number}.{where}{hold}")
