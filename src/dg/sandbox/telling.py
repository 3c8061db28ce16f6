"""How the scenes of the story tell what they find, and show the commands of its people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dg.sandbox import shell
from dg.sandbox.scene import Fact, Scene, expect


class Telling:
    """What all scenes are told with."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._ana, self._ben = scene.people.ana, scene.people.ben
        self._client = self._ana.client

    def chapter(self, text: str) -> None:
        self._tell("chapter", text)

    def _tell(
        self,
        name: str,
        text: str,
        where: str = "",
        *,
        aside: str = "",
        seconds: float | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self._scene.teller.tell(Fact(name, self._now(), text, where, aside, seconds, details or {}))

    def _tell_command(self, arguments: Sequence[str], answer: shell.Answer) -> None:
        self._tell("command", " ".join(("dg", *arguments)), details={"exit": answer.code})
        for line in answer.lines:
            self._tell("output", line)

    def _show(self, arguments: Sequence[str], answer: shell.Answer) -> None:
        """A command that does what it should, with what it prints."""
        self._tell_command(arguments, answer)
        expect(f"the exit code of `dg {arguments[0]}`", answer.code, 0)

    def _now(self) -> float:
        return self._scene.clock.monotonic() - self._scene.started
