"""Reads a line of words: always gives a command or says where and why it could not. It never raises."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dg.core.deployments import durations
from dg.core.grammar.commands import Command
from dg.core.grammar.verbs import BY_NAME, Kind, Slot, Verb
from dg.core.grammar.words import ENVIRONMENTS, LONGEST, SEVERITIES, Word, words
from dg.core.text import plain
from dg.core.types import NAME_PATTERN

LONGEST_REASON = 500
_DEPLOYMENT = re.compile(r"#?([1-9][0-9]{0,17})|(0[0-9a-f-]{0,35})|(latest)", re.IGNORECASE)
_CHANNEL = re.compile(r"#?([CG][A-Z0-9]{1,20})")
_FREEZE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_QUESTIONS = {
    Kind.SERVICE: "Which service?",
    Kind.ENVIRONMENT: "Which environment?",
    Kind.VERSION: "Which version?",
    Kind.DEPLOYMENT: "Which deployment?",
    Kind.DURATION: "For how long?",
    Kind.REASON: "Say why.",
}


@dataclass(frozen=True)
class Misread:
    """Why a line is no command: one sentence, the characters that it is about, and what to type instead."""

    message: str
    hint: str
    start: int
    end: int


@dataclass
class Reader:
    """Puts the words of one line into the slots of its verb. `open_slot` still waits for its value."""

    verb: Verb
    line: str
    values: dict[str, Word] = field(default_factory=dict)
    open_slot: Slot | None = None
    misread: Misread | None = None

    def take(self, rest: Sequence[Word]) -> None:
        """Read on until the end or the first word that fits nowhere."""
        for at, word in enumerate(rest):
            if self.misread:
                return
            if self.open_slot is None and (slot := self._led_to(word)) is not None:
                self._open(slot, word)
            elif (slot := self.open_slot or self._bare(word)) is None:
                self._fits_nowhere(word)
            elif slot.kind is Kind.REASON:
                self._fill(slot, _rest(self.line, rest[at:]))
                return
            else:
                self._fill(slot, word)

    def free(self, slot: Slot) -> bool:
        return slot.field not in self.values

    def _led_to(self, word: Word) -> Slot | None:
        return self.verb.flags.get(word.flag) if word.flag else self.verb.words.get(word.plain)

    def _open(self, slot: Slot, word: Word) -> None:
        if not self.free(slot):
            self._complain(f"There is a second {slot.kind.value}.", word)
        elif slot.kind is Kind.ALL:
            self.values[slot.field] = word
        else:
            self.open_slot = slot

    def _bare(self, word: Word) -> Slot | None:
        """The slot for a word that nothing leads to."""
        free = [slot for slot in self.verb.slots if slot.bare and self.free(slot) and not word.flag]
        environments = [slot for slot in free if slot.kind is Kind.ENVIRONMENT]
        if word.environment and environments:
            return environments[0]
        severities = [slot for slot in free if slot.kind is Kind.SEVERITY]
        if word.plain in SEVERITIES and severities:
            return severities[0]
        others = [slot for slot in free if slot not in (*environments, *severities)]
        return next(iter([*others, *environments, *severities]), None)

    def _fill(self, slot: Slot, word: Word) -> None:
        self.open_slot = None
        slot = self._meant(slot, word)
        service, at, version = word.text.partition("@")
        if slot.kind is Kind.SERVICE and at and not word.quoted and self._takes("ref"):
            middle = word.start + len(service)
            self.values["ref"] = Word(version, middle + 1, word.end)
            word = Word(service, word.start, middle)
        self.values[slot.field] = word

    def _meant(self, slot: Slot, word: Word) -> Slot:
        """`rollback api to production` names where, and no version."""
        where = [each for each in self.verb.slots if each.kind is Kind.ENVIRONMENT and self.free(each)]
        return where[0] if slot.kind is Kind.VERSION and word.environment and where else slot

    def _takes(self, name: str) -> bool:
        return any(slot.field == name and self.free(slot) for slot in self.verb.slots)

    def _fits_nowhere(self, word: Word) -> None:
        near = _near(word.plain or word.flag or "", [*self.verb.words, *self.verb.flags])
        hint = f"Did you mean `{near}`?" if near else _usage(self.verb)
        self._complain(f"`{_shown(word.text)}` does not fit there.", word, hint)

    def _complain(self, message: str, word: Word, hint: str | None = None) -> None:
        self.misread = Misread(message, hint or _usage(self.verb), word.start, word.end)


def parse(line: str) -> Command | Misread:
    """What a line means. `/dg` before it, and the case of the grammar's own words, do not matter."""
    if len(line) > LONGEST:
        return Misread(f"That is longer than {LONGEST} characters.", "Say it shorter.", LONGEST, len(line))
    found = heard(line)
    if not found:
        return Misread("Say what you want.", "Try `help`.", 0, len(line))
    first, *rest = found
    if (verb := BY_NAME.get(first.plain)) is None:
        return _unknown(first)
    reader = Reader(verb, line)
    reader.take(rest)
    return reader.misread or _command(reader)


def heard(line: str) -> list[Word]:
    """The words that count."""
    found = list(words(line))
    return found[1:] if found and found[0].plain in ("/dg", "dg") else found


