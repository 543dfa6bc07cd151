"""HTTP sessions: timeouts, proxies and TLS for each request, and credentials only for the origin that they belong to.

Another thread can end the requests of a session: see connection_group.
"""

import base64
import http
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import unquote

import requests
import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from tweed_shim._version import VERSION
from tweed_shim.base.records import Record
from tweed_shim.errors import BadUrl, RegistryError
from tweed_shim.http import credential_gate, proxies, urls
from tweed_shim.http.bodies import read_all
from tweed_shim.http.connection_group import ConnectionGroup
from tweed_shim.http.network_faults import explained_proxy, proxy_refusal
from tweed_shim.http.retries import RetryPolicy
from tweed_shim.http.tls import Tls
from tweed_shim.http.transfer_rate import metered_response
from tweed_shim.http.urls import Origin, Url

MAX_REDIRECTS = 8
LARGEST_REDIRECT = 64 << 10


class Credential(requests.auth.AuthBase):
    """Sets the Authorization header of requests to one origin, where credential_gate allows it.

    origin: the origin that the credential was looked up for. authorization: returns the header's value for a URL of
    that origin, or None.
    """

    def __init__(self, origin: Origin, authorization: Callable[[Url], str | None], *, insecure: bool) -> None:
        self._origin = origin
        self._authorization = authorization
        self._insecure = insecure

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header where the request may carry it, and remove it elsewhere."""
        request.headers.pop("Authorization", None)
        url = urls.parse(request.url or "")
        if credential_gate.may_send(self._origin, url.origin, insecure=self._insecure) and (
            value := self._authorization(url)
        ):
            request.headers["Authorization"] = value
        return request


class Route(Record):
    """The TLS settings of a session, and the environment whose variables name its proxies."""

    tls: Tls
    environ: Mapping[str, str]


class Adapter(requests.adapters.HTTPAdapter):
    """Gives each request its timeouts, proxy and TLS settings, and adds each connection to a ConnectionGroup."""

    def __init__(self, retry_policy: RetryPolicy, connections: ConnectionGroup, route: Route) -> None:
        self._route = route
        self._retry_policy = retry_policy
        self._connections = connections
        self._pools = _pool_classes(retry_policy, connections)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        kwargs["proxy_ssl_context"] = self._route.tls.proxy_context()
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ARG002 - a parameter of requests; tls.py decides instead
        cert: Any = None,  # noqa: ARG002 - likewise
    ) -> Any:
        """Return the host to connect to and the TLS settings for it."""
        origin = urls.parse(request.url or "").origin
        host = {"scheme": origin.scheme, "host": origin.host.strip("[]"), "port": origin.port}
        if origin.scheme == "http":
            return host, {}
        context = self._route.tls.context(origin)
        return host, {"ssl_context": context, "cert_reqs": context.verify_mode}

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Leave the pool as it is: its SSL context holds the trusted authorities."""

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the Proxy-Authorization header for the user in the proxy's URL; empty without a user."""
        user = proxy.partition("://")[2].rpartition("@")[0]
        if not user:
            return {}
        name, _, password = user.partition(":")
        pair = f"{unquote(name)}:{unquote(password)}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def close(self) -> None:
        """Close the idle connections. urllib3 drops its pools and leaves the connections to the garbage collector."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - urllib3's container has keys() and refuses to be iterated
                if (pool := manager.pools.get(key)) is not None:
                    pool.close()
        super().close()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]  # named arguments only, as requests calls it
        """Send one request: the first one, or one that follows a redirect. Raises RegistryError for a malformed URL."""
        try:
            url = urls.parse(request.url or "")
        except BadUrl as error:
            raise RegistryError(f"an address of the registry is malformed: {error}") from None
        # The credential gate compared the parsed URL, so connect to exactly that, not to the original text.
        request.url = str(url)
        self._connections.check()
        # Before a connection exists, ConnectionGroup cannot end it, so the deadline shortens the connect timeout.
        connecting = min(
            self._retry_policy.connect_timeout, max(self._connections.deadline.remaining(), 0.001)
        )
        kwargs["timeout"] = (connecting, self._retry_policy.read_timeout)
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
    """A session that checks every redirect, keeps no cookies and does not read `~/.netrc`.

    auth: the Credential of its requests, if any. private_headers: the names of further headers that are removed when a
    redirect leads to another origin.
    """

    def __init__(self, retry_policy: RetryPolicy, connections: ConnectionGroup, route: Route) -> None:
        super().__init__()
        self.auth: Credential | None = None
        self.private_headers: frozenset[str] = frozenset()
        self.trust_env = False
        self.max_redirects = MAX_REDIRECTS
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # A digest is that of the stored bytes. A Content-Encoding would change the bytes that arrive.
        self.headers.update({"User-Agent": f"tweed-shim/{VERSION}", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self.mount(scheme, Adapter(retry_policy, connections, route))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the absolute URL of a redirect. Raises RegistryError for a malformed URL or one without TLS."""
        try:
            location = super().get_redirect_target(resp)
            if not location:
                return None
            target = _redirect_target(urls.parse(resp.url), location)
            # Otherwise requests reads the body of the redirect itself, without a limit.
            read_all(resp, LARGEST_REDIRECT)
            return str(target)
        except (UnicodeError, RegistryError):
            resp.close()
            raise

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Remove the Authorization header after a redirect; set it again where credential_gate allows it."""
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
            f"the registry {before.origin.netloc} redirects to a malformed address: {error}; "
            "ask its operator to correct it"
        ) from None
    if before.origin.scheme == "https" and target.origin.scheme == "http":
        raise RegistryError(
            f"the registry {before.origin.netloc} redirects from https to plain HTTP at {target.origin.netloc}, "
            "which is not followed; ask its operator to correct it"
        )
    return target


def _pool_classes(
    retry_policy: RetryPolicy, connections: ConnectionGroup
) -> dict[str, type[HTTPConnectionPool]]:
    metered = metered_response(retry_policy.lowest_rate)

    class PlainConnection(HTTPConnection):
        response_class = metered

        def connect(self) -> None:
            super().connect()
            connections.add(self.sock)

    class TlsConnection(HTTPSConnection):
        response_class = metered

        def connect(self) -> None:
            self._alarm = threading.Timer(0, lambda: None)
            try:
                super().connect()
            finally:
                self._alarm.cancel()
            if isinstance(self.sock, socket.socket):
                connections.add(self.sock)

        def _connect_tls_proxy(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
            # urllib3 runs the inner TLS handshake over this socket without a timeout of its own, so a timer ends it.
            outer = super()._connect_tls_proxy(*args, **kwargs)
            connections.add(outer)
            self._alarm = _shutdown_after(retry_policy.read_timeout, outer)
            return outer

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    return {"http": PlainPool, "https": TlsPool}


def _shutdown_after(seconds: float, connection: socket.socket) -> threading.Timer:
    timer = threading.Timer(seconds, socket.socket.shutdown, (connection, socket.SHUT_RDWR))
    timer.daemon = True
    timer.start()
    return timer
