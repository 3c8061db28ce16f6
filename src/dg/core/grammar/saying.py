"""The way back: a command as the line that is read as it, and as the arguments of `dg`."""

from __future__ import annotations

from dg.core.grammar import commands
from dg.core.grammar.commands import Command
from dg.core.grammar.verbs import BY_COMMAND, Kind, Slot
from dg.core.grammar.words import ENVIRONMENTS, SEVERITIES, quote, words
from dg.settings.units import format_duration

_OTHERWISE = {
    "lock": ["lane", "lock"],
    "unlock": ["lane", "unlock"],
    "who": ["whoami"],
    "mute": ["slack", "mute"],
    "unmute": ["slack", "unmute"],
    "subscribe": ["slack", "subscribe"],
    "unsubscribe": ["slack", "unsubscribe"],
    "subscriptions": ["slack", "subscriptions"],
}
"""Verbs that the command line calls something else."""


_OfAll = commands.Freeze | commands.Thaw | commands.Subscribe | commands.Unsubscribe


def spoken(command: Command) -> str:
    """The line that means `command`."""
    verb = BY_COMMAND[type(command)]
    parts = [verb.name]
    for slot in sorted(verb.slots, key=lambda slot: slot.kind is Kind.REASON):
        if (value := getattr(command, slot.field, None)) is not None:
            parts += [*slot.words[:1]] if not slot.bare or slot.kind is Kind.ENVIRONMENT else []
            parts.append(_said(slot, value, frozenset(verb.words)))
    if isinstance(command, _OfAll) and _is_all(command):
        parts.insert(1, "all")
    return " ".join(parts)


def arguments(command: Command) -> list[str]:
    """What comes after `dg` on a command line for the same."""
    match command:
        case commands.Deploy(service, ref, environment, version, note):
            return ["deploy", f"--env={environment}", *_given(version=version, note=note), "--", service, ref]
        case commands.Status(service, environment):
            return ["status", *_given(env=environment), *filter(None, [service])]
        case commands.Show(deployment):
            return ["show", deployment]
        case commands.Rollback(service, environment, target, reason):
            return ["rollback", f"--env={environment}", *_given(to=target, reason=reason), service]
        case commands.Approve(deployment, note):
            return ["approve", *_given(note=note), deployment]
        case commands.Reject(deployment, reason) | commands.Cancel(deployment, reason):
            return [BY_COMMAND[type(command)].name, *_given(reason=reason), deployment]
        case commands.Retry(deployment, from_step, note):
            return ["retry", *_given(**{"from": from_step, "note": note}), deployment]
        case commands.Why(service, environment):
            return ["why", service, environment]
        case commands.Lock(service, environment, seconds, reason):
            flags = _given(**{"for": format_duration(seconds), "reason": reason})
            return ["lane", "lock", *flags, service, environment]
        case commands.Unlock(service, environment, reason):
            return ["lane", "unlock", *_given(reason=reason), service, environment]
        case commands.Freeze(seconds, reason, service, environment):
            flags = _given(**{"for": format_duration(seconds), "reason": reason, "env": environment})
            return ["freeze", *flags, *(["--all"] if _is_all(command) else filter(None, [service]))]
        case commands.Thaw(freeze):
            return ["thaw", *filter(None, [freeze])]
        case commands.Health(environment):
            return ["health", *filter(None, [environment])]
        case commands.Env(environment):
            return ["env", "show", environment]
        case commands.Mute(seconds, channel, reason):
            flags = _given(**{"for": format_duration(seconds), "reason": reason})
            return ["slack", "mute", *flags, *filter(None, [channel])]
        case commands.Unmute(channel):
            return ["slack", "unmute", *filter(None, [channel])]
        case commands.Subscribe(service, environment, severity, channel):
            flags = _given(service=service, env=environment, severity=severity)
            return ["slack", "subscribe", *flags, *filter(None, [channel])]
        case commands.Unsubscribe(service, environment, channel):
            flags = _given(service=service, env=environment)
            return ["slack", "unsubscribe", *flags, *filter(None, [channel])]
        case commands.Subscriptions(channel):
            return ["slack", "subscriptions", *filter(None, [channel])]
        case commands.Who():
            return ["whoami"]
        case commands.Help(verb):
            return [*_OTHERWISE.get(verb or "", [verb] if verb and verb != "help" else []), "--help"]


def lasting(seconds: float) -> str:
    """A length of time as a line says it: `1h30m`."""
    return format_duration(seconds)


def _is_all(command: _OfAll) -> bool:
    if isinstance(command, commands.Thaw):
        return command.freeze is None
    return command.service is None and command.environment is None


def _given(**flags: str | None) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items() if value is not None]


def _said(slot: Slot, value: object, grammar: frozenset[str]) -> str:
    if slot.kind is Kind.DURATION and isinstance(value, float):
        return format_duration(value)
    text = str(value)
    if slot.kind is Kind.DEPLOYMENT and text.isdigit() and not text.startswith("0"):
        return f"#{text}"
    if slot.kind is Kind.REASON:
        return text if _is_bare(text, multiple=True) else quote(text)
    taken = (
        text.lower() in grammar
        or (text.lower() in ENVIRONMENTS and slot.kind is not Kind.ENVIRONMENT)
        or (text.lower() in SEVERITIES and slot.kind is not Kind.SEVERITY)
    )
    return text if _is_bare(text) and not taken else quote(text)


def _is_bare(text: str, *, multiple: bool = False) -> bool:
    """Whether its words are read as they stand here."""
    found = list(words(text))
    whole = bool(found) and found[0].start == 0 and found[-1].end == len(text)
    return whole and not any(word.quoted or word.flag for word in found) and (multiple or len(found) == 1)
