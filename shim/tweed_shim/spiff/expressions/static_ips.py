"""`static_ips`: addresses from a network's static ranges, chosen by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending
from tweed_shim.spiff.expressions.outcomes import NOTHING, Failure, Info
from tweed_shim.spiff.expressions.references import Reference
from tweed_shim.spiff.tree.nodes import Node, derived
from tweed_shim.spiff.tree.values import Value, is_integer

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_MAX_ADDRESSES = 1 << 20


def addresses(arguments: Sequence[Evaluable], env: Environment) -> tuple[list[Node] | None, Info]:
    """Return the addresses at the given positions, one for each instance; None where they are not known yet."""
    positions: list[int] = []
    for argument in arguments:
        value, info = argument.evaluate(env)
        if pending(value):
            return None, info
        positions += _positions(value)
    if not positions:
        raise Failure("")
    ranges, info = _ranges(env)
    if ranges is None:
        return None, info
    instances, _ = Reference(("instances",)).evaluate(env)
    if not is_integer(instances):
        raise Failure("")
    pool = [address for text in ranges for address in _range(text)]
    if max(positions) >= len(pool):
        raise Failure("")
    if len(positions) < instances:
        raise Failure(f"too less static IPs for {instances} instances")
    return [derived(str(pool[position]), env.source) for position in positions[:instances]], NOTHING


def _positions(value: Value) -> list[int]:
    if is_integer(value):
        return _positive(value)
    if not isinstance(value, list):
        raise Failure("arguments to static_ips must be integer or list of integers")
    return [position for entry in value if entry.value is not None for position in _positions(entry.value)]


def _positive(position: int) -> list[int]:
    if position < 0:
        raise Failure(f"negative ip indices are not allowed: {position}")
    return [position]


def _ranges(env: Environment) -> tuple[list[str] | None, Info]:
    """Return the static ranges of the network that the nearest field `name` names, from all its subnets."""
    name, info = Reference(("name",)).evaluate(env)
    if pending(name):
        return None, info
    if not isinstance(name, str):
        raise Failure("name field must be string")
    subnets, info = Reference(("", "networks", name, "subnets")).evaluate(env)
    if pending(subnets):
        return None, info
    if not isinstance(subnets, list):
        raise Failure("subnets field must be a list")
    return [text for subnet in subnets for text in _static(subnet, name)], NOTHING


def _static(subnet: Node, name: str) -> list[str]:
    if not isinstance(subnet.value, dict):
        raise Failure("subnet must be a map")
    static = subnet.value.get("static")
    if static is None:
        raise Failure(f"no static ips for network {name}")
    if not isinstance(static.value, list):
        raise Failure(f"static ips for network {name} must be a list")
    texts = [entry.value for entry in static.value]
    if not all(isinstance(text, str) for text in texts):
        raise Failure(f"invalid entry for static ips for network {name}")
    return texts


def _range(text: str) -> list[IPv4Address | IPv6Address]:
    import ipaddress

    first, _, last = text.partition("-")
    try:
        start = ipaddress.ip_address(first.strip())
        end = ipaddress.ip_address(last.strip()) if last else start
    except ValueError:
        raise Failure(f"the static range '{text}' is no range of IP addresses") from None
    count = int(end) - int(start) + 1
    if start.version != end.version or not 0 < count <= _MAX_ADDRESSES:
        raise Failure(f"the static range '{text}' is no range of IP addresses")
    return [start + offset for offset in range(count)]
