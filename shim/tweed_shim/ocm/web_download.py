"""Downloads from a URL, with the same care as from a registry."""

import base64
import http
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from tweed_shim.base.option_names import option
from tweed_shim.base.text import ALPHANUMERIC, made_of
from tweed_shim.errors import ComponentError, RegistryError
from tweed_shim.http import credential_gate
from tweed_shim.http.bodies import read_chunks
from tweed_shim.http.connection import Credential, Route, Session
from tweed_shim.http.connection_group import ConnectionGroup
from tweed_shim.http.network_faults import PassingFault, check_passing, explained, host_of
from tweed_shim.http.retries import DEFAULT_RETRY_POLICY, Retries
from tweed_shim.http.tls import Tls
from tweed_shim.http.urls import Url
from tweed_shim.ocm.registry_store import ConnectionSettings

# Headers without secrets, which may follow a redirect to another server.
_PUBLIC_HEADERS = frozenset({"accept", "accept-language", "user-agent"})
# Headers about the destination, the end of the request, or the proxy: only the client sets these.
_OWN_HEADERS = frozenset(
    {
        "connection", "content-length", "cookie", "expect", "host", "keep-alive", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_TOKEN = ALPHANUMERIC + "!#$%&'*+-.^_`|~"

# Returns the consumer identity of a URL, for the look-up of its credentials.
ConsumerOf = Callable[[Url], Mapping[str, str]]


def read_headers(value: Any, what: str) -> dict[str, str]:
    """Parse the headers of an access: a text or a list of texts by name (RFC 9110, section 5). Raises ComponentError.

    The error has no header value of the caller, which may be a secret.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad_header(what, "it must be a map of headers")
    headers: dict[str, str] = {}
    for name, header_value in value.items():
        texts = header_value if isinstance(header_value, list) else [header_value]
        if not isinstance(name, str) or not made_of(_TOKEN, name):
            raise _bad_header(what, f"{str(name)[:40]!r} is no header name")
        if name.lower() in _OWN_HEADERS or name.lower() in map(str.lower, headers):
            raise _bad_header(what, f"{name} is set by the client, or repeated")
        if not all(isinstance(each, str) for each in texts):
            raise _bad_header(what, f"the value of {name} must be text")
        if not all(_is_header_value(each) for each in texts):
            raise _bad_header(what, f"the value of {name} has a line break or a character that is not ASCII")
        headers[name] = ", ".join(each.strip(" \t") for each in texts)
    return headers


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.replace("\t", "").isprintable()


def _bad_header(what: str, reason: str) -> ComponentError:
    return ComponentError(
        f"the header in the access of {what} cannot be sent: {reason}; build the component version again"
    )


def fetch(
    url: Url,
    connection: ConnectionSettings,
    *,
    consumer_of: ConsumerOf | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    redirects: bool = True,
    on_answer: Callable[[Mapping[str, str]], None] = lambda _headers: None,
) -> Iterator[bytes]:
    """Yield the content at a URL in pieces. Raises ComponentError where the server does not give it.

    consumer_of: names the consumer whose credentials are used: a name and password, or a token. headers: as
    `read_headers` returns them. credential_gate decides which server gets credentials and headers. on_answer: called
    with the headers of the answer before the first piece.
    """
    sent = dict(headers or {})
    own = next((sent.pop(name) for name in list(sent) if name.lower() == "authorization"), None)

    def authorization(asked: Url) -> str | None:
        properties = connection.find(consumer_of(asked)) if consumer_of else None
        return _authorization(properties or {}) or own

    connect, environ = connection.connect, connection.environ
    route = Route(Tls(url.origin, connect, environ), environ)
    connections = ConnectionGroup()
    try:
        with Session(DEFAULT_RETRY_POLICY, connections, route) as session:
            session.auth = Credential(url.origin, authorization, insecure=connect.insecure)
            session.private_headers = frozenset(map(str.lower, sent)) - _PUBLIC_HEADERS
            options = {"headers": sent, "data": body, "allow_redirects": redirects}
            with _answer(
                session, Retries(DEFAULT_RETRY_POLICY, connections), method, url=str(url), options=options
            ) as response:
                if response.status_code != http.HTTPStatus.OK:
                    raise _refused(url, response.status_code, insecure=connect.insecure)
                on_answer(response.headers)
                yield from read_chunks(response)
    except RegistryError as error:
        raise ComponentError(str(error).replace("the registry", "the server")) from None


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of an answer without its parameters, empty where it has none (RFC 9110, section 8.3)."""
    full_type = headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()
    kind, slash, subtype = full_type.partition("/")
    return full_type if slash and made_of(_TOKEN, kind) and made_of(_TOKEN, subtype) else ""


def _authorization(properties: Mapping[str, str]) -> str | None:
    """Return the header for a token (Bearer), or for a name and a password (Basic)."""
    if token := properties.get("identityToken") or properties.get("token"):
        return f"Bearer {token}"
    if name := properties.get("username"):
        pair = f"{name}:{properties.get('password', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return None


def _answer(
    session: Session, tries: Retries, method: str, *, url: str, options: Mapping[str, Any]
) -> requests.Response:
    """Return the answer to a request, which is repeated after a passing fault."""
    while True:
        try:
            with explained(host_of(url)):
                response = session.request(method, url, stream=True, **options)
            check_passing(response)
        except PassingFault as fault:
            tries.failed(fault)
        else:
            return response


def _refused(url: Url, status: int, *, insecure: bool) -> ComponentError:
    advice = "check the address, and the credentials for it"
    if status in (
        http.HTTPStatus.UNAUTHORIZED,
        http.HTTPStatus.FORBIDDEN,
    ) and not credential_gate.is_private(url.origin, insecure=insecure):
        advice = (
            "credentials are not sent over plain HTTP, where others can read them, so use an https address, "
            f"or {option('--insecure')} to send them"
        )
    return ComponentError(
        f"the server {url.origin.netloc} does not give {url.path} (HTTP {status}): {advice}"
    )
