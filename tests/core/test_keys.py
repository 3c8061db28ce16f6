"""Sealed secrets: they open in their own place alone, with the home's own key."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from dg.core.errors import Refused
from dg.core.keys import Envelope, open_envelope

SECRET = "whsec_ünlocked"


def keyfile(folder: Path) -> Path:
    return folder / "envelope.key"


def test_what_is_sealed_opens_again(tmp_path: Path) -> None:
    sealed = open_envelope(tmp_path).seal(SECRET, "webhook/1")
    assert open_envelope(tmp_path).open(sealed, "webhook/1") == SECRET
    assert SECRET not in sealed


def test_it_is_sealed_differently_each_time(tmp_path: Path) -> None:
    envelope = open_envelope(tmp_path)
    assert envelope.seal(SECRET, "a") != envelope.seal(SECRET, "a")


def test_it_opens_in_no_other_place(tmp_path: Path) -> None:
    envelope = open_envelope(tmp_path)
    with pytest.raises(Refused, match="moved from its place"):
        envelope.open(envelope.seal(SECRET, "webhook/1"), "webhook/2")


@pytest.mark.parametrize("at", [0, 12, -1])
def test_a_changed_byte_does_not_open(tmp_path: Path, at: int) -> None:
    envelope = open_envelope(tmp_path)
    head, _, data = envelope.seal(SECRET, "a").rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(data))
    raw[at] ^= 1
    with pytest.raises(Refused, match="was changed"):
        envelope.open(f"{head}.{base64.urlsafe_b64encode(raw).decode()}", "a")


@pytest.mark.parametrize("text", ["", "v1", "v1.", "v2.{name}.{data}", "v1.{name}.", "v1.{name}.?", "{data}"])
def test_what_was_never_sealed_is_refused(tmp_path: Path, text: str) -> None:
    envelope = open_envelope(tmp_path)
    _, name, data = envelope.seal(SECRET, "a").split(".")
    with pytest.raises(Refused):
        envelope.open(text.format(name=name, data=data), "a")


def test_another_homes_key_does_not_open_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    sealed = open_envelope(tmp_path / "a").seal(SECRET, "a")
    with pytest.raises(Refused, match=r"envelope\.key"):
        open_envelope(tmp_path / "b").open(sealed, "a")


def test_a_new_first_key_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    before = open_envelope(tmp_path).seal(SECRET, "a")
    path = keyfile(tmp_path)
    path.write_text("11" * 32 + "\n" + path.read_text())
    envelope = open_envelope(tmp_path)
    assert envelope.open(before, "a") == SECRET
    assert Envelope([b"\x11" * 32]).open(envelope.seal(SECRET, "a"), "a") == SECRET


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    open_envelope(tmp_path)
    assert keyfile(tmp_path).stat().st_mode & 0o777 == 0o600
    keyfile(tmp_path).chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        open_envelope(tmp_path)


@pytest.mark.parametrize("text", ["", "no hex at all", "abcd", "11" * 31])
def test_a_file_without_a_whole_key_is_refused(tmp_path: Path, text: str) -> None:
    open_envelope(tmp_path)
    keyfile(tmp_path).write_text(text)
    with pytest.raises(Refused, match="does not hold keys"):
        open_envelope(tmp_path)
