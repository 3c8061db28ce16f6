"""The form of an API key: what is one, and what is mistyped, cut or never was one."""

from __future__ import annotations

import math
import os
import re

import pytest

from dg.core.access import keyform
from dg.core.testing import entropy
from dg.core.types import Environment

KEY = keyform.make(Environment.PRODUCTION, lambda size: bytes(range(7, 7 + size)))


@pytest.mark.parametrize(
    ("environment", "begin"),
    [
        (Environment.DEVELOPMENT, "dgk_dev_"),
        (Environment.STAGING, "dgk_stg_"),
        (Environment.PRODUCTION, "dgk_prod_"),
        (None, "dgk_all_"),
    ],
)
def test_a_key_says_which_environment_it_is_for(environment: Environment | None, begin: str) -> None:
    key = keyform.make(environment, os.urandom)
    assert key.startswith(begin)
    assert re.fullmatch(keyform.PATTERN, key)
    assert len(key) <= keyform.LONGEST
    assert keyform.is_sound(key)


def test_no_key_comes_twice() -> None:
    draw = entropy()
    assert len({keyform.make(None, draw) for _ in range(1000)}) == 1000


def test_a_key_is_the_same_in_every_version() -> None:
    """Whoever changes the form voids every key that is in use."""
    assert KEY == "dgk_prod_DhLntdo4Vkkz8dh87FDdGxriYMLKud0g_17K3gA"
    assert keyform.public_part(KEY) == "dgk_prod_DhLntdo4Vk"


def test_what_stays_hidden_cannot_be_guessed() -> None:
    hidden = len(KEY.removeprefix(keyform.public_part(KEY)).partition("_")[0])
    assert hidden * math.log2(62) >= 128


@pytest.mark.parametrize("at", range(len(KEY)))
def test_one_mistyped_character_is_noticed(at: int) -> None:
    for other in "aZ0_-":
        if other != KEY[at]:
            assert not keyform.is_sound(KEY[:at] + other + KEY[at + 1 :])


@pytest.mark.parametrize("at", range(len(KEY) - 1))
def test_two_exchanged_characters_are_noticed(at: int) -> None:
    exchanged = KEY[:at] + KEY[at + 1] + KEY[at] + KEY[at + 2 :]
    assert exchanged == KEY or not keyform.is_sound(exchanged)


@pytest.mark.parametrize(
    "other",
    [
        "",
        "dgk_",
        KEY[:-1],
        KEY + "0",
        KEY + "\n",
        " " + KEY,
        KEY.upper(),
        KEY.replace("dgk_prod", "dgk_test"),
        KEY.replace("dgk_prod", "dgk_stg"),
        KEY.replace("4", "\N{ARABIC-INDIC DIGIT ZERO}"),
        KEY.replace("h", "\N{CYRILLIC SMALL LETTER SHHA}"),
        KEY * 1000,
    ],
)
def test_what_is_none(other: str) -> None:
    assert not keyform.is_sound(other)
