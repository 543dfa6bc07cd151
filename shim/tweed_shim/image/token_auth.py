"""Authentication at a registry: answers the challenges of a 401 response (WWW-Authenticate).

Sources: RFC 9110, section 11 (challenges), RFC 7617 (Basic), and the distribution project's "Token
Authentication Specification" and "Oauth2 Token Authentication" (Bearer).
"""

import base64
import http
import json
import re
import threading
from typing import Any

import requests

from tweed_shim.base.option_names import option
from tweed_shim.base.records import Record
from tweed_shim.errors import BadUrl, RegistryError
from tweed_shim.http import credential_gate, urls
from tweed_shim.http.bodies import read_all
from tweed_shim.http.connection import Credential
from tweed_shim.http.network_faults import check_passing, explained, host_of
from tweed_shim.http.urls import Origin, Url
from tweed_shim.image.credential_files import Credentials
from tweed_shim.image.oras_parts import TokenAuth

CLIENT_ID = "tweed-shim"
MAX_ANSWER = 1 << 20

# name="value" or name=value, or a single word, which begins the next challenge.
_PIECE = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z][A-Za-z0-9_-]*)')


class Challenge(Record):
    """One challenge of a registry. scheme: lower-case. parameters: by lower-case name."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Parse a WWW-Authenticate header; malformed parts are ignored."""
    challenges: list[Challenge] = []
    for name, quoted, plain, word in _PIECE.findall(header):
        if word:
            challenges.append(Challenge(word.lower(), {}))
        elif challenges:
            challenges[-1].parameters[name.lower()] = plain or re.sub(r"\\(.)", r"\1", quoted)
    return challenges


class Authenticator(TokenAuth):  # type: ignore[misc]  # oras ships no types
    """Answers the challenges for an oras client, for one registry and one scope.

    token: the value of the Authorization header for further requests.
    """

    def __init__(self, registry: str, scope: str, *, insecure: bool) -> None:
        """registry: its name in messages. scope: of the requested tokens. insecure: as for credential_gate."""
        super().__init__()
        self.session: requests.Session
        self.token: str | None = None
        self._registry = registry
        self._origin: Origin
        self._credentials: Credentials | None = None
        self._scope = scope
        self._insecure = insecure
        self._lock = threading.Lock()

    def bind(self, origin: Origin, credentials: Credentials | None) -> Credential:
        """Set the registry's origin and credentials, None for anonymous access; return the Credential of requests."""
        self._origin = origin
        self._credentials = credentials
        return Credential(origin, lambda _url: self.token, insecure=self._insecure)

    def get_auth_header(self) -> dict[str, str]:
        """Return no header. The session sets it, because only the session knows the final URL of a request."""
        return {}

    def authenticate_request(
        self,
        original: requests.Response,
        headers: dict[str, str] | None,
        refresh: bool = False,  # noqa: ARG002 - a parameter of oras; here a refused token is always renewed
    ) -> tuple[dict[str, str], bool]:
        """Get a token for a request that was refused; return its headers, and True to repeat it.

        Raises RegistryError where the registry cannot be satisfied.
        """
        # Read the body, so that the connection can be reused.
        read_all(original, MAX_ANSWER)
        origin = urls.parse(original.url).origin
        if origin != self._origin:
            # A redirect led to another server, which the credentials do not belong to.
            raise RegistryError(
                f"the registry {self._registry} redirects to {origin.netloc}, which refuses the request "
                f"(HTTP {original.status_code}); ask its operator to correct it"
            )
        sent = original.request.headers.get("Authorization")
        with self._lock:
            # Another thread may have renewed the token since.
            if self.token is None or self.token == sent:
                self.token = self._answer(original, sent)
        return dict(headers or {}), True

    def refused(self) -> RegistryError:
        """Return the error for a request that the registry refuses to the caller."""
        if not credential_gate.is_private(self._origin, insecure=self._insecure):
            return RegistryError(
                f"the registry {self._registry} asks for credentials over plain HTTP, where others can read them; "
                f"use its https address, or {option('--insecure')} to send them anyway"
            )
        login = f"run `tweed-shim login {self._registry}`"
        if self._credentials is None:
            return RegistryError(
                f"the registry {self._registry} requires credentials for {self._what()}; "
                f"{login}, or check the name"
            )
        return RegistryError(
            f"the registry {self._registry} refuses {self._what()} to these credentials; "
            f"{login} with others, or ask its operator for access"
        )

    def _what(self) -> str:
        kind, _, rest = self._scope.partition(":")
        return f"the {kind} {rest.rpartition(':')[0]}" if rest else "a login"

    def _answer(self, original: requests.Response, sent: str | None) -> str:
        challenges = {
            each.scheme: each for each in parse_challenges(original.headers.get("WWW-Authenticate", ""))
        }
        if not credential_gate.is_private(self._origin, insecure=self._insecure):
            raise self.refused()
        if "bearer" in challenges:
            return f"Bearer {self._token(challenges['bearer'].parameters)}"
        basic = self._basic()
        if "basic" not in challenges or basic is None or basic == sent:
            raise self.refused()
        return basic

    def _basic(self) -> str | None:
        if self._credentials is None or self._credentials.identity_token:
            return None
        pair = f"{self._credentials.username}:{self._credentials.password}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _token(self, parameters: dict[str, str]) -> str:
        realm = self._realm(parameters.get("realm", ""))
        fields = {"service": parameters.get("service", ""), "scope": parameters.get("scope") or self._scope}
        with explained(realm.origin.netloc):
            response = self._ask(realm, {name: value for name, value in fields.items() if value})
        check_passing(response)
        if response.status_code != http.HTTPStatus.OK:
            response.close()
            raise self.refused()
        return self._read_token(response)

    def _realm(self, text: str) -> Url:
        """Parse the URL of the token service. Raises RegistryError where it may not receive the credentials."""
        try:
            realm = urls.parse(text)
        except BadUrl as error:
            raise RegistryError(
                f"the registry {self._registry} names a malformed token service: {error}; "
                "ask its operator to correct it"
            ) from None
        if not credential_gate.may_ask_for_token(self._origin, realm.origin, insecure=self._insecure):
            raise RegistryError(
                f"the registry {self._registry} names a token service without https; "
                "ask its operator to correct it"
            )
        return realm

    def _ask(self, realm: Url, fields: dict[str, str]) -> requests.Response:
        """Request a token: with the identity token, with name and password, or anonymously."""
        # Always set, or requests would use the credential of the session, which is for the registry.
        credential = Credential(realm.origin, lambda _url: self._basic(), insecure=self._insecure)
        if self._credentials is not None and self._credentials.identity_token:
            form = {
                **fields,
                "grant_type": "refresh_token",
                "client_id": CLIENT_ID,
                "refresh_token": self._credentials.identity_token,
            }
            # A redirect would send the form, which holds a secret, to another address.
            return self.session.post(
                str(realm),
                data=form,
                auth=credential,
                stream=True,
                allow_redirects=False,
            )
        return self.session.get(str(realm), params=fields, auth=credential, stream=True)

    def _read_token(self, response: requests.Response) -> str:
        body = read_all(response, MAX_ANSWER)
        try:
            document: Any = json.loads(body or b"")
            token = document.get("token") or document.get("access_token")
        except (ValueError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not re.fullmatch("[!-~]+", token):
            raise RegistryError(
                f"the token server {host_of(response.url)} of the registry {self._registry} sent no token; "
                "ask its operator to correct it"
            )
        return token
