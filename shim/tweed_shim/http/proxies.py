"""The proxy for a request, read from the environment as programs in Go (docker, podman, crane) read it.

`https_proxy` is for https URLs and `http_proxy` for http URLs; the upper-case name is read first. `all_proxy`, which
curl knows and Go does not, is for a scheme without a variable of its own. `no_proxy` lists the servers that are reached
directly: `*`, a host with its subdomains (`example.org`), subdomains alone (`.example.org`, `*.example.org`), an IP
address, or a network (`10.0.0.0/8`, `fd00::/8`). All but networks may have a port (`example.org:5000`,
`[fd00::1]:5000`). A loopback address is always reached directly. Source: golang.org/x/net/http/httpproxy.

In a CGI program HTTP_PROXY holds the request header `Proxy`, which the client chose, so it is not read there
(httpoxy.org).
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
    """A proxy, and the environment variable that names it. The user name may be empty."""

    HIDDEN = ("username", "password")

    variable: str
    origin: Origin
    username: str = ""
    password: str = ""

    @property
    def url(self) -> str:
        """The URL, with the user name and the password."""
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.username else ""
        return f"{self.origin.scheme}://{user}{self.origin.host}:{self.origin.port}"


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for requests to an origin; None where they go directly.

    Raises ConfigError for a malformed variable. The message does not repeat the value, which may hold a password.
    """
    if origin.is_loopback or is_direct(origin, _value(environ, "no_proxy")[1]):
        return None
    for name in (f"{origin.scheme}_proxy", "all_proxy"):
        variable, value = _value(environ, name)
        if value:
            return _parse(variable, value)
    return None


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the name of the variable that is set, in upper or lower case, and its value."""
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
        raise _bad_proxy(variable, "only http:// and https:// proxies are supported")
    user, at, address = rest.rpartition("@")
    # A path has no meaning for a proxy. A slash before the "@" is part of a password that is not percent-encoded.
    authority = (address if at else rest).partition("/")[0]
    if at and set(user) & set("/?#"):
        raise _bad_proxy(
            variable, "its user name or password holds / ? or #, which have to be written %2F %3F %23"
        )
    try:
        origin = urls.parse(f"{scheme}://{authority}/").origin
    except BadUrl as error:
        raise _bad_proxy(variable, str(error)) from None
    name, _, password = user.partition(":")
    return Proxy(variable, origin, unquote(name), unquote(password))


def _bad_proxy(variable: str, reason: str) -> ConfigError:
    return ConfigError(
        f"${variable} does not name a proxy: {reason}; write http://[USER:PASSWORD@]HOST:PORT, or unset it"
    )


def is_direct(origin: Origin, no_proxy: str) -> bool:
    """Tell whether a `no_proxy` list names an origin. Malformed entries are ignored, as Go does."""
    address = _address(origin.host)
    return any(
        _matches(entry.strip().lower(), origin, address) for entry in no_proxy.split(",") if entry.strip()
    )


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _matches(entry: str, origin: Origin, address: _Address | None) -> bool:
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
    """Split `HOST[:PORT]`; an IPv6 address without brackets has no port."""
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
    """Return a host as an IP address, None for a name. An IPv4-mapped IPv6 address becomes the IPv4 address."""
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
