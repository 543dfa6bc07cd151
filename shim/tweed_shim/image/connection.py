"""How bytes travel to and from a registry: a session with time-outs that can be ended from another thread,
keeps secrets from third parties, and whose faults become sentences; and how long one keeps trying.
"""

import http
import http.client
import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from random import SystemRandom
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.utils
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from tweed_shim import __version__
from tweed_shim.errors import ConfigError, RegistryError
from tweed_shim.image import reference

MAX_REDIRECTS = 8
CHUNK = 128 << 10
SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
AUTHORITY_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# What OpenSSL calls an answer that is no TLS; the name depends on its version.
NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})
NETWORK_FAULTS = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError)


class Patience(NamedTuple):
    """How long to keep trying; times in seconds.

    A request that fails for a passing reason is made `attempts` times in all. The pause before each new one
    doubles from `first_pause` up to `longest_pause`, which bounds a server's Retry-After too.
    sleep: called in place of waiting, for tests.
    """

    attempts: int = 5
    first_pause: float = 0.5
    longest_pause: float = 60.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    sleep: Callable[[float], object] | None = None


PATIENCE = Patience()


class PassingFault(RegistryError):
    """What may go better at another try; `retry_after` is how many seconds the server asked for, if any."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Line:
    """The connections of one session, which all end, whatever they are waiting for, when it is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def add(self, connection: socket.socket) -> None:
        """Take a new connection in, or end it where the line is closed already."""
        with self._lock:
            self._sockets.add(connection)
        if self._closed.is_set():
            self.close()

    def close(self) -> None:
        """End everything under way and everything that begins later."""
        self._closed.set()
        with self._lock:
            for each in self._sockets:
                # Only shutdown(2) wakes a thread that is reading; it fails where the connection is gone.
                with suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise RegistryError where the line is closed."""
        if self._closed.is_set():
            raise RegistryError("the transfer was stopped because another one failed; try again")

    def wait(self, seconds: float) -> None:
        """Wait, or until the line is closed."""
        self._closed.wait(seconds)


class Tries:
    """The failures in a row of one request."""

    def __init__(self, patience: Patience, line: Line) -> None:
        self._patience = patience
        self._line = line
        self._failures = 0

    def renew(self) -> None:
        """Begin to count again: something was achieved."""
        self._failures = 0

    def failed(self, fault: PassingFault) -> None:
        """Wait before the next try. Raises RegistryError where there is none."""
        self._line.check()
        self._failures += 1
        if self._failures >= self._patience.attempts:
            raise RegistryError(f"{fault} (tried {self._failures} times)") from fault
        (self._patience.sleep or self._line.wait)(self._pause(fault))
        self._line.check()

    def _pause(self, fault: PassingFault) -> float:
        doubled = self._patience.first_pause * float(2 ** (self._failures - 1))
        # Who failed together shall not come again together.
        pause = doubled * SystemRandom().uniform(0.5, 1)
        return min(max(pause, fault.retry_after or 0), self._patience.longest_pause)


class Adapter(requests.adapters.HTTPAdapter):
    """Gives every request its time-outs and its proxy, and every connection to a Line."""

    def __init__(self, patience: Patience, line: Line) -> None:
        self._timeouts = (patience.connect_timeout, patience.read_timeout)
        self._pools = _pool_classes(line)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The pools of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]  # named arguments only, as requests calls it
        """Send one request, which may be one that follows a redirect."""
        kwargs["timeout"] = self._timeouts
        kwargs["proxies"] = _proxies(request.url or "")
        return super().send(request, **kwargs)


class Session(requests.Session):
    """A session that follows redirects with care and reads no settings from `~/.netrc`."""

    def __init__(self, patience: Patience, line: Line) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = MAX_REDIRECTS
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # A blob is wanted as it is stored: compression on the way would change what its digest is made of.
        self.headers.update({"User-Agent": f"tweed-shim/{__version__}", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self.mount(scheme, Adapter(patience, line))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer sends to. Raises RegistryError where that would leave TLS."""
        target = super().get_redirect_target(resp)
        if target and target.lower().startswith("http:") and resp.url.startswith("https:"):
            raise RegistryError(
                f"the registry {host_of(resp.url)} sends to {host_of(target)} without TLS, "
                "which is not followed: have its operator mend that"
            )
        return target


def authorities(ca_file: str | None, environ: Mapping[str, str]) -> str | bool:
    """The file of the certificate authorities to trust: the caller's, the environment's, the system's.

    True stands for the ones that come with requests. Raises ConfigError for a file that holds none.
    """
    named = [("--ca-file", ca_file), *((f"${name}", environ.get(name)) for name in AUTHORITY_VARIABLES)]
    for origin, path in named:
        if path:
            try:
                if not os.path.isdir(path):
                    ssl.create_default_context(cafile=path)
            except OSError as error:
                problem = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
                raise ConfigError(
                    f"the certificate authorities in {path} ({origin}) cannot be read: {problem}"
                ) from None
            return path
    return next((path for path in SYSTEM_AUTHORITIES if os.path.exists(path)), True)


def host_of(url: str) -> str:
    """The host and port of a URL, without what may be secret in it."""
    return urlsplit(url).netloc.rpartition("@")[2]


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


def read_all(response: requests.Response, limit: int) -> bytes | None:
    """The body as it came; None where it is longer than `limit` bytes. Closes the response."""
    with explained(host_of(response.url)), response:
        body = b""
        while len(body) <= limit and (chunk := response.raw.read1(CHUNK, decode_content=False)):
            body += chunk
    return body if len(body) <= limit else None


def read_chunks(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes, undecoded."""
    while True:
        with explained(host_of(response.url)):
            chunk: bytes = response.raw.read1(CHUNK, decode_content=False)
        if not chunk:
            return
        yield chunk


def _pool_classes(line: Line) -> dict[str, type[HTTPConnectionPool]]:
    class PlainConnection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            line.add(self.sock)

    class TlsConnection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            line.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    return {"http": PlainPool, "https": TlsPool}


def _proxies(url: str) -> dict[str, str]:
    if reference.is_loopback(host_of(url)):
        return {}
    return dict(requests.utils.get_environ_proxies(url))


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
            f"the registry {host} speaks no TLS: use --insecure if plain HTTP is meant, or mend the port"
        )
    return PassingFault(
        f"no TLS connection with the registry {host} came about ({error.reason or 'closed'}): try again"
    )


def _explain_name(error: Any, host: str) -> RegistryError:
    if error.errno == socket.EAI_AGAIN:
        return PassingFault(f"the address of the registry {host} cannot be looked up now: check the network")
    return RegistryError(f"the registry {host} has no address: check its name")


# The first row that fits any of the causes counts.
_Kind = type[BaseException] | tuple[type[BaseException], ...]
_EXPLANATIONS: tuple[tuple[_Kind, Callable[[Any, str], RegistryError]], ...] = (
    (
        ssl.SSLCertVerificationError,
        lambda error, host: RegistryError(
            f"the certificate of the registry {host} is not trusted ({error.verify_message}): "
            "name the authority that signed it with --ca-file or $SSL_CERT_FILE"
        ),
    ),
    (ssl.SSLError, _explain_tls),
    (
        requests.exceptions.ProxyError,
        lambda _error, host: PassingFault(
            f"the proxy on the way to the registry {host} lets nothing through: "
            "check $https_proxy, $http_proxy and $no_proxy"
        ),
    ),
    (socket.gaierror, _explain_name),
    (
        ConnectionRefusedError,
        lambda _error, host: PassingFault(f"nobody answers at {host}: check the registry's host and port"),
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
