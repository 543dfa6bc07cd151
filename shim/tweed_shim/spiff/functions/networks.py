"""IP addresses and CIDRs: first and last addresses, and sets of addresses from ranges."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Any

from tweed_shim.base.records import Record
from tweed_shim.spiff.functions.arguments import LARGEST
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.values import Fault, Value, is_integer

Address = IPv4Address | IPv6Address
# No deployment has more addresses in a set: a larger number is a typing error.
_MOST_ADDRESSES = 1_000_000


def parse_ip(text: str) -> Address:
    """Read an IP address without a zone. An IPv4 address mapped into IPv6 is the IPv4 address. Raises ValueError."""
    if "%" in text:
        raise ValueError(text)
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def parse_cidr(text: str) -> IPv4Interface | IPv6Interface:
    """Read an IP address with the length of its network's prefix. Raises ValueError."""
    address, slash, bits = text.partition("/")
    if not (slash and bits.isascii() and bits.isdigit() and "%" not in address):
        raise ValueError(f"invalid CIDR address: {text}")
    try:
        return ip_interface(text)
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}") from None


def _cidr(value: Value) -> Any:
    try:
        return parse_cidr(value if isinstance(value, str) else "")
    except ValueError:
        raise Fault("CIDR argument required") from None


@function("min_ip", 1, 1)
def min_ip(call: Call, cidr: Value) -> Value:
    """Return the first address of a CIDR."""
    return str(_cidr(cidr).network.network_address)


@function("max_ip", 1, 1)
def max_ip(call: Call, cidr: Value) -> Value:
    """Return the last address of a CIDR."""
    return str(_cidr(cidr).network.broadcast_address)


@function("num_ip", 1, 1)
def num_ip(call: Call, cidr: Value) -> Value:
    """Return how many addresses a CIDR has."""
    count = _cidr(cidr).network.num_addresses
    if count > LARGEST:
        raise Fault(f"{cidr} has more addresses than an integer can count")
    return count


@function("contains_ip", 2, 2)
def contains_ip(call: Call, cidr: Value, address: Value) -> Value:
    """Return whether an address is in a CIDR."""
    if not isinstance(cidr, str):
        raise Fault("CIDR required as first argument")
    if not isinstance(address, str):
        raise Fault("IP required as second argument")
    try:
        network: Any = parse_cidr(cidr).network
    except ValueError as error:
        raise Fault(f"CIDR argument required: {error}") from None
    try:
        return parse_ip(address) in network
    except ValueError:
        raise Fault(f"IP argument required: {address}") from None


class _Range(Record):
    first: Address
    size: int

    def address(self, offset: int) -> str:
        return str(type(self.first)(int(self.first) + offset))


def _range(text: str) -> _Range:
    """Read a CIDR, an address, or two addresses with a dash between them. Raises Fault."""
    try:
        network: Any = parse_cidr(text).network
        return _Range(network.network_address, network.num_addresses)
    except ValueError:
        bounds = [_bound(part) for part in text.split("-")[:2]]
    first, last = bounds[0], bounds[-1]
    if first.version != last.version:
        raise Fault("IP type mismatch")
    if int(first) > int(last):
        raise Fault(f"invalid IP range: start ({first}) larger than end ({last})")
    return _Range(first, int(last) - int(first) + 1)


def _bound(text: str) -> Address:
    try:
        return parse_ip(text.strip(" "))
    except ValueError:
        raise Fault(f"invalid IP '{text}'") from None


def _ranges(value: Value) -> list[_Range]:
    if isinstance(value, str):
        return [_range(value)]
    if not isinstance(value, list):
        raise Fault("ip range or range list expected as first argument")
    for position, entry in enumerate(value):
        if not isinstance(entry, str):
            raise Fault(f"string entry required at ip range list index {position}")
    return [_range(entry) for entry in value]


def _indices(value: Value) -> list[int]:
    if isinstance(value, list):
        return [index for entry in value if entry is not None for index in _indices(entry)]
    if not is_integer(value):
        raise Fault("arguments to ipset must be integer or list of integers")
    if value < 0:
        raise Fault(f"negative ip indices are not allowed: {value}")
    return [value]


@function("ipset", 2)
def ipset(call: Call, ranges: Value, count: Value, *indices: Value) -> Value:
    """Return `count` addresses of ranges: the first ones, or those at the given indices."""
    pool = _ranges(ranges)
    wanted = [index for argument in indices for index in _indices(argument)]
    if not is_integer(count) or not 0 <= count <= _MOST_ADDRESSES:
        raise Fault("number of IPs in set expected as second argument")
    if indices and len(wanted) < count:
        raise Fault(f"too many required entries ({count} > {len(wanted)} available indices)")
    return [_pick(pool, at, wanted[at] if indices else at) for at in range(count)]


def _pick(pool: list[_Range], position: int, index: int) -> str:
    offset = 0
    for part in pool:
        if index < offset + part.size:
            return part.address(index - offset)
        offset += part.size
    raise Fault(f"ip index {position} ({index}) out of range ({offset} IP(s) available in ranges)")
