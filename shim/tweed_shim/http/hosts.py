"""Host names and addresses: one grammar for references, URLs and the keys of credentials.

This module is on the warm path: every `exec` of an image from a registry parses a host. It imports next to nothing.
"""

from tweed_shim.base.text import ALPHANUMERIC, DIGITS, HEXADECIMAL, made_of

LONGEST_HOST = 253
LONGEST_LABEL = 63
HTTPS_PORT = "443"
DOCKER_HUB = "docker.io"
HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})

_IPV6_LOOPBACK = 1


def split(text: str) -> tuple[str, str | None] | None:
    """Split `host[:port]` into its parts; return None for text of another form. The port is 1 to 5 digits."""
    host, colon, port = ("", "", "") if text.endswith("]") else text.rpartition(":")
    if not colon:
        return (text, None) if is_host(text) else None
    return (host, port) if is_host(host) and made_of(DIGITS, port) and len(port) <= 5 else None


def is_host(text: str, *, underscores: bool = False) -> bool:
    """Tell whether a text is a name (RFC 1123, section 2.1), an IPv4 address or an IPv6 address in brackets.

    underscores: allow them in names, where DNS has them and RFC 1123 does not. A name whose last label is a number is
    refused unless it is an IPv4 address of four plain numbers: inet_aton(3) reads `127.1`, `0x7f000001` and
    `017700000001` as addresses, and code that compares host names does not.
    """
    if text.startswith("["):
        return ipv6(text) is not None
    labels = text.split(".")
    letters = ALPHANUMERIC + "-_" if underscores else ALPHANUMERIC + "-"
    if len(text) > LONGEST_HOST or not all(_is_label(each, letters) for each in labels):
        return False
    return not _is_number(labels[-1]) or _is_ipv4(labels)


def is_loopback(text: str) -> bool:
    """Tell whether `host[:port]` is a loopback name or address: `localhost`, 127.0.0.0/8 or `[::1]`."""
    parts = split(text)
    if parts is None:
        return False
    host = parts[0]
    if host.startswith("["):
        return ipv6(host) == _IPV6_LOOPBACK
    labels = host.split(".")
    return host.lower() == "localhost" or (_is_ipv4(labels) and labels[0] == "127")


def canonical(host: str) -> str:
    """Return the canonical spelling of a host: lower case, no final dot, and an IPv6 address in its short form."""
    if host.startswith("["):
        number = ipv6(host)
        return host.lower() if number is None else f"[{_short_ipv6(number)}]"
    return host.lower().removesuffix(".")


def comparable(text: str) -> str:
    """Return `host[:port]` with a canonical host and without port 443, as credentials are looked up."""
    host, colon, port = ("", "", "") if text.endswith("]") else text.rpartition(":")
    if not colon or not made_of(DIGITS, port):
        return canonical(text)
    port = port.lstrip("0")
    return canonical(host) if port == HTTPS_PORT else f"{canonical(host)}:{port}"


def ipv6(host: str) -> int | None:
    """Return the address in brackets as a number; None for other text, scopes and dotted tails included."""
    text = host.removeprefix("[").removesuffix("]")
    if len(text) != len(host) - 2 or not made_of(HEXADECIMAL + "ABCDEF:", text):
        return None
    import ipaddress

    try:
        return int(ipaddress.IPv6Address(text))
    except ValueError:
        return None


def _short_ipv6(number: int) -> str:
    """Write an address as RFC 5952 says, always in hexadecimal: Python 3.13 writes IPv4-mapped ones with dots."""
    groups = [f"{number >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)]
    text = ":".join(groups)
    for count in range(8, 1, -1):
        zeros = ":".join("0" * count)
        before, separator, after = f":{text}:".partition(f":{zeros}:")
        if separator:
            return f"{before.removeprefix(':')}::{after.removesuffix(':')}"
    return text


def _is_label(text: str, letters: str) -> bool:
    return made_of(letters, text) and text == text.strip("-") and len(text) <= LONGEST_LABEL


def _is_number(label: str) -> bool:
    """Tell whether inet_aton(3) may read a label as a number."""
    return made_of(DIGITS, label) or (
        label[:2].lower() == "0x" and not label[2:].strip(HEXADECIMAL + "ABCDEF")
    )


def _is_ipv4(labels: list[str]) -> bool:
    return len(labels) == 4 and all(
        made_of(DIGITS, each) and len(each) <= 3 and str(int(each)) == each and int(each) < 256
        for each in labels
    )


def normalize_hub(registry: str) -> str:
    """Return `docker.io` for any of Docker Hub's names, and any other registry unchanged."""
    return DOCKER_HUB if registry.lower() in HUB_NAMES else registry
