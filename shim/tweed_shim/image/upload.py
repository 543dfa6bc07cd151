"""Writing to a registry: blobs and manifests (OCI distribution specification, "Push", "Content Discovery").

A blob goes up in one piece, and is read again where the registry asks again; nothing that is there is sent.
"""

import http
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import requests

from tweed_shim.errors import RegistryError
from tweed_shim.http.bodies import read_all
from tweed_shim.http.connect_options import DEFAULT_OPTIONS, ConnectOptions
from tweed_shim.http.connection import PATIENCE, Patience
from tweed_shim.http.urls import Origin, Url
from tweed_shim.image import stored_credentials
from tweed_shim.image.content import Content
from tweed_shim.image.reference import is_digest
from tweed_shim.image.registry import MANIFEST_TYPES, Repository, error_codes
from tweed_shim.image.registry_client import Find, open_client

MAX_TAGS = 16 << 20
MOST_PAGES = 1000

_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class _Body:
    """A request's body that begins anew with each request, so that one who is asked who he is can ask again."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def __len__(self) -> int:
        return self._content.size

    def __iter__(self) -> Iterator[bytes]:
        return self._content.chunks()


class Writable(Repository):
    """One repository of a registry, to be written to and listed."""

    def has_manifest(self, tag_or_digest: str) -> bool:
        """Whether there is such a manifest. Raises RegistryError."""
        return self._is_there(f"manifests/{tag_or_digest}", self._called(tag_or_digest))

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is there. Raises RegistryError."""
        return self._is_there(f"blobs/{digest}", self._called(digest))

    def push_blob(self, digest: str, content: Content) -> None:
        """Have a blob in the repository. Raises RegistryError."""
        if self.has_blob(digest):
            return
        what = f"the blob {digest} for {self._registry}/{self._name}"
        with self._send("POST", self._client.url(f"{self._name}/blobs/uploads/"), what, b"") as answer:
            address = self._upload_address(answer, what)
        headers = {"Content-Type": "application/octet-stream"}
        target = address.with_query(urlencode({"digest": digest}))
        self._send("PUT", str(target), what, _Body(content), headers).close()

    def push_manifest(self, tag_or_digest: str, media_type: str, body: bytes) -> None:
        """Have a manifest in the repository, of which all blobs are there. Raises RegistryError."""
        url = self._client.url(f"{self._name}/manifests/{tag_or_digest}")
        self._send("PUT", url, self._called(tag_or_digest), body, {"Content-Type": media_type}).close()

    def tags(self) -> list[str]:
        """All tags; none where the registry does not know the repository. Raises RegistryError."""
        found: list[str] = []
        what = f"the tags of {self._registry}/{self._name}"
        path = "tags/list"
        for _ in range(MOST_PAGES):
            response = self._request(path, what, good=(http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND))
            link = _NEXT.search(response.headers.get("Link", ""))
            body = read_all(response, MAX_TAGS)
            if response.status_code == http.HTTPStatus.NOT_FOUND:
                return found
            found += _tags(body, what)
            if link is None:
                return found
            # Only the query counts: many registries do not know under which address they are asked.
            path = f"tags/list?{link[1].partition('?')[2]}"
        raise RegistryError(
            f"the registry {self._registry} gives {what} without end: have its operator mend that"
        )

    def _is_there(self, path: str, what: str) -> bool:
        good = (http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND)
        accept = {"Accept": ", ".join(MANIFEST_TYPES)}
        with self._request(path, what, method="HEAD", headers=accept, good=good) as response:
            return response.status_code == http.HTTPStatus.OK

    def _upload_address(self, answer: requests.Response, what: str) -> Url:
        """Where the registry wants the blob: at its own address, where the credentials may go."""
        location = answer.headers.get("Location", "")
        if not location:
            raise RegistryError(
                f"the registry {self._registry} names no address to send {what} to: have its operator mend that"
            )
        address: Url = self._client.own_url(location, relative_to=answer.url)
        return address

    def _send(
        self, method: str, url: str, what: str, data: Any, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        response: requests.Response = self._client.do_request(url, method, data, dict(headers or {}))
        if response.status_code in (http.HTTPStatus.CREATED, http.HTTPStatus.ACCEPTED):
            return response
        if response.status_code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            response.close()
            refused: RegistryError = self._client.auth.refused()
            raise refused
        told = f"HTTP {response.status_code}{''.join(f', {code}' for code in error_codes(response))}"
        raise RegistryError(
            f"the registry {self._registry} did not take {what} ({told}): have its operator mend that"
        )


def _tags(body: bytes | None, what: str) -> list[str]:
    try:
        tags = json.loads(body or b"")["tags"] or []
    except (ValueError, KeyError, TypeError, RecursionError):
        tags = None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RegistryError(f"the answer of the registry is no list of {what}: have its operator mend that")
    return [tag for tag in tags if not is_digest(tag)]


def open_writable(
    registry: str,
    repository: str,
    *,
    writing: bool,
    find: Find | None = None,
    plain: bool = False,
    connect: ConnectOptions = DEFAULT_OPTIONS,
    environ: Mapping[str, str] = os.environ,
    patience: Patience = PATIENCE,
) -> Writable:
    """Open a repository of `host[:port]`; `writing` asks for more than reading.

    find: what it finds comes before the credentials that are kept. plain: as for `open_client`. Raises as
    registry.open_repository does.
    """

    def found(origin: Origin) -> stored_credentials.Credentials | None:
        return (find(origin) if find else None) or stored_credentials.find(registry, repository, environ)

    client = open_client(
        registry,
        found,
        scope=f"repository:{repository}:{'pull,push' if writing else 'pull'}",
        plain=plain,
        connect=connect,
        environ=environ,
        patience=patience,
    )
    return Writable(client, registry, repository)
