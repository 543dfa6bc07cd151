"""Answers to a registry that asks who is calling (a 401 with WWW-Authenticate).

Sources: RFC 9110, section 11 (challenges), RFC 7617 (Basic), and the distribution project's "Token
Authentication Specification" and "Oauth2 Token Authentication" (Bearer).
"""

import base64
import http
import json
import re
import threading
from typing import Any, NamedTuple

import requests

from tweed_shim import credential_gate, urls
from tweed_shim.errors import BadUrl, RegistryError
from tweed_shim.image.bodies import read_all
from tweed_shim.image.connection import Credential
from tweed_shim.image.credentials import Credentials
from tweed_shim.image.network_faults import check_passing, explained, host_of
from tweed_shim.image.oras_parts import TokenAuth
from tweed_shim.option_names import option
from tweed_shim.urls import Origin, Url

CLIENT_ID = "tweed-shim"
MAX_ANSWER = 1 << 20

# name="value" or name=value; or a word alone, which begins the next challenge.
_PIECE = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z][A-Za-z0-9_-]*)')


class Challenge(NamedTuple):
    """What a registry asks for. scheme: lower-case; parameters: by lower-case name."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a WWW-Authenticate header, in its order; what is malformed is passed over."""
    challenges: list[Challenge] = []
    for name, quoted, plain, word in _PIECE.findall(header):
        if word:
            challenges.append(Challenge(word.lower(), {}))
        elif challenges:
            challenges[-1].parameters[name.lower()] = plain or re.sub(r"\\(.)", r"\1", quoted)
    return challenges


class Authenticator(TokenAuth):  # type: ignore[misc]  # oras ships no types
    """The part of an oras client that answers challenges, for one registry and one repository of it.

    `token` is the whole value of the Authorization header that was accepted last.
    """

    def __init__(self, registry: str, scope: str, *, insecure: bool) -> None:
        """registry: as messages call it. scope: what a token is for. insecure: as for credential_gate."""
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
        """Set what was found for the origin of the registry, None to ask anonymously; return what requests carry."""
        self._origin = origin
        self._credentials = credentials
        return Credential(origin, lambda _url: self.token, insecure=self._insecure)

    def get_auth_header(self) -> dict[str, str]:
        """Return no header: the session puts it in, where it knows where the request goes."""
        return {}

    def authenticate_request(
        self,
        original: requests.Response,
        headers: dict[str, str] | None,
        refresh: bool = False,  # noqa: ARG002 - oras says so; here a token that was refused is always renewed
    ) -> tuple[dict[str, str], bool]:
        """Get what the refused request needs; returns its new headers.

        Raises RegistryError where nothing helps.
        """
        # Read, so that the connection can be used again.
        read_all(original, MAX_ANSWER)
        origin = urls.parse(original.url).origin
        if origin != self._origin:
            # Whoever the registry sends to is not the one that the credentials are for.
            raise RegistryError(
                f"the registry {self._registry} sends to {origin.netloc}, which refuses to answer "
                f"(HTTP {original.status_code}): have its operator mend that"
            )
        sent = original.request.headers.get("Authorization")
        with self._lock:
            # Another thread may have got a new token since.
            if self.token is None or self.token == sent:
                self.token = self._answer(original, sent)
        return dict(headers or {}), True

    def refused(self) -> RegistryError:
        """The error of a caller who may not do what was asked for."""
        if not credential_gate.is_private(self._origin, insecure=self._insecure):
            return RegistryError(
                f"the registry {self._registry} asks for credentials over plain HTTP, where others can read them: "
                f"use its https address, or {option('--insecure')} to send them nevertheless"
            )
        login = f"run `tweed-shim login {self._registry}`"
        if self._credentials is None:
            return RegistryError(
                f"the registry {self._registry} gives {self._what()} to nobody without credentials: "
                f"{login}, or check the name"
            )
        return RegistryError(
            f"the registry {self._registry} refuses {self._what()} to the credentials that it was given: "
            f"{login} with others, or have its operator allow it"
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
        """Read the address of the token service. Raises RegistryError where it may not be told the credentials."""
        try:
            realm = urls.parse(text)
        except BadUrl as error:
            raise RegistryError(
                f"the registry {self._registry} names a malformed address to get a token from ({error}): "
                "have its operator mend that"
            ) from None
        if not credential_gate.may_ask_for_token(self._origin, realm.origin, insecure=self._insecure):
            raise RegistryError(
                f"the registry {self._registry} names no https address to get a token from: "
                "have its operator mend that"
            )
        return realm

    def _ask(self, realm: Url, fields: dict[str, str]) -> requests.Response:
        """Ask for a token: with the identity token, with name and password, or with nothing."""
        # Always its own, so that what the session has for the registry does not go along.
        caller = Credential(realm.origin, lambda _url: self._basic(), insecure=self._insecure)
        if self._credentials is not None and self._credentials.identity_token:
            form = {
                **fields,
                "grant_type": "refresh_token",
                "client_id": CLIENT_ID,
                "refresh_token": self._credentials.identity_token,
            }
            # A redirect would carry the form, and the secret in it, somewhere else.
            return self.session.post(
                str(realm),
                data=form,
                auth=caller,
                stream=True,
                allow_redirects=False,
            )
        return self.session.get(str(realm), params=fields, auth=caller, stream=True)

    def _read_token(self, response: requests.Response) -> str:
        body = read_all(response, MAX_ANSWER)
        try:
            document: Any = json.loads(body or b"")
            token = document.get("token") or document.get("access_token")
        except (ValueError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not re.fullmatch("[!-~]+", token):
            raise RegistryError(
                f"the token server {host_of(response.url)} of the registry {self._registry} gave no token: "
                "have its operator mend that"
            )
        return token
