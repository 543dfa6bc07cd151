"""Reads manifests and blobs of one repository in a registry (OCI distribution specification, "Pull")."""

import http
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import requests

from tweed_shim.base.deadline import NO_DEADLINE, Deadline
from tweed_shim.base.records import Record
from tweed_shim.base.text import decimal
from tweed_shim.errors import RegistryError
from tweed_shim.http.bodies import decompressed, is_compressed, read_all, read_chunks
from tweed_shim.http.connect_options import DEFAULT_OPTIONS, ConnectOptions
from tweed_shim.http.network_faults import PassingFault
from tweed_shim.http.retries import DEFAULT_RETRY_POLICY, Retries, RetryPolicy
from tweed_shim.image import json_fields, reference, stored_credentials
from tweed_shim.image.content import digest_of
from tweed_shim.image.manifest import RawManifest
from tweed_shim.image.registry_client import MAX_ERROR, Client, open_client

TAGS = "tags/list"
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)

_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")


class Blob(Record):
    """A blob that is being read. offset: of the first chunk, either 0 or the requested one."""

    offset: int
    chunks: Iterator[bytes]


class Repository:
    """One repository of a registry. Several threads may call its methods; `close` ends all of them."""

    def __init__(self, client: Client, registry: str, name: str) -> None:
        self._client = client
        self._registry = registry
        self._name = name

    def manifest(self, tag_or_digest: str) -> RawManifest:
        """Return a manifest or index of at most 4 MiB, verified. Raises RegistryError."""
        try:
            return self._manifest(tag_or_digest)
        except PassingFault:
            # The body was cut, or its digest is wrong. Once, that may be an accident of the transfer.
            return self._manifest(tag_or_digest)

    def resolve(self, tag: str) -> str:
        """Return the digest that a tag names now. Raises RegistryError."""
        with self._request(
            f"manifests/{tag}", self._name_of(tag), method="HEAD", headers=_accept()
        ) as response:
            digest = response.headers.get("Docker-Content-Digest", "")
        return digest if reference.is_digest(digest) else self.manifest(tag).digest

    @contextmanager
    def open_blob(self, digest: str, offset: int = 0, *, size: int | None = None) -> Iterator[Blob]:
        """Open a blob at `offset`, or at 0 where the registry does not support ranges.

        size: of the whole blob, if known; needed to undo a Content-Encoding. The bytes are not verified. Raises
        RegistryError, and PassingFault where the connection broke and the blob can be opened again.
        """
        path, what = f"blobs/{digest}", f"the blob {digest} of {self._registry}/{self._name}"
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        good = (
            http.HTTPStatus.OK,
            http.HTTPStatus.PARTIAL_CONTENT,
            http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        )
        response = self._request(path, what, headers=headers, good=good if offset else good[:1])
        if response.status_code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            response.close()
            response = self._request(path, what)
        partial = response.status_code == http.HTTPStatus.PARTIAL_CONTENT
        if partial and _is_encoded(response, offset, size):
            # A range of the compressed bytes cannot be expanded.
            response.close()
            response, partial = self._request(path, what), False
        with response:
            if partial and not _begins_at(response, offset):
                raise RegistryError(
                    f"the registry {self._registry} sent another range of {what} than requested; try again"
                )
            chunks = read_chunks(response)
            if size is not None and not partial and _is_encoded(response, 0, size):
                chunks = decompressed(chunks, size + 1, self._registry)
            yield Blob(offset if partial else 0, chunks)

    def retries(self) -> Retries:
        """Return a new count of failures, for a transfer of several requests."""
        return self._client.retries()

    def close(self) -> None:
        """End all requests, in other threads too. No request is possible afterwards."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the repository."""
        self.close()

    def _name_of(self, tag_or_digest: str) -> str:
        separator = "@" if ":" in tag_or_digest else ":"
        return f"{self._registry}/{self._name}{separator}{tag_or_digest}"

    def _manifest(self, tag_or_digest: str) -> RawManifest:
        what = self._name_of(tag_or_digest)
        response = self._request(f"manifests/{tag_or_digest}", what, headers=_accept())
        body = read_all(response, json_fields.MAX_DOCUMENT)
        if body is None:
            raise RegistryError(
                f"the manifest of {what} is larger than 4 MiB, which is the most that is read; use another image"
            )
        stated = response.headers.get("Docker-Content-Digest", "")
        expected = tag_or_digest if ":" in tag_or_digest else stated
        if expected and not _has_digest(body, expected):
            raise PassingFault(
                f"the manifest of {what} does not have the digest {expected[:150]!r}; try again"
            )
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        # It is verified by the digest that was asked for, sha512 too; the store knows sha256 only.
        return RawManifest(media_type, body, digest_of([body]))

    def _request(
        self,
        path: str,
        what: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        good: tuple[int, ...] = (http.HTTPStatus.OK,),
    ) -> requests.Response:
        """Send a request for a path below the repository. good: the expected statuses; others raise RegistryError."""
        url = self._client.url(f"{self._name}/{path}")
        response = self._client.do_request(url, method, headers=dict(headers or {}))
        if response.status_code in good:
            return response
        if response.status_code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            response.close()
            refused: RegistryError = self._client.auth.refused()
            raise refused
        codes = error_codes(response)
        if response.status_code == http.HTTPStatus.NOT_FOUND:
            raise self._not_found(path, what, codes)
        status = f"HTTP {response.status_code}{''.join(f', {code}' for code in codes)}"
        raise RegistryError(
            f"the registry {self._registry} did not send {what} ({status}); ask its operator to correct it"
        )

    def _not_found(self, path: str, what: str, codes: list[str]) -> RegistryError:
        """Return the error for status 404, which names the unknown part: the repository, the tag or the digest."""
        known = False if "NAME_UNKNOWN" in codes else None if path == TAGS else self._is_known()
        if known is False:
            return RegistryError(
                f"the registry {self._registry} does not have the repository {self._name}; check its name"
            )
        kind = "the digest" if "@" in what or " " in what else "the tag"
        parts = f"{kind}, as the repository is there" if known else f"the repository and {kind}"
        return RegistryError(f"the registry {self._registry} does not have {what}; check {parts}")

    def _is_known(self) -> bool | None:
        """Tell whether the registry has the repository; None where it does not say.

        Many registries, docker-registry too, answer a request for a manifest alike for an unknown tag and repository.
        """
        url = self._client.url(f"{self._name}/{TAGS}?n=1")
        try:
            response = self._client.do_request(url)
            if response.status_code == http.HTTPStatus.OK:
                response.close()
                return True
            if response.status_code == http.HTTPStatus.NOT_FOUND and "NAME_UNKNOWN" in error_codes(response):
                return False
            response.close()
        except RegistryError:
            pass
        return None


