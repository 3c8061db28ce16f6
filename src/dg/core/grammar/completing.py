"""What may come next on a line, from the names that are there now. Pure: whoever asks knows the names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dg.core.access.models import Action
from dg.core.grammar.reading import Reader, heard
from dg.core.grammar.verbs import BY_NAME, Kind, Slot, offered
from dg.core.grammar.words import ENVIRONMENTS, LONGEST, SEVERITIES, Word

MOST = 50
_DURATIONS = ("30m", "2h", "12h", "1d")


@dataclass(frozen=True)
class Names:
    """What there is to name, as far as the caller may see it. `may` filters the verbs."""

    services: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    freezes: tuple[str, ...] = ()
    may: Callable[[Action], bool] = lambda _: True


@dataclass(frozen=True)
class Completions:
    """What may stand from `start` of the line on, the likeliest first."""

    start: int
    options: tuple[str, ...] = ()


def complete(line: str, names: Names) -> Completions:
    """How the last word of `line` may go on; after a space, which word may come. At most 50."""
    if len(line) > LONGEST:
        return Completions(len(line))
    found = heard(line)
    begun = found.pop() if found and not line[-1:].isspace() else None
    start, prefix = (begun.start, begun.plain) if begun else (len(line), "")
    if begun and begun.quoted:
        return Completions(start)
    if found:
        options = _after(found[0].plain, line, found[1:], names)
    else:
        options = [verb.name for verb in offered(names.may)]
    fitting = dict.fromkeys(option for option in options if option.lower().startswith(prefix))
    return Completions(start, tuple(fitting)[:MOST])


def _after(name: str, line: str, rest: list[Word], names: Names) -> list[str]:
    if (verb := BY_NAME.get(name)) is None:
        return []
    reader = Reader(verb, line)
    reader.take(rest)
    if reader.misread or any(slot.kind is Kind.REASON and not reader.free(slot) for slot in verb.slots):
        return []
    if reader.open_slot:
        return list(_values(reader.open_slot, names))
    free = [slot for slot in verb.slots if reader.free(slot)]
    bare = [slot for slot in free if slot.bare]
    order = [*[slot for slot in bare if slot.kind is not Kind.ENVIRONMENT][:1], *bare]
    values = [value for slot in order for value in _values(slot, names) if _may_stand(slot, order)]
    return [*values, *(slot.words[0] for slot in free if slot.words and slot.field != "service")]


def _may_stand(slot: Slot, order: list[Slot]) -> bool:
    """Values that nothing leads to are taken in their order."""
    return slot.kind in (Kind.ENVIRONMENT, Kind.SEVERITY) or slot is order[0]


def _values(slot: Slot, names: Names) -> Iterable[str]:
    match slot.kind:
        case Kind.SERVICE:
            return names.services
        case Kind.ENVIRONMENT:
            return dict.fromkeys(each.value for each in ENVIRONMENTS.values())
        case Kind.VERSION:
            return names.versions
        case Kind.DEPLOYMENT:
            return names.deployments
        case Kind.STEP:
            return names.steps
        case Kind.FREEZE:
            return names.freezes
        case Kind.SEVERITY:
            return SEVERITIES
        case Kind.DURATION:
            return _DURATIONS
        case Kind.VERB:
            return [verb.name for verb in offered(names.may)]
        case _:
            return ()
