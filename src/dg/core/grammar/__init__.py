"""One line of words for what people do: what they type after `/dg`, in the dashboard's `:` and to `dg do`."""

from dg.core.grammar.commands import Command
from dg.core.grammar.completing import Completions, Names, complete
from dg.core.grammar.reading import Misread, parse
from dg.core.grammar.saying import arguments, lasting, spoken
from dg.core.grammar.verbs import VERBS, Verb, offered

__all__ = [
    "VERBS",
    "Command",
    "Completions",
    "Misread",
    "Names",
    "Verb",
    "arguments",
    "complete",
    "lasting",
    "offered",
    "parse",
    "spoken",
]
