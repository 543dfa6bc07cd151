"""What is at a URL: fetched with the care that registries are spoken to with."""

import base64
import http
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from tweed_shim import credential_gate
from tweed_shim.errors import ComponentError, RegistryError
from tweed_shim.image.bodies import read_chunks
from tweed_shim.image.connection import PATIENCE, Credential, Line, Route, Session, Tries
from tweed_shim.image.network_faults import PassingFault, check_passing, explained, host_of
from tweed_shim.image.tls import Tls
from tweed_shim.letters import ALPHANUMERIC, made_of
from tweed_shim.ocm.registries import Connection
from tweed_shim.option_names import option
from tweed_shim.urls import Url

# Headers that say nothing of the caller, so that they may go along where a redirect leads elsewhere.
_PUBLIC_HEADERS = frozenset({"accept", "accept-language", "user-agent"})
# Headers that say where a request goes, where it ends, or what a proxy is told: these are the client's own.
_OWN_HEADERS = frozenset(
    {
        "connection", "content-length", "cookie", "expect", "host", "keep-alive", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_TOKEN = ALPHANUMERIC + "!#$%&'*+-.^_`|~"

# The consumer whose configured credentials are for a URL.
ConsumerOf = Callable[[Url], Mapping[str, str]]


def read_headers(value: Any, what: str) -> dict[str, str]:
    """Read the headers of an access: a text or a list of texts by name (RFC 9110, section 5). Raises ComponentError.

    No header with a value of the caller is in an error: it may be a secret.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad_header(what, "it is no map of headers")
    headers: dict[str, str] = {}
    for name, given in value.items():
        texts = given if isinstance(given, list) else [given]
        if not isinstance(name, str) or not made_of(_TOKEN, name):
            raise _bad_header(what, f"{str(name)[:40]!r} is no name of a header")
        if name.lower() in _OWN_HEADERS or name.lower() in map(str.lower, headers):
            raise _bad_header(what, f"{name} is set by the client, or given twice")
        if not all(isinstance(each, str) for each in texts):
            raise _bad_header(what, f"the value of {name} is no text")
        if not all(_is_header_value(each) for each in texts):
            raise _bad_header(what, f"the value of {name} has a line break or a letter that is not ASCII")
        headers[name] = ", ".join(each.strip(" \t") for each in texts)
    return headers


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.replace("\t", "").isprintable()


def _bad_header(what: str, reason: str) -> ComponentError:
    return ComponentError(
        f"the header in the access of {what} cannot be sent: {reason}; have the component version made again"
    )


def fetch(
    url: Url,
    connection: Connection,
    *,
    consumer_of: ConsumerOf | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    redirects: bool = True,
    on_answer: Callable[[Mapping[str, str]], None] = lambda _headers: None,
) -> Iterator[bytes]:
    """Yield the content at a URL, in pieces. Raises ComponentError where it cannot be got.

    consumer_of: for whom configured credentials are looked for; of those a name and password, or a token, are used.
    headers: as `read_headers` gives them. Credentials and headers go where credential_gate lets them. on_answer: called
    with the headers of the answer before the first piece.
    """
    sent = dict(headers or {})
    own = next((sent.pop(name) for name in list(sent) if name.lower() == "authorization"), None)

    def authorization(asked: Url) -> str | None:
        properties = connection.find(consumer_of(asked)) if consumer_of else None
        return _authorization(properties or {}) or own

    connect, environ = connection.connect, connection.environ
    route = Route(Tls(url.origin, connect, environ), environ)
    line = Line()
    try:
        with Session(PATIENCE, line, route) as session:
            session.auth = Credential(url.origin, authorization, insecure=connect.insecure)
            session.private_headers = frozenset(map(str.lower, sent)) - _PUBLIC_HEADERS
            options = {"headers": sent, "data": body, "allow_redirects": redirects}
            with _answer(session, Tries(PATIENCE, line), method, str(url), options) as response:
                if response.status_code != http.HTTPStatus.OK:
                    raise _refused(url, response.status_code, insecure=connect.insecure)
                on_answer(response.headers)
                yield from read_chunks(response)
    except RegistryError as error:
        raise ComponentError(str(error).replace("the registry", "the server")) from None


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of an answer without its parameters, empty where none is said (RFC 9110, section 8.3)."""
    found = headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()
    kind, slash, subtype = found.partition("/")
    return found if slash and made_of(_TOKEN, kind) and made_of(_TOKEN, subtype) else ""


def _authorization(properties: Mapping[str, str]) -> str | None:
    """The header for a name and a password (Basic) or a token (Bearer)."""
    if token := properties.get("identityToken") or properties.get("token"):
        return f"Bearer {token}"
    if name := properties.get("username"):
        pair = f"{name}:{properties.get('password', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return None


def _answer(
    session: Session, tries: Tries, method: str, url: str, options: Mapping[str, Any]
) -> requests.Response:
    """The answer to a request, which is made again where it fails for a passing reason."""
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
            f"or {option('--insecure')} to send them nevertheless"
        )
    return ComponentError(
        f"the server {url.origin.netloc} does not give {url.path} (HTTP {status}): {advice}"
    )
