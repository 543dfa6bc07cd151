"""What the network raises, as sentences: which fault may pass, and what a caller can do about the others."""

import http
import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3

from tweed_shim import urls
from tweed_shim.errors import BadUrl, RegistryError
from tweed_shim.image.proxies import Proxy
from tweed_shim.image.transfer_rate import TooSlow
from tweed_shim.option_names import option

# What OpenSSL calls an answer that is no TLS; the name depends on its version.
NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})
# What a server says that wants another certificate of its client (RFC 8446, section 6.2), in OpenSSL's words.
WANTS_CERTIFICATE = frozenset(
    {
        *("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE", "TLSV1_ALERT_UNKNOWN_CA"),
        *("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "SSLV3_ALERT_CERTIFICATE_EXPIRED", "TLSV1_ALERT_ACCESS_DENIED"),
        *("SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    }
)
# As http.client says that a proxy makes no tunnel.
_NO_TUNNEL = re.compile("Tunnel connection failed: ([0-9]{3})")
NETWORK_FAULTS = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError)


class PassingFault(RegistryError):
    """What may go better at another try; `retry_after` is how many seconds the server asked for, if any."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SlowServer(PassingFault):
    """A server answers at less than the lowest rate; another connection may be faster."""


def host_of(url: str) -> str:
    """Return `host[:port]` of a URL that was requested, to be named in a message."""
    try:
        return urls.parse(url).origin.netloc
    except BadUrl:
        # Nothing of it is shown: it may hold a secret.
        return "of a malformed address"


def check_passing(response: requests.Response) -> None:
    """Raise PassingFault where the server says that it cannot answer now (429, 5xx)."""
    status = response.status_code
    if status != http.HTTPStatus.TOO_MANY_REQUESTS and status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return
    response.close()
    retry_after = _retry_after(response.headers.get("Retry-After", ""))
    host = host_of(response.url)
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        raise PassingFault(
            f"the registry {host} is asked too often (HTTP 429): try again later or log in",
            retry_after=retry_after,
        )
    raise PassingFault(
        f"the registry {host} has a fault (HTTP {status}): try again later", retry_after=retry_after
    )


@contextmanager
def explained(host: str) -> Iterator[None]:
    """Turn what the network raises into a RegistryError; `host` is named where the request is not known."""
    try:
        yield
    except NETWORK_FAULTS as error:
        request = getattr(error, "request", None)
        raise _explain(error, host_of(request.url) if request is not None and request.url else host) from None


@contextmanager
def explained_proxy(proxy: Proxy, host: str) -> Iterator[None]:
    """Turn what a proxy is at fault for into a RegistryError, which names its variable; `host` is behind it."""
    try:
        yield
    except requests.exceptions.ConnectionError as error:
        causes = list(_causes(error))
        refusals = [match for each in causes if (match := _NO_TUNNEL.match(str(each)))]
        if refusals:
            status = int(refusals[0][1])
            if status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
                raise proxy_refusal(proxy) from None
            raise PassingFault(
                f"the proxy {proxy.origin} (${proxy.variable}) does not connect to {host} (HTTP {status}): "
                f"check ${proxy.variable} and $no_proxy"
            ) from None
        if isinstance(error, requests.exceptions.ProxyError):
            raise _explain_proxy(causes, proxy) from None
        raise


def proxy_refusal(proxy: Proxy) -> RegistryError:
    """Return the error of a proxy that asks who is calling (HTTP 407)."""
    what = "refuses the user name and password" if proxy.username else "asks for a user name and a password"
    return RegistryError(
        f"the proxy {proxy.origin} {what} (HTTP 407): write http://USER:PASSWORD@HOST:PORT in ${proxy.variable}"
    )


def _explain_proxy(causes: list[BaseException], proxy: Proxy) -> RegistryError:
    what = f"the proxy {proxy.origin} (${proxy.variable})"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RegistryError(
                f"the certificate of {what} is not trusted ({cause.verify_message}): "
                f"name the authority that signed it with $SSL_CERT_FILE or {option('--ca-file')}"
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in NOT_TLS:
            return RegistryError(f"{what} speaks no TLS: write http:// in ${proxy.variable}")
        if isinstance(cause, socket.gaierror):
            return RegistryError(f"{what} has no address: check its name")
    return PassingFault(f"nobody answers at {what}: check ${proxy.variable} and $no_proxy")


def _retry_after(value: str) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, section 10.2.3), or None where it says nothing of use."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what is wrapped in it: requests and urllib3 put causes in several places."""
    pending, seen = [error], set()
    while pending:
        each = pending.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        wrapped = (getattr(each, "reason", None), each.__cause__, *each.args)
        pending += [inner for inner in wrapped if isinstance(inner, BaseException)]


def _explain(error: Exception, host: str) -> RegistryError:
    causes = list(_causes(error))
    for kind, explain in _EXPLANATIONS:
        for cause in causes:
            if isinstance(cause, kind):
                return explain(cause, host)
    return PassingFault(f"the connection to the registry {host} broke: try again")


def _explain_tls(error: Any, host: str) -> RegistryError:
    if error.reason in NOT_TLS:
        return RegistryError(
            f"the registry {host} speaks no TLS: use {option('--insecure')} if plain HTTP is meant, or mend the port"
        )
    if error.reason in WANTS_CERTIFICATE:
        return RegistryError(
            f"the registry {host} asks for the certificate of a client that it knows ({error.reason}): "
            f"name yours with {option('--cert-file')} and {option('--key-file')}"
        )
    return PassingFault(
        f"no TLS connection with the registry {host} came about ({error.reason or 'closed'}): try again"
    )


# The name of an archive has a dot, and so is read as a host; no host that the Internet knows ends in one of these.
ARCHIVE_ENDINGS = (".ctf", ".tar", ".tgz", ".tar.gz")


def _explain_name(error: Any, host: str) -> RegistryError:
    if error.errno == socket.EAI_AGAIN:
        return PassingFault(f"the address of the registry {host} cannot be looked up now: check the network")
    if host.endswith(ARCHIVE_ENDINGS):
        return RegistryError(f"the registry {host} has no address: write ./{host} for a file or a directory")
    return RegistryError(f"the registry {host} has no address: check its name")


# The first row that fits any of the causes counts.
_Kind = type[BaseException] | tuple[type[BaseException], ...]
_EXPLANATIONS: tuple[tuple[_Kind, Callable[[Any, str], RegistryError]], ...] = (
    (
        ssl.SSLCertVerificationError,
        lambda error, host: RegistryError(
            f"the certificate of the registry {host} is not trusted ({error.verify_message}): "
            f"name the authority that signed it with {option('--ca-file')} or $SSL_CERT_FILE"
        ),
    ),
    (ssl.SSLError, _explain_tls),
    (socket.gaierror, _explain_name),
    (
        ConnectionRefusedError,
        lambda _error, host: PassingFault(f"nobody answers at {host}: check the registry's host and port"),
    ),
    (
        TooSlow,
        lambda _error, host: SlowServer(
            f"the registry {host} answers too slowly, at less than 1 KiB/s: try again later"
        ),
    ),
    (
        (TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError),
        lambda _error, host: PassingFault(f"the registry {host} did not answer in time: try again later"),
    ),
    (
        requests.exceptions.TooManyRedirects,
        lambda _error, host: RegistryError(
            f"the registry {host} sends from one address to the next without end: have its operator mend that"
        ),
    ),
    (
        (
            requests.exceptions.InvalidSchema,
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            UnicodeError,
        ),
        lambda _error, host: RegistryError(
            f"the registry {host} gave an address that is none: have its operator mend that"
        ),
    ),
)