def _unknown(word: Word) -> Misread:
    if not word.quoted and _DEPLOYMENT.fullmatch(word.text):
        return Misread(f"What about {_shown(word.text)}?", f"Try `show {word.text}`.", word.start, word.end)
    near = _near(word.plain, BY_NAME)
    hint = f"Did you mean `{BY_NAME[near].name}`?" if near else "Try `help`."
    return Misread(f"There is no command `{_shown(word.text)}`.", hint, word.start, word.end)


def _command(reader: Reader) -> Command | Misread:
    verb, line = reader.verb, reader.line
    for slot in verb.slots:
        wanted = slot.required or slot is reader.open_slot
        if wanted and reader.free(slot) and not _said_all(reader, slot):
            return Misread(_QUESTIONS.get(slot.kind, "Which one?"), _usage(verb), len(line), len(line))
    values: dict[str, object] = {}
    for slot in verb.slots:
        if (word := reader.values.get(slot.field)) is not None and slot.kind is not Kind.ALL:
            value, problem = _value(slot.kind, word)
            if problem:
                return Misread(problem, _hint(slot.kind, word, verb), word.start, word.end)
            values[slot.field] = value
    if (unclear := _unclear(reader)) is not None:
        return unclear
    return verb.command(**values)


def _said_all(reader: Reader, slot: Slot) -> bool:
    return slot.kind in (Kind.SERVICE, Kind.ENVIRONMENT) and "everything" in reader.values


def _unclear(reader: Reader) -> Misread | None:
    """All lanes and all freezes are meant only when that is said."""
    if not any(slot.kind is Kind.ALL for slot in reader.verb.slots):
        return None
    named = [word for name, word in reader.values.items() if name in ("service", "environment", "freeze")]
    if (everything := reader.values.get("everything")) is not None and named:
        return Misread("All, or only that one?", _usage(reader.verb), everything.start, everything.end)
    if everything is None and not named:
        end = len(reader.line)
        return Misread("Which one? Say `all` for all of them.", _usage(reader.verb), end, end)
    return None


def _value(kind: Kind, word: Word) -> tuple[object, str | None]:
    """What a word means in a slot of that kind, or the sentence that says why it means nothing."""
    text, shown = word.text, _shown(word.text)
    match kind:
        case Kind.SERVICE:
            name = text.lower()
            return name, None if re.fullmatch(NAME_PATTERN, name) else f"`{shown}` is no service's name."
        case Kind.ENVIRONMENT:
            found = ENVIRONMENTS.get(text.lower())
            return found, None if found else f"There is no environment `{shown}`."
        case Kind.DEPLOYMENT:
            match = _DEPLOYMENT.fullmatch(text)
            found_name = next(filter(None, match.groups()), None) if match else None
            return (found_name or "").lower(), None if found_name else f"`{shown}` names no deployment."
        case Kind.DURATION:
            try:
                return durations.wait(text.lower()), None
            except ValueError as error:
                return None, f"`{shown}` {error}."
        case Kind.FREEZE:
            return text.lower(), None if _FREEZE.fullmatch(text) else f"`{shown}` is no freeze's id."
        case Kind.CHANNEL:
            named = _CHANNEL.fullmatch(text)
            problem = f"`{shown}` is no channel's id, which stands at the end of its details in Slack."
            return named[1] if named else None, None if named else problem
        case Kind.SEVERITY:
            known = text.lower() in SEVERITIES
            return text.lower(), None if known else f"`{shown}` is not degraded or unhealthy."
        case Kind.VERB:
            verb = BY_NAME.get(word.plain)
            return (verb.name if verb else None), None if verb else f"There is no command `{shown}`."
        case _:
            return _free_text(kind, text)


def _free_text(kind: Kind, text: str) -> tuple[object, str | None]:
    said = " ".join(plain(text).split())
    longest = LONGEST_REASON if kind is Kind.REASON else 255
    if not said:
        return None, f"The {kind.value} is empty."
    return said, f"The {kind.value} is longer than {longest} characters." if len(said) > longest else None


def _hint(kind: Kind, word: Word, verb: Verb) -> str:
    if kind is Kind.ENVIRONMENT:
        near = _near(word.text.lower(), ENVIRONMENTS)
        names = ", ".join(dict.fromkeys(each.value for each in ENVIRONMENTS.values()))
        return f"Did you mean `{ENVIRONMENTS[near].value}`?" if near else f"There are {names}."
    if kind is Kind.VERB and (close := _near(word.plain, BY_NAME)):
        return f"Did you mean `{BY_NAME[close].name}`?"
    return _usage(verb)


def _rest(line: str, rest: Sequence[Word]) -> Word:
    """All that is left as one value; quotes around the whole of it are none of it."""
    if len(rest) == 1:
        return rest[0]
    return Word(line[rest[0].start : rest[-1].end], rest[0].start, rest[-1].end, quoted=True)


def _near(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word[:40], list(known), n=1, cutoff=0.7)), None)


def _usage(verb: Verb) -> str:
    return f"Such as `{verb.example}`."


def _shown(text: str) -> str:
    return plain(text, limit=40).replace("`", "'")