def _is_encoded(response: requests.Response, offset: int, size: int | None) -> bool:
    """Tell whether the body of a blob has a Content-Encoding.

    Some object storages state gzip for a blob that is a gzip file itself. Its Content-Length is then that of the blob.
    """
    length = response.headers.get("Content-Length")
    return size is not None and is_compressed(response) and length != str(size - offset)


def open_repository(
    image: reference.Reference,
    *,
    connect: ConnectOptions = DEFAULT_OPTIONS,
    deadline: Deadline = NO_DEADLINE,
    environ: Mapping[str, str] = os.environ,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> Repository:
    """Open the repository of a reference with the stored credentials for it.

    Raises RegistryError (PullTimedOut where the deadline has passed), ConfigError (a bad file) and HostError (a
    credential program that is missing).
    """
    client = open_client(
        image.registry,
        lambda _origin: stored_credentials.find(image.registry, image.repository, environ),
        scope=f"repository:{image.repository}:pull",
        connect=connect,
        deadline=deadline,
        environ=environ,
        retry_policy=retry_policy,
    )
    return Repository(client, image.registry, image.repository)


def _accept() -> dict[str, str]:
    return {"Accept": ", ".join(MANIFEST_TYPES)}


def _has_digest(body: bytes, digest: str) -> bool:
    return reference.is_digest(digest) and digest_of([body], digest.partition(":")[0]) == digest


def _begins_at(response: requests.Response, offset: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return match is not None and decimal(match[1]) == offset


def error_codes(response: requests.Response) -> list[str]:
    """Return the codes in an error response that are safe to show (OCI distribution specification, "Error Codes")."""
    try:
        errors = json.loads(read_all(response, MAX_ERROR) or b"")["errors"]
        codes = [each["code"] for each in errors]
    except (ValueError, KeyError, TypeError, RecursionError, RegistryError):
        return []
    return [code for code in codes if isinstance(code, str) and re.fullmatch("[A-Z_]{1,40}", code)]
