"""Arithmetic on IP addresses and CIDRs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from tweed_shim.spiff.tree.values import Fault, Value, is_integer

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

    Address = IPv4Address | IPv6Address
    Interface = IPv4Interface | IPv6Interface


def parse(text: str) -> tuple[Address, Interface | None]:
    """Read an IP address, or a CIDR: return its address, and the CIDR or None. Raises ValueError."""
    import ipaddress

    if "/" not in text:
        return ipaddress.ip_address(text), None
    address, _, bits = text.partition("/")
    if not (bits.isascii() and bits.isdigit()):
        raise ValueError
    ipaddress.ip_address(address)
    interface = ipaddress.ip_interface(text)
    return interface.ip, interface


def _cidr(text: str, operation: str) -> Interface:
    try:
        interface = parse(text)[1]
    except ValueError:
        interface = None
    if interface is None:
        raise Fault(f"first argument of {operation} must be CIDR or number: invalid CIDR address: {text}")
    return interface


def _moved(address: Address, offset: int) -> Address:
    return type(address)((int(address) + offset) % (1 << address.max_prefixlen))


def add(left: str, right: Value) -> Value:
    """Add an integer to an IP address, or to a CIDR's address, which then has to stay within the CIDR."""
    try:
        address, interface = parse(left)
    except ValueError:
        raise Fault("first argument for addition must be IP address, CIDR or number") from None
    if not is_integer(right):
        raise Fault("addition argument for an IP address requires an integer argument")
    return _within(_moved(address, right), interface)


def _within(address: Address, interface: Interface | None) -> str:
    if interface is None:
        return str(address)
    if address not in interface.network:
        raise Fault("resulting ip address not in CIDR range")
    return f"{address}/{interface.network.prefixlen}"


def subtract(left: str, right: Value) -> Value:
    """Subtract an integer from an IP address as `add` does, or count the addresses from one to another."""
    try:
        address, interface = parse(left)
    except ValueError:
        raise Fault("first argument for substraction must be IP address, CIDR or number") from None
    if is_integer(right):
        return _within(_moved(address, -right), interface)
    if not isinstance(right, str):
        raise Fault("second argument of IP address subtraction must be IP address or integer")
    try:
        other, _ = parse(right)
    except ValueError:
        raise Fault("second argument for substraction must be IP address, CIDR or number") from None
    if other.version != address.version:
        raise Fault(f"IP type mismatch ({address.max_prefixlen // 8} != {other.max_prefixlen // 8})")
    return int(address) - int(other)


def multiply(left: str, right: Value) -> Value:
    """Return the network of the same size that is `right` networks behind the CIDR's own."""
    network = _cidr(left, "multiplication").network
    if not is_integer(right):
        raise Fault("CIDR multiplication requires an integer argument")
    return f"{_moved(network.network_address, network.num_addresses * right)}/{network.prefixlen}"


def divide(left: str, right: Value) -> Value:
    """Return the first network where a CIDR is divided into `right` ones, rounded up to a power of two."""
    network = _cidr(left, "division").network
    if not is_integer(right):
        raise Fault("IP address division requires an integer argument")
    if right < 1:
        raise Fault("IP address division requires a positive integer argument")
    bits = network.prefixlen + math.ceil(math.log2(right)) if right > 1 else network.prefixlen
    if bits > network.max_prefixlen:
        raise Fault("divisor too large for CIDR network size")
    return f"{network.network_address}/{bits}"


OPERATIONS: dict[str, Callable[[str, Value], Value]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
}
