"""No listed form of a secret passes the mask, however the stream is cut."""

from __future__ import annotations

import base64
import json
import re
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.access import keyform
from dg.core.testing import entropy
from dg.core.types import Environment
from dg.runner.mask import Mask, forms

SECRET = "p@ss/w+rd 'q\" $x"


def _in_pieces(mask: Mask, data: bytes, sizes: list[int]) -> bytes:
    shown, at = b"", 0
    for size in sizes:
        shown += mask.feed(data[at : at + size])
        at += size
    return shown + mask.feed(data[at:]) + mask.flush()


def _whole(secrets: dict[str, str], data: bytes) -> bytes:
    """The definition: every maximal run of bytes that some occurrence of some form covers becomes `***`."""
    covered = [False] * len(data)
    for form in {form for value in secrets.values() for form in forms(value)}:
        for at in range(len(data) - len(form) + 1):
            if data[at : at + len(form)] == form:
                covered[at : at + len(form)] = [True] * len(form)
    for key in re.finditer(f"(?=({keyform.PATTERN}))".encode(), data):
        covered[key.start(1) : key.end(1)] = [True] * len(key[1])
    shown = bytearray()
    for at, byte in enumerate(data):
        if not covered[at]:
            shown.append(byte)
        elif at == 0 or not covered[at - 1]:
            shown += b"***"
    return bytes(shown)


