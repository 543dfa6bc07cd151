"""A client of one registry: finds out whether it speaks HTTPS or HTTP, and sends requests with retries.

oras sends the requests and calls the authenticator after a 401. The shim's own code decides about trust, time limits
and faults: http/connection.py, image/token_auth.py.
"""

import http
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import requests

from tweed_shim.base.deadline import NO_DEADLINE, Deadline
from tweed_shim.errors import BadUrl, RegistryError
from tweed_shim.http import hosts, tls, urls
from tweed_shim.http.bodies import read_all
from tweed_shim.http.connect_options import DEFAULT_OPTIONS, ConnectOptions
from tweed_shim.http.connection import Route, Session
from tweed_shim.http.connection_group import ConnectionGroup
from tweed_shim.http.network_faults import PassingFault, check_passing, explained
from tweed_shim.http.retries import DEFAULT_RETRY_POLICY, Retries, RetryPolicy
from tweed_shim.http.urls import Origin, Url
from tweed_shim.image import credential_files
from tweed_shim.image.oras_parts import Registry
from tweed_shim.image.oras_parts import logger as oras_logger
from tweed_shim.image.token_auth import Authenticator

MAX_ERROR = 64 << 10

# Without this oras logs to stderr.
oras_logger.log_handler.clear()

# Returns the credentials for the origin of a registry, or None.
Find = Callable[[Origin], credential_files.Credentials | None]


class Client(Registry):  # type: ignore[misc]  # oras ships no types
    """A client of one registry that repeats failed requests as its RetryPolicy says."""

    def __init__(
        self, host: str, auth: Authenticator, route: Route, *, retry_policy: RetryPolicy, deadline: Deadline
    ) -> None:
        """host: `host[:port]` to connect to."""
        super().__init__(host)
        self._retry_policy = retry_policy
        self._connections = ConnectionGroup(deadline)
        # It replaces the session of oras, which has no timeouts and reads ~/.netrc.
        self.session: Session = Session(retry_policy, self._connections, route)
        auth.session = self.session
        self.auth: Authenticator = auth

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
        stream: bool = True,
    ) -> requests.Response:
        """Send a request, repeat it after a PassingFault, and return the response.

        Raises RegistryError where all attempts fail, and for a URL of another origin than the registry's.
        """
        address = self.own_url(url)
        retries = self.retries()
        while True:
            try:
                self._connections.check()
                with explained(self.hostname or ""):
                    # __wrapped__: without the decorator of oras, which sleeps for minutes between attempts.
                    response: requests.Response = Registry.do_request.__wrapped__(
                        self, str(address), method, data, dict(headers or {}), json, stream
                    )
                check_passing(response)
            except PassingFault as fault:
                retries.failed(fault)
            else:
                return response

    def retries(self) -> Retries:
        """Return a new count of failures."""
        return Retries(self._retry_policy, self._connections)

    def choose_scheme(self, schemes: tuple[str, ...]) -> None:
        """Use the first scheme that the registry speaks. A single scheme is used without a request."""
        retries = self.retries()
        while len(schemes) > 1:
            try:
                self.prefix = self._find_scheme(schemes)
            except PassingFault as fault:
                retries.failed(fault)
            else:
                return
        self.prefix = schemes[0]

    def _find_scheme(self, schemes: tuple[str, ...]) -> str:
        fault: RegistryError | None = None
        for scheme in schemes:
            try:
                with explained(self.hostname or ""):
                    response = self.session.get(
                        f"{scheme}://{self.hostname}/v2/",
                        stream=True,
                        allow_redirects=False,
                    )
                read_all(response, MAX_ERROR)
            except RegistryError as error:
                fault = error
                continue
            # A server that expects TLS answers plain HTTP with status 400.
            if scheme != "http" or response.status_code != http.HTTPStatus.BAD_REQUEST:
                return scheme
        raise fault or RegistryError(f"{self.hostname} is not a registry; check the host and the port")

    @property
    def origin(self) -> Origin:
        """The scheme, host and port of the registry, where every request is sent first."""
        return urls.parse(f"{self.prefix}://{self.hostname}").origin

    def own_url(self, text: str, relative_to: str = "") -> Url:
        """Parse a URL of this registry, which may come from a response. Raises RegistryError for another origin."""
        try:
            url = urls.parse(relative_to or self.url("")).join(text)
        except BadUrl as error:
            raise RegistryError(f"an address of the registry {self.hostname} is malformed: {error}") from None
        if url.origin != self.origin:
            raise RegistryError(
                f"the registry {self.hostname} names {url.origin}, which is not its own address; "
                "ask its operator to correct it"
            )
        return url

    def url(self, path: str) -> str:
        """Return the URL of a path below `/v2/`."""
        return f"{self.prefix}://{self.hostname}/v2/{path}"

    def verify(self) -> None:
        """Check that the registry accepts the credentials. Raises RegistryError where it does not."""
        with self.do_request(self.url("")) as response:
            if response.status_code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
                raise self.auth.refused()
            if response.status_code != http.HTTPStatus.OK:
                raise RegistryError(
                    f"{self.hostname} is not a registry (HTTP {response.status_code}); check the host and the port"
                )

    def close(self) -> None:
        """End all requests, in other threads too."""
        self._connections.close()
        self.session.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()


def open_client(
    registry: str,
    find: Find,
    *,
    scope: str = "",
    plain: bool = False,
    connect: ConnectOptions = DEFAULT_OPTIONS,
    deadline: Deadline = NO_DEADLINE,
    environ: Mapping[str, str] = os.environ,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> Client:
    """Return a client of `host[:port]`; where plain HTTP is allowed, find out which scheme the registry speaks.

    Plain HTTP is allowed for loopback addresses without configured TLS (tls.is_configured), and with `insecure`, which
    does not verify certificates either. find: returns the credentials for the origin. scope: of a token. plain: use
    HTTP only; credentials are sent as credential_gate allows. environ: names the proxies.
    Raises RegistryError where the registry does not answer, ConfigError for unusable certificates, and as `find`.
    """
    host = tls.HUB_HOST if registry == hosts.DOCKER_HUB else registry
    server = urls.parse(f"https://{host}").origin
    schemes = ("http",) if plain else _schemes(server, connect, environ)
    auth = Authenticator(registry, scope, insecure=connect.insecure)
    client = Client(
        host,
        auth,
        Route(tls.Tls(server, connect, environ), environ),
        retry_policy=retry_policy,
        deadline=deadline,
    )
    try:
        client.choose_scheme(schemes)
        client.session.auth = auth.bind(client.origin, find(client.origin))
    except BaseException:
        client.close()
        raise
    return client


def _schemes(server: Origin, connect: ConnectOptions, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the schemes to try, in order. A registry on this machine usually speaks plain HTTP."""
    if server.is_loopback and not tls.is_configured(server, connect, environ):
        return ("http", "https")
    return ("https", "http") if connect.insecure else ("https",)
