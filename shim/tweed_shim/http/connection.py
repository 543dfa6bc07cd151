"""How bytes travel to and from a registry: a session with time-outs that can be ended from another thread,
keeps secrets from third parties, and whose faults become sentences; and how long one keeps trying.
"""

import base64
import http
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from random import SystemRandom
from typing import Any, NamedTuple
from urllib.parse import unquote

import requests
import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from tweed_shim._version import VERSION
from tweed_shim.base.deadline import NO_DEADLINE, Deadline
from tweed_shim.errors import BadUrl, RegistryError
from tweed_shim.http import credential_gate, proxies, urls
from tweed_shim.http.bodies import read_all
from tweed_shim.http.network_faults import PassingFault, explained_proxy, proxy_refusal
from tweed_shim.http.tls import Tls
from tweed_shim.http.transfer_rate import LowestRate, metered_response
from tweed_shim.http.urls import Origin, Url

MAX_REDIRECTS = 8
LARGEST_REDIRECT = 64 << 10


class Patience(NamedTuple):
    """How long to keep trying; times in seconds.

    A request that fails for a passing reason is made `attempts` times in all. The pause before each new one
    doubles from `first_pause` up to `longest_pause`, which bounds a server's Retry-After too.
    read_timeout bounds each wait for a server that is silent, lowest_rate applies to one that is not.
    sleep: called in place of waiting, for tests.
    """

    attempts: int = 5
    first_pause: float = 0.5
    longest_pause: float = 60.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    lowest_rate: LowestRate = LowestRate()
    sleep: Callable[[float], object] | None = None


PATIENCE = Patience()


class Line:
    """The connections of one session, which all end, whatever they are waiting for, when it is closed.

    The deadline closes it, too.
    """

    def __init__(self, deadline: Deadline = NO_DEADLINE) -> None:
        self.deadline = deadline
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._alarm: threading.Timer | None = None
        if deadline.is_set:
            self._alarm = threading.Timer(min(deadline.remaining(), threading.TIMEOUT_MAX), self.close)
            self._alarm.daemon = True
            self._alarm.start()

    def add(self, connection: socket.socket) -> None:
        """Take a new connection in, or end it where the line is closed already."""
        with self._lock:
            self._sockets.add(connection)
        if self._closed.is_set():
            self.close()

    def close(self) -> None:
        """End everything under way and everything that begins later."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._closed.set()
        with self._lock:
            for each in self._sockets:
                # Only shutdown(2) wakes a thread that is reading; it fails where the connection is gone.
                with suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise PullTimedOut where the time is over, RegistryError where the line is closed."""
        self.deadline.check()
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


