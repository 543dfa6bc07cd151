"""One repository of one registry: its manifests and blobs, over the OCI distribution specification."""

import hashlib
import http
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self

import requests

from tweed_shim.connect_options import DEFAULT_OPTIONS, ConnectOptions
from tweed_shim.errors import RegistryError
from tweed_shim.image import credentials, reference
from tweed_shim.image.bodies import decompressed, is_compressed, read_all, read_chunks
from tweed_shim.image.connection import PATIENCE, Patience, Tries
from tweed_shim.image.deadline import NO_DEADLINE, Deadline
from tweed_shim.image.network_faults import PassingFault
from tweed_shim.image.registry_client import MAX_ERROR, Client, open_client
from tweed_shim.letters import decimal

MAX_MANIFEST = 4 << 20
TAGS = "tags/list"
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)

_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")


class Manifest(NamedTuple):
    """A manifest or index as the registry gave it.

    media_type: the Content-Type without parameters, empty where none was given. digest: the one asked for, or
    the body's SHA-256 where a tag was asked for.
    """

    media_type: str
    body: bytes
    digest: str


class Blob(NamedTuple):
    """A blob on its way. offset: where in it the first chunk begins, 0 or what was asked for."""

    offset: int
    chunks: Iterator[bytes]


class Repository:
    """One repository. Its methods may be called from several threads; `close` ends them all."""

    def __init__(self, client: Client, registry: str, name: str) -> None:
        self._client = client
        self._registry = registry
        self._name = name

    def manifest(self, tag_or_digest: str) -> Manifest:
        """Get a manifest or index of at most 4 MiB, whole and verified. Raises RegistryError."""
        try:
            return self._manifest(tag_or_digest)
        except PassingFault:
            # The body was cut or is not what its digest says: that can be an accident once.
            return self._manifest(tag_or_digest)

    def resolve(self, tag: str) -> str:
        """The digest that a tag stands for now. Raises RegistryError."""
        with self._request(
            f"manifests/{tag}", self._called(tag), method="HEAD", headers=_accept()
        ) as response:
            digest = response.headers.get("Docker-Content-Digest", "")
        return digest if reference.is_digest(digest) else self.manifest(tag).digest

    @contextmanager
    def open_blob(self, digest: str, offset: int = 0, *, size: int | None = None) -> Iterator[Blob]:
        """Begin to read a blob at `offset`, or at 0 where the registry does not give a part.

        size: of the whole blob, where it is known; what was compressed on the way is then expanded. The bytes are
        otherwise as the registry holds them, unverified. Raises RegistryError; PassingFault where
        the connection broke, and one can open the blob again.
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
        if partial and _is_changed(response, offset, size):
            # A part of what was compressed is of no use.
            response.close()
            response, partial = self._request(path, what), False
        with response:
            if partial and not _begins_at(response, offset):
                raise RegistryError(
                    f"the registry {self._registry} gave another part of {what} than asked for: try again"
                )
            chunks = read_chunks(response)
            if size is not None and not partial and _is_changed(response, 0, size):
                chunks = decompressed(chunks, size + 1, self._registry)
            yield Blob(offset if partial else 0, chunks)

    def tries(self) -> Tries:
        """A new count of failures, for what takes several requests."""
        return self._client.tries()

    def close(self) -> None:
        """End what is under way, in other threads too; nothing can be got after it."""
        self._client.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is under way."""
        self.close()

    def _called(self, tag_or_digest: str) -> str:
        separator = "@" if ":" in tag_or_digest else ":"
        return f"{self._registry}/{self._name}{separator}{tag_or_digest}"

    def _manifest(self, tag_or_digest: str) -> Manifest:
        what = self._called(tag_or_digest)
        response = self._request(f"manifests/{tag_or_digest}", what, headers=_accept())
        body = read_all(response, MAX_MANIFEST)
        if body is None:
            raise RegistryError(f"the manifest of {what} is longer than 4 MiB: that is no image to run")
        stated = response.headers.get("Docker-Content-Digest", "")
        wanted = tag_or_digest if ":" in tag_or_digest else stated
        if wanted and not (reference.is_digest(wanted) and _digest(wanted.partition(":")[0], body) == wanted):
            raise PassingFault(f"the manifest of {what} does not have the digest {wanted[:150]!r}: try again")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Manifest(media_type, body, wanted if wanted == tag_or_digest else _digest("sha256", body))

    def _request(
        self,
        path: str,
        what: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        good: tuple[int, ...] = (http.HTTPStatus.OK,),
    ) -> requests.Response:
        """Ask for something below the repository; raises RegistryError for an answer that is not good."""
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
            raise self._not_there(path, what, codes)
        told = f"HTTP {response.status_code}{''.join(f', {code}' for code in codes)}"
        raise RegistryError(
            f"the registry {self._registry} did not give {what} ({told}): have its operator mend that"
        )

    def _not_there(self, path: str, what: str, codes: list[str]) -> RegistryError:
        """Return the error for a 404: which part of the name the registry does not know."""
        known = False if "NAME_UNKNOWN" in codes else None if path == TAGS else self._is_known()
        if known is False:
            return RegistryError(
                f"the registry {self._registry} does not have the repository {self._name}: check its name"
            )
        kind = "the digest" if "@" in what or " " in what else "the tag"
        parts = f"{kind}, as the repository is there" if known else f"the repository and {kind}"
        return RegistryError(f"the registry {self._registry} does not have {what}: check {parts}")

    def _is_known(self) -> bool | None:
        """Whether the registry knows the repository; None where it does not tell.

        Few tell an unknown repository from an unknown tag where a manifest is asked for: docker-registry does not.
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


def _is_changed(response: requests.Response, offset: int, size: int | None) -> bool:
    """Whether a blob was compressed on the way. Some are only said to be, by the storage that they lie in."""
    length = response.headers.get("Content-Length")
    return size is not None and is_compressed(response) and length != str(size - offset)


def open_repository(
    image: reference.Reference,
    *,
    connect: ConnectOptions = DEFAULT_OPTIONS,
    deadline: Deadline = NO_DEADLINE,
    environ: Mapping[str, str] = os.environ,
    patience: Patience = PATIENCE,
) -> Repository:
    """Open the repository of a reference to a registry with the credentials that are kept for it.

    Raises RegistryError (PullTimedOut where the deadline has passed), ConfigError (a bad file) and HostError (a
    credential program that is missing).
    """
    client = open_client(
        image.registry,
        lambda _origin: credentials.find(image.registry, image.repository, environ),
        scope=f"repository:{image.repository}:pull",
        connect=connect,
        deadline=deadline,
        environ=environ,
        patience=patience,
    )
    return Repository(client, image.registry, image.repository)


def _accept() -> dict[str, str]:
    return {"Accept": ", ".join(MANIFEST_TYPES)}


def _digest(algorithm: str, body: bytes) -> str:
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def _begins_at(response: requests.Response, offset: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return match is not None and decimal(match[1]) == offset


def error_codes(response: requests.Response) -> list[str]:
    """The codes of an error answer (OCI distribution specification, "Error Codes"): safe to show."""
    try:
        errors = json.loads(read_all(response, MAX_ERROR) or b"")["errors"]
        codes = [each["code"] for each in errors]
    except (ValueError, KeyError, TypeError, RecursionError, RegistryError):
        return []
    return [code for code in codes if isinstance(code, str) and re.fullmatch("[A-Z_]{1,40}", code)]
