"""A bounded memory: what is asked for often stays, what is not goes."""

from __future__ import annotations

from dg.core.remember import Remembered


def test_a_value_is_made_once() -> None:
    made: list[str] = []
    memory: Remembered[str] = Remembered(2)

    def make() -> str:
        made.append("x")
        return "x"

    assert [memory.get("a", make), memory.get("a", make)] == ["x", "x"]
    assert made == ["x"]


def test_what_was_used_last_is_kept() -> None:
    memory: Remembered[int] = Remembered(2)
    for key, value in (("a", 1), ("b", 2), ("a", 0), ("c", 3)):
        memory.get(key, lambda value=value: value)  # type: ignore[misc]
    assert memory.get("a", lambda: 9) == 1
    assert memory.get("b", lambda: 9) == 9


def test_what_is_not_known_is_not_made() -> None:
    memory: Remembered[int] = Remembered(2)
    assert memory.known("a") is None
    memory.get("a", lambda: 1)
    memory.get("b", lambda: 2)
    assert memory.known("a") == 1
    memory.get("c", lambda: 3)
    assert (memory.known("a"), memory.known("b")) == (1, None)
