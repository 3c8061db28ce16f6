"""The table of verbs: what each needs, in which words, and which action it takes to be offered it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from dg.core.access.models import Action
from dg.core.grammar import commands
from dg.core.grammar.commands import Command


class Kind(Enum):
    """What stands in a slot; the value is what people call it."""

    SERVICE = "service"
    ENVIRONMENT = "environment"
    VERSION = "version"
    DEPLOYMENT = "deployment"
    STEP = "step"
    DURATION = "duration"
    REASON = "reason"
    FREEZE = "freeze"
    CHANNEL = "channel"
    SEVERITY = "severity"
    VERB = "command"
    ALL = "all"


@dataclass(frozen=True)
class Slot:
    """One thing that a verb takes. `words` lead to it (`to production`), and so do flags (`--to`).

    A `bare` one may stand without such a word, in the order of the table; environments are known anywhere.
    """

    field: str
    kind: Kind
    words: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    required: bool = False
    bare: bool = False


@dataclass(frozen=True)
class Verb:
    """One thing to ask for. `takes` is what one must have somewhere to be offered it; None is for all."""

    name: str
    command: Callable[..., Command]
    summary: str
    example: str
    takes: Action | None
    slots: tuple[Slot, ...] = ()
    aliases: tuple[str, ...] = ()

    @cached_property
    def words(self) -> dict[str, Slot]:
        return {word: slot for slot in self.slots for word in slot.words}

    @cached_property
    def flags(self) -> dict[str, Slot]:
        return {flag: slot for slot in self.slots for flag in (*slot.words, *slot.flags)}


def _service(*, required: bool = True) -> Slot:
    return Slot("service", Kind.SERVICE, ("of",), ("service",), required=required, bare=True)


def _environment(*words: str, required: bool = True) -> Slot:
    return Slot(
        "environment", Kind.ENVIRONMENT, words or ("in", "on"), ("env", "environment"), required, bare=True
    )


def _reason(field: str = "reason", *, required: bool = False) -> Slot:
    return Slot(field, Kind.REASON, ("because",), ("reason", "note", "message"), required)


_DEPLOYMENT = Slot("deployment", Kind.DEPLOYMENT, required=True, bare=True)
_FOR = Slot("seconds", Kind.DURATION, ("for",), required=True)
_CHANNEL = Slot("channel", Kind.CHANNEL, ("in",), ("channel",), bare=True)
_TOLD = Slot("channel", Kind.CHANNEL, ("for",), ("channel",))
_ALL = Slot("everything", Kind.ALL, ("all", "everything"))

VERBS: tuple[Verb, ...] = (
    Verb(
        "deploy",
        commands.Deploy,
        "Deploy a branch, tag or commit.",
        "deploy api v1.4.2 to production",
        Action.DEPLOYMENT_CREATE,
        (
            _service(),
            Slot("ref", Kind.VERSION, (), ("ref",), required=True, bare=True),
            _environment("to", "in", "on"),
            Slot("version", Kind.VERSION, ("as",), ("version",)),
            _reason("note"),
        ),
        ("ship", "release"),
    ),
    Verb(
        "status",
        commands.Status,
        "What runs where, what is under way, what is closed.",
        "status api in production",
        Action.DEPLOYMENT_READ,
        (_service(required=False), _environment(required=False)),
        ("st", "ls"),
    ),
    Verb(
        "show",
        commands.Show,
        "One deployment: its steps and its outcome.",
        "show #42",
        Action.DEPLOYMENT_READ,
        (_DEPLOYMENT,),
    ),
    Verb(
        "rollback",
        commands.Rollback,
        "Bring back what ran before.",
        "rollback api in production because checkout answers 500",
        Action.DEPLOYMENT_ROLLBACK,
        (_service(), _environment(), Slot("target", Kind.VERSION, ("to",)), _reason()),
        ("rb", "revert", "undo"),
    ),
    Verb(
        "approve",
        commands.Approve,
        "Agree to a deployment that waits.",
        "approve #42",
        Action.DEPLOYMENT_APPROVE,
        (_DEPLOYMENT, _reason("note")),
        ("lgtm",),
    ),
    Verb(
        "reject",
        commands.Reject,
        "Refuse a deployment that waits; it ends.",
        "reject #42 because the migration locks the table",
        Action.DEPLOYMENT_REJECT,
        (_DEPLOYMENT, _reason(required=True)),
        ("refuse",),
    ),
    Verb(
        "cancel",
        commands.Cancel,
        "Stop a deployment that waits or runs.",
        "cancel #42",
        Action.DEPLOYMENT_CANCEL,
        (_DEPLOYMENT, _reason()),
        ("stop", "abort"),
    ),
    Verb(
        "retry",
        commands.Retry,
        "Take a failed deployment up again from where it failed.",
        "retry #42 from migrate",
        Action.DEPLOYMENT_RETRY,
        (_DEPLOYMENT, Slot("from_step", Kind.STEP, ("from",)), _reason("note")),
        ("again",),
    ),
    Verb(
        "why",
        commands.Why,
        "What closes a lane, who can open it, and who waits there.",
        "why api production",
        Action.LANE_READ,
        (_service(), _environment()),
        ("lane",),
    ),
    Verb(
        "lock",
        commands.Lock,
        "Close one lane for a while.",
        "lock api in production for 2h because the sale starts at noon",
        Action.LANE_LOCK,
        (_service(), _environment(), _FOR, _reason(required=True)),
    ),
    Verb(
        "unlock",
        commands.Unlock,
        "Open a locked lane.",
        "unlock api in production",
        Action.LANE_UNLOCK,
        (_service(), _environment(), _reason()),
    ),
    Verb(
        "freeze",
        commands.Freeze,
        "Close many lanes for a while: of a service, of an environment, or all.",
        "freeze production for 12h because nobody is here tonight",
        Action.LANE_FREEZE,
        (_service(required=False), _environment(required=False), _ALL, _FOR, _reason(required=True)),
    ),
    Verb(
        "thaw",
        commands.Thaw,
        "End one freeze by its id, or all that you may end.",
        "thaw all",
        Action.LANE_THAW,
        (Slot("freeze", Kind.FREEZE, bare=True), _ALL),
        ("unfreeze",),
    ),
    Verb(
        "health",
        commands.Health,
        "How services are, and since when.",
        "health production",
        Action.ENVIRONMENT_READ,
        (_environment(required=False),),
        ("probes",),
    ),
    Verb(
        "env",
        commands.Env,
        "How an environment is configured, and who changed it last.",
        "env production",
        Action.ENVIRONMENT_READ,
        (_environment(),),
        ("environment",),
    ),
    Verb(
        "mute",
        commands.Mute,
        "Tell a channel only what cannot wait, for a while.",
        "mute for 2h because we present",
        Action.CHANNEL_MUTE,
        (_CHANNEL, _FOR, _reason()),
        ("hush",),
    ),
    Verb(
        "unmute",
        commands.Unmute,
        "Tell a channel everything again.",
        "unmute",
        Action.CHANNEL_MUTE,
        (_CHANNEL,),
    ),
    Verb(
        "subscribe",
        commands.Subscribe,
        "Tell a channel of a service, of an environment, or of all, too.",
        "subscribe api in production",
        Action.CHANNEL_SUBSCRIBE,
        (
            _service(required=False),
            _environment(required=False),
            _ALL,
            Slot("severity", Kind.SEVERITY, ("when",), ("severity",), bare=True),
            _TOLD,
        ),
    ),
    Verb(
        "unsubscribe",
        commands.Unsubscribe,
        "End what a channel subscribed to.",
        "unsubscribe api in production",
        Action.CHANNEL_SUBSCRIBE,
        (_service(required=False), _environment(required=False), _ALL, _TOLD),
    ),
    Verb(
        "subscriptions",
        commands.Subscriptions,
        "What a channel subscribed to, since when and by whom.",
        "subscriptions",
        Action.CHANNEL_READ,
        (_CHANNEL,),
    ),
    Verb("who", commands.Who, "Who you are here, and what you may.", "who", None, aliases=("whoami",)),
    Verb(
        "help",
        commands.Help,
        "What you may say, or how one command is said.",
        "help deploy",
        None,
        (Slot("verb", Kind.VERB, bare=True),),
        ("?", "commands"),
    ),
)

BY_NAME = {name: verb for verb in VERBS for name in (verb.name, *verb.aliases)}
BY_COMMAND = {verb.command: verb for verb in VERBS}


def offered(may: Callable[[Action], bool]) -> tuple[Verb, ...]:
    """The verbs for somebody who has those actions somewhere."""
    return tuple(verb for verb in VERBS if verb.takes is None or may(verb.takes))
