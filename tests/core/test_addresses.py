"""Which addresses lie inside."""

from __future__ import annotations

import ipaddress

import pytest

from dg.core import addresses

PUBLIC = ("93.184.216.34", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1")
INSIDE = (
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2002:7f00:1::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_fine(text: str) -> None:
    assert addresses.objection(addresses.read(text), ()) is None


@pytest.mark.parametrize("text", INSIDE)
def test_an_address_inside_is_not(text: str) -> None:
    assert addresses.objection(addresses.read(text), ()) is not None


@pytest.mark.parametrize("text", INSIDE)
def test_an_address_inside_is_fine_when_it_is_listed(text: str) -> None:
    listed = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    assert addresses.objection(addresses.read(text), listed) is None


@pytest.mark.parametrize("text", ["64:ff9b::7f00:1", "2002:7f00:1::1"])
def test_a_translation_that_is_listed_still_leads_nowhere_inside(text: str) -> None:
    listed = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))
    found = addresses.objection(addresses.read(text), listed)
    assert found is not None
    assert str(found[0]) == "127.0.0.1"


def test_a_translation_that_is_listed_leads_outside() -> None:
    listed = (ipaddress.ip_network("64:ff9b::/96"),)
    assert addresses.objection(addresses.read("64:ff9b::101:101"), listed) is None


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_neighbours_in_ipv6_count_as_one(text: str, counted: str) -> None:
    assert addresses.neighbours(addresses.read(text)) == counted


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine_is_told_by_name_and_address(host: str) -> None:
    assert addresses.is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.example.org", "192.0.2.7", "2130706433"])
def test_no_other_name_means_this_machine(host: str) -> None:
    assert not addresses.is_loopback(host)
