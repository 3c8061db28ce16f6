"""The pepper: made once and private, rotated by a new line, and never of use to whoever has the database."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dg.core.access.pepper import open_pepper
from dg.core.errors import Refused

KEY = "dgk_prod_DhLntdo4Vkkz8dh87FDdGxriYMLKud0g_17K3gA"


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    one, two = open_pepper(tmp_path / "keys"), open_pepper(tmp_path / "keys")
    assert one.newest == two.newest
    assert two.matches(KEY, one.digest(KEY), one.newest)
    assert (tmp_path / "keys" / "pepper").stat().st_mode & 0o777 == 0o600


def test_two_homes_keep_the_same_key_differently(tmp_path: Path) -> None:
    one, two = open_pepper(tmp_path / "a"), open_pepper(tmp_path / "b")
    assert one.newest != two.newest
    assert one.digest(KEY) != two.digest(KEY)
    assert not two.matches(KEY, one.digest(KEY), one.newest)
    assert not two.matches(KEY, one.digest(KEY), two.newest)


def test_only_the_very_key_matches(tmp_path: Path) -> None:
    pepper = open_pepper(tmp_path)
    digest = pepper.digest(KEY)
    for other in ("", digest, KEY[:-1], KEY + "0", KEY.lower(), "ä", "\ud800"):
        assert not pepper.matches(other, digest, pepper.newest)


def test_what_is_kept_is_no_plain_hash(tmp_path: Path) -> None:
    assert open_pepper(tmp_path).digest(KEY) != hashlib.sha256(KEY.encode()).hexdigest()


def test_a_new_line_rotates_it_and_keys_kept_under_the_old_one_go_on(tmp_path: Path) -> None:
    old = open_pepper(tmp_path)
    digest = old.digest(KEY)
    file = tmp_path / "pepper"
    file.write_text("ab" * 32 + "\n" + file.read_text())
    both = open_pepper(tmp_path)
    assert both.newest != old.newest
    assert both.matches(KEY, digest, old.newest)
    assert both.digest(KEY) != digest
    file.write_text("ab" * 32 + "\n")
    fresh = open_pepper(tmp_path)
    assert not fresh.knows(old.newest)
    assert not fresh.matches(KEY, digest, old.newest)


def test_a_missing_pepper_matches_nothing_not_even_what_was_made_for_it(tmp_path: Path) -> None:
    import hmac

    forged = hmac.digest(bytes(32), KEY.encode(), "sha256").hex()
    assert not open_pepper(tmp_path).matches(KEY, forged, "00000000")


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_one_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    open_pepper(tmp_path)
    (tmp_path / "pepper").chmod(mode)
    with pytest.raises(Refused, match="chmod 600"):
        open_pepper(tmp_path)


@pytest.mark.parametrize("content", ["", "\n", "ab" * 31, "AB" * 32, "ab" * 33, "é", ("ab" * 32 + "\n") * 17])
def test_one_that_is_none_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pepper"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(Refused, match=f"{file} is not the pepper"):
        open_pepper(tmp_path)
