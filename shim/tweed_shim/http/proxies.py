"""Which proxy a request goes through: what the environment says, read as Go's programs (docker, podman, crane) read it.

`https_proxy` is for https addresses and `http_proxy` for http ones, the upper-case name first; `all_proxy`, which Go
does not know and curl does, for what neither says. `no_proxy` is a list of what is asked directly: `*`, a host with its
subdomains (`example.org`), subdomains alone (`.example.org`, `*.example.org`), an IP address, a network (`10.0.0.0/8`,
`fd00::/8`), each but the network with a port where one is meant (`example.org:5000`, `[fd00::1]:5000`). This machine is
always asked directly. Source: golang.org/x/net/http/httpproxy.

In a CGI program HTTP_PROXY is the header `Proxy` of whoever sent the request, so it is not read there (httpoxy.org).
"""

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote, unquote

from tweed_shim.base.records import Record
from tweed_shim.errors import BadUrl, ConfigError
from tweed_shim.http import urls
from tweed_shim.http.urls import Origin

KINDS = ("http", "https")


class Proxy(Record):
    """A proxy, and the variable that names it. scheme is http or https; the user name may be empty."""

    HIDDEN = ("username", "password")

    variable: str
    origin: Origin
    username: str = ""
    password: str = ""

    @property
    def url(self) -> str:
        """The address, with what the proxy is told about its user."""
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.username else ""
        return f"{self.origin.scheme}://{user}{self.origin.host}:{self.origin.port}"


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for requests to an origin, None where they go directly.

    Raises ConfigError, without repeating the value, for a variable that names none.
    """
    if origin.is_loopback or is_direct(origin, _value(environ, "no_proxy")[1]):
        return None
    for name in (f"{origin.scheme}_proxy", "all_proxy"):
        variable, value = _value(environ, name)
        if value:
            return _parse(variable, value)
    return None


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable, in upper or in lower case, that is set, and its value."""
    names = [name.upper(), name]
    if name == "http_proxy" and environ.get("REQUEST_METHOD"):
        names = [name]
    return next(((each, value) for each in names if (value := environ.get(each, "").strip())), (name, ""))


def _parse(variable: str, value: str) -> Proxy:
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    scheme = scheme.lower()
    if scheme not in KINDS:
        raise _nonsense(variable, "it is of another kind than http:// and https://")
    user, at, address = rest.rpartition("@")
    # A path means nothing to a proxy; one that begins before the user ends is a password with a slash in it.
    authority = (address if at else rest).partition("/")[0]
    if at and set(user) & set("/?#"):
        raise _nonsense(
            variable, "its user name or password has one of / ? # in it, which are written %2F %3F %23"
        )
    try:
        origin = urls.parse(f"{scheme}://{authority}/").origin
    except BadUrl as error:
        raise _nonsense(variable, str(error)) from None
    name, _, password = user.partition(":")
    return Proxy(variable, origin, unquote(name), unquote(password))


def _nonsense(variable: str, reason: str) -> ConfigError:
    return ConfigError(
        f"${variable} names no proxy that can be used: {reason}; write http://[USER:PASSWORD@]HOST:PORT, or unset it"
    )


def is_direct(origin: Origin, no_proxy: str) -> bool:
    """Tell whether a list as in `no_proxy` names an origin; what is malformed in it is passed over, as Go does."""
    address = _address(origin.host)
    return any(
        _names(entry.strip().lower(), origin, address) for entry in no_proxy.split(",") if entry.strip()
    )


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _names(entry: str, origin: Origin, address: _Address | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        with suppress(ValueError):
            network = ipaddress.ip_network(entry, strict=False)
            return address is not None and address.version == network.version and address in network
        return False
    host, port = _split(entry)
    if port not in ("", str(origin.port)):
        return False
    if (named := _address(host)) is not None:
        return named == address
    return address is None and _is_domain_of(host, origin.host)


def _split(entry: str) -> tuple[str, str]:
    """`HOST[:PORT]`, where an IPv6 address without brackets has no port."""
    host, colon, port = ("", "", "") if entry.endswith("]") else entry.rpartition(":")
    if not colon or ":" in host.partition("]")[2] or (":" in host and not host.startswith("[")):
        return entry, ""
    return host, port


def _is_domain_of(entry: str, host: str) -> bool:
    domain = (entry[1:] if entry.startswith("*.") else entry).removesuffix(".")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode() if not domain.isascii() else domain
    if domain.startswith("."):
        return host.endswith(domain)
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _address(host: str) -> _Address | None:
    """The IP address that a host is; one of IPv4 that is written as IPv6 is the former."""
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