FORMS = {
    "exact": SECRET.encode(),
    "base64": base64.b64encode(SECRET.encode()),
    "base64 of user:secret": base64.b64encode(b"user:" + SECRET.encode()),
    "base64 in the middle": base64.b64encode(b"ab" + SECRET.encode() + b"tail"),
    "urlsafe base64": base64.urlsafe_b64encode(b"a" + SECRET.encode()),
    "url": quote(SECRET, safe="").encode(),
    "url with slashes": quote(SECRET).encode(),
    "url plus": quote_plus(SECRET).encode(),
    "url lower": quote(SECRET, safe="").replace("%2F", "%2f").replace("%2B", "%2b").encode(),
    "json": json.dumps(SECRET).encode(),
    "json with escaped slash": json.dumps(SECRET).replace("/", "\\/").encode(),
    "shell": shlex.quote(SECRET).encode(),
    "shell trace": b"'p@ss/w+rd '\\''q\" $x'",
    "shell backslashes": b"p@ss/w+rd\\ \\'q\\\"\\ \\$x",
    "hex": SECRET.encode().hex().encode(),
    "upper hex": SECRET.encode().hex().upper().encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_is_hidden_also_byte_by_byte(form: str) -> None:
    data = b"before " + FORMS[form] + b" after\n"
    mask = Mask({"password": SECRET})
    at_once = mask.feed(data) + mask.flush()
    assert b"***" in at_once
    assert at_once.startswith(b"before ")
    assert at_once.endswith(b" after\n")
    # Beside the stars only quotes may remain, and characters that a neighbour has a part in.
    assert len(at_once) < len(b"before  after\n") + 3 + 12
    assert _in_pieces(mask, data, [1] * len(data)) == at_once


def test_base64_of_a_long_secret_is_hidden_when_it_is_wrapped() -> None:
    secret = "".join(chr(33 + number * 7 % 90) for number in range(200))
    for width in (64, 76):
        encoded = base64.b64encode(secret.encode())
        lines = [encoded[at : at + width] for at in range(0, len(encoded), width)]
        shown = Mask({"key": secret}).feed(b"\n".join(lines) + b"\n")
        assert not any(line in shown for line in lines if len(line) >= 8)


def test_lines_of_a_key_file_are_hidden_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\nq83vEjRWeJCrze8S\nshort\n-----END KEY-----\n"
    shown = Mask({"key": key}).feed(b"leak: q83vEjRWeJCrze8S\nMIIEowIBAAKCAQEA;short\n")
    assert shown == b"leak: ***\n***;short\n"


def test_non_ascii_json_is_hidden_in_both_spellings() -> None:
    secret = "pässwörd-€"
    mask = Mask({"password": secret})
    for ascii_only in (True, False):
        assert mask.text(json.dumps([secret], ensure_ascii=ascii_only)) == '["***"]'


def test_longer_secret_wins_and_overlaps_leave_nothing() -> None:
    mask = Mask({"a": "abcdef", "b": "abcdefgh", "c": "fghijk"})
    assert mask.text("-abcdefghijk-") == "-***-"
    assert mask.text("-abcdef-") == "-***-"


def test_ordinary_output_is_not_delayed() -> None:
    mask = Mask({"a": "secret-value"})
    assert mask.feed(b"hello sec") == b"hello "
    assert mask.feed(b"ond.") == b"second."


def test_half_a_secret_at_the_end_is_shown() -> None:
    mask = Mask({"a": "secret-value"})
    assert mask.feed(b"secret-va") == b""
    assert mask.flush() == b"secret-va"
    assert mask.feed(b"lue\n") == b"lue\n"


def test_without_secrets_bytes_pass_untouched() -> None:
    chunk = b"anything \x00\xff"
    assert Mask({}).feed(chunk) is chunk


@pytest.mark.parametrize("environment", [None, *Environment])
def test_an_api_key_is_hidden_that_nobody_told_the_mask_of(environment: Environment | None) -> None:
    key = keyform.make(environment, entropy()).encode()
    for data in (b"DG_TOKEN=" + key + b"\n", key, b"dgk_dgk_" + key + b"dgk_prod_", b"_" + key * 2):
        shown = _whole({}, data)
        assert b"***" in shown
        assert key not in shown
        assert _in_pieces(Mask({}), data, []) == shown
        assert _in_pieces(Mask({}), data, [1] * len(data)) == shown


def test_what_only_begins_like_an_api_key_is_shown() -> None:
    key = keyform.make(Environment.PRODUCTION, entropy()).encode()
    for data in (key[:-1], key[:9] + b"-" + key[10:], key.replace(b"prod", b"test"), b"dgk_prod_ and words"):
        assert _in_pieces(Mask({}), data, [3] * len(data)) == data


def test_a_key_that_begins_in_the_end_of_another_is_hidden_too() -> None:
    key = keyform.make(Environment.PRODUCTION, entropy()).encode()
    data = key[:-3] + key + b"."
    for sizes in ([], [1] * len(data), [len(key)]):
        assert _in_pieces(Mask({}), data, sizes) == b"***."


@given(
    parts=st.lists(
        st.sampled_from([b"dgk_", b"dev_", b"_prod", b"all", b"Z" * 32, b"_", b"1" * 6, b"d", b"-"])
    ),
    sizes=st.lists(st.integers(1, 60), max_size=40),
)
def test_chunk_borders_change_nothing_about_api_keys(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    assert _in_pieces(Mask({"any": "all_ZZ"}), data, sizes) == _whole({"any": "all_ZZ"}, data)
    assert _in_pieces(Mask({}), data, sizes) == _whole({}, data)


@given(
    secrets=st.lists(st.text(alphabet="ab\n ", min_size=6, max_size=14), min_size=1, max_size=3),
    data=st.text(alphabet="ab\n %20", max_size=200),
    sizes=st.lists(st.integers(1, 30), max_size=40),
)
def test_chunk_borders_change_nothing(secrets: list[str], data: str, sizes: list[int]) -> None:
    named = {str(number): secret for number, secret in enumerate(secrets)}
    raw = data.encode()
    assert _in_pieces(Mask(named), raw, sizes) == _whole(named, raw)


@given(
    secret=st.text(min_size=6, max_size=40).filter(lambda text: len(text.strip().encode()) >= 6),
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
    sizes=st.lists(st.integers(1, 20), max_size=30),
)
def test_any_secret_in_any_surroundings_is_hidden(
    secret: str, before: bytes, after: bytes, sizes: list[int]
) -> None:
    mask = Mask({"any": secret})
    shown = _in_pieces(mask, before + secret.encode() + after, sizes)
    assert shown == _whole({"any": secret}, before + secret.encode() + after)
    assert b"***" in shown
