"""Network addresses: how they are read and counted, and which lie outside: where dg may send by itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SPECIAL: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "no address of a host"),
    ("10.0.0.0/8", "a private address"),
    ("100.100.100.200/32", "the metadata of a cloud"),
    ("100.64.0.0/10", "an address behind a carrier's NAT"),
    ("127.0.0.0/8", "this machine itself"),
    ("168.63.129.16/32", "the metadata of a cloud"),
    ("169.254.0.0/16", "a link-local address, where clouds keep their metadata"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "an address for protocols"),
    ("192.0.2.0/24", "an address for documentation"),
    ("192.88.99.0/24", "a relay between IPv6 and IPv4"),
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "an address for benchmarks"),
    ("198.51.100.0/24", "an address for documentation"),
    ("203.0.113.0/24", "an address for documentation"),
    ("224.0.0.0/4", "a multicast address"),
    ("240.0.0.0/4", "a reserved address"),
    ("::/128", "no address of a host"),
    ("::1/128", "this machine itself"),
    ("64:ff9b::/96", "a translation to IPv4 (NAT64)"),
    ("64:ff9b:1::/48", "a translation to IPv4 (NAT64)"),
    ("2001::/23", "an address for protocols"),
    ("2001:db8::/32", "an address for documentation"),
    ("2002::/16", "a tunnel to IPv4 (6to4)"),
    ("3fff::/20", "an address for documentation"),
    ("fd00:ec2::254/128", "the metadata of a cloud"),
    ("fc00::/7", "a private address"),
    ("fe80::/10", "a link-local address"),
    ("ff00::/8", "a multicast address"),
)
"""IANA's registries of special-purpose addresses, and some clouds' own, each before what it lies in. Not the
answers of `ipaddress`, which differ between the versions of Python."""

_REFUSED = tuple((ipaddress.ip_network(network), what) for network, what in _SPECIAL)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def read(text: str) -> Ip:
    """The address, an IPv4 one that is written as IPv6 (`::ffff:127.0.0.1`) as what the kernel makes of it.

    Raises ValueError.
    """
    found = ipaddress.ip_address(text.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def neighbours(address: Ip) -> str:
    """What an address is counted as: one customer of an IPv6 provider has a whole /64, and so addresses
    without end.
    """
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def is_loopback(host: str) -> bool:
    """Whether the host of a URL is this machine itself, by the one name that means it or by address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def objection(address: Ip, allowed: Iterable[Network]) -> tuple[Ip, str] | None:
    """The address that is inside, and what it is; None when `address` is public or `allowed` has it.

    One that carries an IPv4 address in it must pass as both.
    """
    for each in _meant(address):
        what = _inside(each)
        if what and not any(each in network for network in allowed):
            return each, what
    return None


def _meant(address: Ip) -> Iterator[Ip]:
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            yield address.sixtofour
        if address in _NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _inside(address: Ip) -> str | None:
    for network, what in _REFUSED:
        if address in network:
            return what
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return "a reserved address"
    return None
