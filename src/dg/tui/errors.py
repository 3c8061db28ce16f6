"""What went wrong in the words of the dashboard: one sentence, and what to do about it."""

from __future__ import annotations

from dg.core.errors import Forbidden, NotFound, Problem, Refused, TooMany, Unauthenticated, Unavailable


def sentence(problem: Problem) -> str:
    """The server's own sentence, and the way out where the dashboard knows one."""
    way = _way(problem)
    return f"{problem.message}: {way}" if way else problem.message


def _way(problem: Problem) -> str:
    match problem:
        case Unauthenticated():
            return "sign in again with `dg login`"
        case TooMany():
            return f"again in {problem.details.get('retry_after', 'a few')} seconds"
        case Forbidden() if roles := problem.details.get("roles"):
            return f"ask somebody who is {' or '.join(map(str, roles)) if isinstance(roles, list) else roles}"
        case Refused() | NotFound() | Unavailable() | _:
            return ""
