"""Network errors turned into messages: which of them are worth a retry, and what the caller can do about the others."""

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

from tweed_shim.base.option_names import option
from tweed_shim.errors import BadUrl, RegistryError
from tweed_shim.http import urls
from tweed_shim.http.proxies import Proxy
from tweed_shim.http.transfer_rate import TooSlow

# The reasons that OpenSSL gives when the peer does not speak TLS; they depend on its version.
NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})
# The alerts of a server that requires another client certificate (RFC 8446, section 6.2), as OpenSSL names them.
WANTS_CERTIFICATE = frozenset(
    {
        *("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE", "TLSV1_ALERT_UNKNOWN_CA"),
        *("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "SSLV3_ALERT_CERTIFICATE_EXPIRED", "TLSV1_ALERT_ACCESS_DENIED"),
        *("SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    }
)
# The message of http.client where a proxy refuses to open a tunnel.
_NO_TUNNEL = re.compile("Tunnel connection failed: ([0-9]{3})")
NETWORK_FAULTS = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError)


class PassingFault(RegistryError):
    """A failure that another attempt may not have. retry_after: the seconds that the server asked to wait, if any."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SlowServer(PassingFault):
    """The server sends at less than the lowest rate; another connection may be faster."""


def host_of(url: str) -> str:
    """Return `host[:port]` of a requested URL, for messages."""
    try:
        return urls.parse(url).origin.netloc
    except BadUrl:
        # No part of a malformed URL is shown: it may hold a secret.
        return "of a malformed address"


def check_passing(response: requests.Response) -> None:
    """Raise PassingFault for a status that may pass: 429 and 5xx."""
    status = response.status_code
    if status != http.HTTPStatus.TOO_MANY_REQUESTS and status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return
    response.close()
    retry_after = _retry_after(response.headers.get("Retry-After", ""))
    host = host_of(response.url)
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        raise PassingFault(
            f"the registry {host} limits the rate of requests (HTTP 429); try again later or log in",
            retry_after=retry_after,
        )
    raise PassingFault(
        f"the registry {host} failed (HTTP {status}); try again later", retry_after=retry_after
    )


@contextmanager
def explained(host: str) -> Iterator[None]:
    """Turn network errors within the block into RegistryError. host: for errors that do not name their request."""
    try:
        yield
    except NETWORK_FAULTS as error:
        request = getattr(error, "request", None)
        raise _explain(error, host_of(request.url) if request is not None and request.url else host) from None


@contextmanager
def explained_proxy(proxy: Proxy, host: str) -> Iterator[None]:
    """Turn errors of the proxy within the block into RegistryError that names its variable. host: behind the proxy."""
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
                f"the proxy {proxy.origin} (${proxy.variable}) does not connect to {host} (HTTP {status}); "
                f"check ${proxy.variable} and $no_proxy"
            ) from None
        if isinstance(error, requests.exceptions.ProxyError):
            raise _explain_proxy(causes, proxy) from None
        raise


def proxy_refusal(proxy: Proxy) -> RegistryError:
    """Return the error for a proxy that demands authentication (HTTP 407)."""
    what = "refuses the user name and password" if proxy.username else "asks for a user name and a password"
    return RegistryError(
        f"the proxy {proxy.origin} {what} (HTTP 407); write http://USER:PASSWORD@HOST:PORT in ${proxy.variable}"
    )


def _explain_proxy(causes: list[BaseException], proxy: Proxy) -> RegistryError:
    what = f"the proxy {proxy.origin} (${proxy.variable})"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RegistryError(
                f"the certificate of {what} is not trusted ({cause.verify_message}); "
                f"name the authority that signed it with $SSL_CERT_FILE or {option('--ca-file')}"
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in NOT_TLS:
            return RegistryError(f"{what} does not speak TLS; write http:// in ${proxy.variable}")
        if isinstance(cause, socket.gaierror):
            return RegistryError(
                f"{what} has no address; check its name, and that this host can resolve names"
            )
    return PassingFault(f"nothing answers at {what}; check ${proxy.variable} and $no_proxy")


def _retry_after(value: str) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3); None for a value that is neither form."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors wrapped in it. requests and urllib3 keep causes in several attributes."""
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
    return PassingFault(f"the connection to the registry {host} broke; try again")


def _explain_tls(error: Any, host: str) -> RegistryError:
    if error.reason in NOT_TLS:
        return RegistryError(
            f"the registry {host} does not speak TLS; use {option('--insecure')} for plain HTTP, or correct the port"
        )
    if error.reason in WANTS_CERTIFICATE:
        return RegistryError(
            f"the registry {host} asks for a client certificate that it trusts ({error.reason}); "
            f"name yours with {option('--cert-file')} and {option('--key-file')}"
        )
    return PassingFault(
        f"the TLS handshake with the registry {host} failed ({error.reason or 'closed'}); try again"
    )


# A file name with a dot is read as a host name. No top-level domain is one of these endings.
ARCHIVE_ENDINGS = (".ctf", ".tar", ".tgz", ".tar.gz")


def _explain_name(error: Any, host: str) -> RegistryError:
    if error.errno == socket.EAI_AGAIN:
        return PassingFault(f"the address of the registry {host} cannot be looked up now; check the network")
    if host.endswith(ARCHIVE_ENDINGS):
        return RegistryError(f"the registry {host} has no address; write ./{host} for a file or a directory")
    return RegistryError(
        f"the registry {host} has no address; check its name, and that this host can resolve names"
    )


# The first row whose kind matches any of the causes decides.
_Kind = type[BaseException] | tuple[type[BaseException], ...]
_EXPLANATIONS: tuple[tuple[_Kind, Callable[[Any, str], RegistryError]], ...] = (
    (
        ssl.SSLCertVerificationError,
        lambda error, host: RegistryError(
            f"the certificate of the registry {host} is not trusted ({error.verify_message}); "
            f"name the authority that signed it with {option('--ca-file')} or $SSL_CERT_FILE"
        ),
    ),
    (ssl.SSLError, _explain_tls),
    (socket.gaierror, _explain_name),
    (
        ConnectionRefusedError,
        lambda _error, host: PassingFault(f"nothing answers at {host}; check the registry's host and port"),
    ),
    (
        TooSlow,
        lambda _error, host: SlowServer(
            f"the registry {host} answers too slowly, at less than 1 KiB/s; try again later"
        ),
    ),
    (
        (TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError),
        lambda _error, host: PassingFault(f"the registry {host} did not answer in time; try again later"),
    ),
    (
        requests.exceptions.TooManyRedirects,
        lambda _error, host: RegistryError(
            f"the registry {host} redirects without end; ask its operator to correct it"
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
            f"the registry {host} gave a malformed address; ask its operator to correct it"
        ),
    ),
)