class Credential(requests.auth.AuthBase):
    """What a request says about its caller, where the gate lets it.

    origin: what it was looked up for. authorization: gives the value of the header for a URL of that origin, or None.
    """

    def __init__(self, origin: Origin, authorization: Callable[[Url], str | None], *, insecure: bool) -> None:
        self._origin = origin
        self._authorization = authorization
        self._insecure = insecure

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header in, or take one out."""
        request.headers.pop("Authorization", None)
        url = urls.parse(request.url or "")
        if credential_gate.may_send(self._origin, url.origin, insecure=self._insecure) and (
            value := self._authorization(url)
        ):
            request.headers["Authorization"] = value
        return request


class Route(NamedTuple):
    """How servers are reached. environ: has the variables that name proxies."""

    tls: Tls
    environ: Mapping[str, str]


class Adapter(requests.adapters.HTTPAdapter):
    """Gives every request its time-outs, its proxy and its TLS settings, and every connection to a Line."""

    def __init__(self, patience: Patience, line: Line, route: Route) -> None:
        self._route = route
        self._patience = patience
        self._line = line
        self._pools = _pool_classes(patience, line)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The pools of connections through a proxy."""
        kwargs["proxy_ssl_context"] = self._route.tls.proxy_context()
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ARG002 - what requests thinks of it; see tls.py
        cert: Any = None,  # noqa: ARG002 - likewise
    ) -> Any:
        """Return where to connect to, and the TLS settings, which are those of the server."""
        origin = urls.parse(request.url or "").origin
        where = {"scheme": origin.scheme, "host": origin.host.strip("[]"), "port": origin.port}
        if origin.scheme == "http":
            return where, {}
        context = self._route.tls.context(origin)
        return where, {"ssl_context": context, "cert_reqs": context.verify_mode}

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Leave the pool as it is: its context says whom to trust."""

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return what a proxy is told about its user."""
        user = proxy.partition("://")[2].rpartition("@")[0]
        if not user:
            return {}
        name, _, password = user.partition(":")
        pair = f"{unquote(name)}:{unquote(password)}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def close(self) -> None:
        """Close the idle connections, which urllib3 leaves to the garbage collector when it drops its pools."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it is no mapping to iterate over
                if (pool := manager.pools.get(key)) is not None:
                    pool.close()
        super().close()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]  # named arguments only, as requests calls it
        """Send one request, which may be one that follows a redirect. Raises RegistryError for a malformed URL."""
        try:
            url = urls.parse(request.url or "")
        except BadUrl as error:
            raise RegistryError(f"an address of the registry is malformed: {error}") from None
        # What was compared is what is connected to.
        request.url = str(url)
        self._line.check()
        # The time to connect is cut, as nothing ends a connection before it is one; the line's alarm ends all others.
        connecting = min(self._patience.connect_timeout, max(self._line.deadline.remaining(), 0.001))
        kwargs["timeout"] = (connecting, self._patience.read_timeout)
        proxy = proxies.proxy_for(url.origin, self._route.environ)
        kwargs["proxies"] = {url.origin.scheme: proxy.url} if proxy else {}
        if proxy is None:
            return super().send(request, **kwargs)
        with explained_proxy(proxy, url.origin.netloc):
            response = super().send(request, **kwargs)
        if response.status_code == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            response.close()
            raise proxy_refusal(proxy)
        return response


class Session(requests.Session):
    """A session that follows redirects with care and reads no settings from `~/.netrc`.

    auth: the Credential of its requests, if any. private_headers: names of further headers that stay at the first
    origin where a redirect leads to another.
    """

    def __init__(self, patience: Patience, line: Line, route: Route) -> None:
        super().__init__()
        self.auth: Credential | None = None
        self.private_headers: frozenset[str] = frozenset()
        self.trust_env = False
        self.max_redirects = MAX_REDIRECTS
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # A blob is wanted as it is stored: compression on the way would change what its digest is made of.
        self.headers.update({"User-Agent": f"tweed-shim/{VERSION}", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self.mount(scheme, Adapter(patience, line, route))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the URL that an answer sends to, in full. Raises RegistryError where it is malformed or leaves TLS."""
        try:
            location = super().get_redirect_target(resp)
            if not location:
                return None
            target = _redirect_target(urls.parse(resp.url), location)
            # requests would read it whole, however long it is.
            read_all(resp, LARGEST_REDIRECT)
            return str(target)
        except (UnicodeError, RegistryError):
            resp.close()
            raise

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Take the credential out of a request that follows a redirect; look for one anew where the gate lets it."""
        headers = prepared_request.headers
        headers.pop("Authorization", None)
        asked = [urls.parse(each.url).origin for each in (*response.history, response)]
        if not credential_gate.may_follow(asked, urls.parse(prepared_request.url or "").origin):
            for name in self.private_headers:
                headers.pop(name, None)
        elif self.auth is not None:
            self.auth(prepared_request)


def _redirect_target(before: Url, location: str) -> Url:
    try:
        target = before.join(location)
    except BadUrl as error:
        raise RegistryError(
            f"the registry {before.origin.netloc} sends to a malformed address ({error}): "
            "have its operator mend that"
        ) from None
    if before.origin.scheme == "https" and target.origin.scheme == "http":
        raise RegistryError(
            f"the registry {before.origin.netloc} sends to {target.origin.netloc} without TLS, "
            "which is not followed: have its operator mend that"
        )
    return target


def _pool_classes(patience: Patience, line: Line) -> dict[str, type[HTTPConnectionPool]]:
    metered = metered_response(patience.lowest_rate)

    class PlainConnection(HTTPConnection):
        response_class = metered

        def connect(self) -> None:
            super().connect()
            line.add(self.sock)

    class TlsConnection(HTTPSConnection):
        response_class = metered

        def connect(self) -> None:
            self._alarm = threading.Timer(0, lambda: None)
            try:
                super().connect()
            finally:
                self._alarm.cancel()
            if isinstance(self.sock, socket.socket):
                line.add(self.sock)

        def _connect_tls_proxy(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
            # The TLS within this one reads bytes by bytes, so that what stops it is this alarm only.
            outer = super()._connect_tls_proxy(*args, **kwargs)
            line.add(outer)
            self._alarm = threading.Timer(
                patience.read_timeout, socket.socket.shutdown, (outer, socket.SHUT_RDWR)
            )
            self._alarm.daemon = True
            self._alarm.start()
            return outer

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    return {"http": PlainPool, "https": TlsPool}
