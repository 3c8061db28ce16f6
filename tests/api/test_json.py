from __future__ import annotations

import pytest

from dg.api import json
from dg.core.errors import Invalid

HOSTILE = {
    "nothing": b"",
    "half": b'{"a": 1',
    "two values": b"{} {}",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "infinite by size": b'{"a": 1e999}',
    "over 64 bits": b'{"a": 9223372036854775808}',
    "under 64 bits": b'{"a": -9223372036854775809}',
    "a million digits": b'{"a": ' + b"9" * 1_000_000 + b"}",
    "duplicate keys": b'{"a": 1, "a": 2}',
    "duplicate keys deep down": b'{"b": [{"a": 1, "\\u0061": 2}]}',
    "lone surrogate": b'{"a": "\\ud800"}',
    "lone surrogate in a key": b'{"\\udfff": 1}',
    "NUL": b'{"a": "x\\u0000"}',
    "raw NUL": b'{"a": "x\x00"}',
    "raw line feed": b'{"a": "x\n"}',
    "not UTF-8": b'{"a": "\xff"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "too deep": b"[" * 33 + b"]" * 33,
    "far too deep": b"[" * 400_000,
    "single quotes": b"{'a': 1}",
    "trailing comma": b'{"a": 1,}',
    "comment": b"{} // x",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_parsers_disagree_about_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        json.read(body)
    assert refusal.value.status == 400
    assert refusal.value.reason == "bad_json"
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' {"a": [1, -2.5e3, true, null]} ', {"a": [1, -2500.0, True, None]}),
        (b'{"a": 9223372036854775807, "b": -9223372036854775808}', {"a": 2**63 - 1, "b": -(2**63)}),
        ('{"a": "\N{WARNING SIGN}"}'.encode(), {"a": "\N{WARNING SIGN}"}),
        (b'{"a": "\\ud83d\\ude80"}', {"a": "\N{ROCKET}"}),
        (b"[" * 32 + b"]" * 32, None),
        (b"[" + b"[],[],[]," * 20 + b"[]]", [[]] * 61),
    ],
)
def test_honest_json_is_read(body: bytes, value: object) -> None:
    found = json.read(body)
    assert value is None or found == value


def test_canonical_form_ignores_order_and_spacing() -> None:
    assert json.canonical(json.read(b'{"a": 1, "b": [2]}')) == json.canonical(json.read(b'{"b":[2],"a":1}'))
