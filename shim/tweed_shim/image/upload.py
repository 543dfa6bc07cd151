"""Uploads blobs and manifests to a registry, and lists tags.

A blob is sent in one request, and read again where the request is repeated. A blob that the registry has is not sent.
Source: OCI distribution specification, "Push" and "Content Discovery".
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
from tweed_shim.http.retries import DEFAULT_RETRY_POLICY, RetryPolicy
from tweed_shim.http.urls import Origin, Url
from tweed_shim.image import credential_files, stored_credentials
from tweed_shim.image.content import Content
from tweed_shim.image.reference import is_digest
from tweed_shim.image.registry import MANIFEST_TYPES, Repository, error_codes
from tweed_shim.image.registry_client import Find, open_client

MAX_TAGS = 16 << 20
MOST_PAGES = 1000

_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class _Body:
    """A request body that starts again for each request, so that a request can be repeated after a 401."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def __len__(self) -> int:
        return self._content.size

    def __iter__(self) -> Iterator[bytes]:
        return self._content.chunks()


class WritableRepository(Repository):
    """One repository of a registry, with the requests that write and list."""

    def has_manifest(self, tag_or_digest: str) -> bool:
        """Tell whether the repository has a manifest. Raises RegistryError."""
        return self._exists(f"manifests/{tag_or_digest}", self._name_of(tag_or_digest))

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository has a blob. Raises RegistryError."""
        return self._exists(f"blobs/{digest}", self._name_of(digest))

    def push_blob(self, digest: str, content: Content) -> None:
        """Upload a blob, unless the repository has it. Raises RegistryError."""
        if self.has_blob(digest):
            return
        what = f"the blob {digest} for {self._registry}/{self._name}"
        with self._send("POST", self._client.url(f"{self._name}/blobs/uploads/"), what, data=b"") as answer:
            address = self._upload_address(answer, what)
        headers = {"Content-Type": "application/octet-stream"}
        target = address.with_query(urlencode({"digest": digest}))
        self._send("PUT", str(target), what, data=_Body(content), headers=headers).close()

    def push_manifest(self, tag_or_digest: str, media_type: str, body: bytes) -> None:
        """Upload a manifest, whose blobs the repository has. Raises RegistryError."""
        url = self._client.url(f"{self._name}/manifests/{tag_or_digest}")
        self._send(
            "PUT", url, self._name_of(tag_or_digest), data=body, headers={"Content-Type": media_type}
        ).close()

    def tags(self) -> list[str]:
        """Return all tags; none for an unknown repository. Raises RegistryError."""
        tags: list[str] = []
        what = f"the tags of {self._registry}/{self._name}"
        path = "tags/list"
        for _ in range(MOST_PAGES):
            response = self._request(path, what, good=(http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND))
            link = _NEXT.search(response.headers.get("Link", ""))
            body = read_all(response, MAX_TAGS)
            if response.status_code == http.HTTPStatus.NOT_FOUND:
                return tags
            tags += _tags(body, what)
            if link is None:
                return tags
            # Only the query is used: many registries do not know their own public address.
            path = f"tags/list?{link[1].partition('?')[2]}"
        raise RegistryError(
            f"the registry {self._registry} sends {what} in more than {MOST_PAGES} pages; "
            "ask its operator to correct it"
        )

    def _exists(self, path: str, what: str) -> bool:
        good = (http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND)
        accept = {"Accept": ", ".join(MANIFEST_TYPES)}
        with self._request(path, what, method="HEAD", headers=accept, good=good) as response:
            return response.status_code == http.HTTPStatus.OK

    def _upload_address(self, answer: requests.Response, what: str) -> Url:
        """Return the upload URL of a response. Raises RegistryError for one outside of the registry's own origin."""
        location = answer.headers.get("Location", "")
        if not location:
            raise RegistryError(
                f"the registry {self._registry} names no address to send {what} to; ask its operator to correct it"
            )
        address: Url = self._client.own_url(location, relative_to=answer.url)
        return address

    def _send(
        self, method: str, url: str, what: str, *, data: Any, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        response: requests.Response = self._client.do_request(url, method, data, dict(headers or {}))
        if response.status_code in (http.HTTPStatus.CREATED, http.HTTPStatus.ACCEPTED):
            return response
        if response.status_code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            response.close()
            refused: RegistryError = self._client.auth.refused()
            raise refused
        status = f"HTTP {response.status_code}{''.join(f', {code}' for code in error_codes(response))}"
        raise RegistryError(
            f"the registry {self._registry} did not accept {what} ({status}); ask its operator to correct it"
        )


def _tags(body: bytes | None, what: str) -> list[str]:
    try:
        tags = json.loads(body or b"")["tags"] or []
    except (ValueError, KeyError, TypeError, RecursionError):
        tags = None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RegistryError(
            f"the registry did not answer with a list of {what}; ask its operator to correct it"
        )
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
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> WritableRepository:
    """Open a repository of `host[:port]`. writing: request a token for pushing too.

    find: its credentials come before the stored ones. plain: as for `open_client`. Raises as
    registry.open_repository.
    """

    def find_login(origin: Origin) -> credential_files.Credentials | None:
        return (find(origin) if find else None) or stored_credentials.find(registry, repository, environ)

    client = open_client(
        registry,
        find_login,
        scope=f"repository:{repository}:{'pull,push' if writing else 'pull'}",
        plain=plain,
        connect=connect,
        environ=environ,
        retry_policy=retry_policy,
    )
    return WritableRepository(client, registry, repository)
