"""What is at a URL: fetched with the care that registries are spoken to with."""

import http
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import requests

from tweed_shim.errors import ComponentError, RegistryError
from tweed_shim.image.connection import (
    PATIENCE,
    Line,
    PassingFault,
    Session,
    Tries,
    authorities,
    check_passing,
    explained,
    host_of,
    read_chunks,
)
from tweed_shim.ocm.registries import Connection

SCHEMES = ("http", "https")


def fetch(
    url: str,
    connection: Connection,
    *,
    consumer: Mapping[str, str] | None = None,
    method: str = "GET",
    headers: Mapping[str, str | Sequence[str]] | None = None,
    body: bytes | None = None,
    redirects: bool = True,
) -> Iterator[bytes]:
    """The content at a URL, in pieces. Raises ComponentError where it cannot be had.

    consumer: for whom configured credentials are looked for; of those a name and password, or a token, are used.
    """
    if urlsplit(url).scheme not in SCHEMES or not urlsplit(url).hostname:
        raise ComponentError(f"{url!r} is no http or https address: have the component version made again")
    sent = {
        name: value if isinstance(value, str) else ", ".join(value) for name, value in (headers or {}).items()
    }
    properties = connection.find(consumer) if consumer else None
    trust: str | bool = False
    if not connection.insecure or connection.ca_file is not None:
        trust = authorities(connection.ca_file, connection.environ)
    line = Line()
    try:
        with Session(PATIENCE, line) as session:
            session.auth = _authorization(properties or {})
            tries = Tries(PATIENCE, line)
            with _answer(session, tries, method, url, sent, body, redirects, trust) as response:
                yield from read_chunks(response)
    except RegistryError as error:
        raise ComponentError(str(error).replace("the registry", "the server")) from None


def _authorization(properties: Mapping[str, str]) -> requests.auth.AuthBase:
    return _Authorization(properties)


class _Authorization(requests.auth.AuthBase):
    """Sends a name and a password (Basic) or a token (Bearer); requests drops them where it is sent elsewhere."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._properties = properties

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._properties.get("identityToken") or self._properties.get("token")
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        elif name := self._properties.get("username"):
            basic = requests.auth.HTTPBasicAuth(name, self._properties.get("password", ""))
            basic(request)
        return request


def _answer(
    session: Session,
    tries: Tries,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    redirects: bool,
    trust: str | bool,
) -> requests.Response:
    while True:
        try:
            with explained(host_of(url)):
                response = session.request(
                    method,
                    url,
                    headers=dict(headers),
                    data=body,
                    stream=True,
                    allow_redirects=redirects,
                    verify=trust,
                )
            check_passing(response)
        except PassingFault as fault:
            tries.failed(fault)
            continue
        if response.status_code == http.HTTPStatus.OK:
            return response
        response.close()
        raise ComponentError(
            f"the server {host_of(url)} does not give {urlsplit(url).path} (HTTP {response.status_code}): "
            "check the address, and the credentials for it"
        )
