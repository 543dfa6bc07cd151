"""Access methods: read the content that the access specification of a resource or a source leads to.

Each method is one row of `_METHODS`.
Source: OCM specification, doc/04-extensions/02-access-types, and the attribute names that its reference implementation
reads.
"""

import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from tweed_shim.base import extras
from tweed_shim.base.option_names import option
from tweed_shim.base.records import Record
from tweed_shim.data import documents
from tweed_shim.errors import BadReference, BadUrl, ComponentError
from tweed_shim.http import urls
from tweed_shim.http.urls import Origin, Url
from tweed_shim.image import reference
from tweed_shim.image.manifest import LARGEST_BLOB, Descriptor
from tweed_shim.image.reference import Reference
from tweed_shim.ocm import artifact_sets, artifact_store, artifacts, consumer_identity
from tweed_shim.ocm.access_spec import (
    VERB_HEADERS,
    Access,
    access_type,
    local_reference,
    media_type,
)
from tweed_shim.ocm.blob_access import Blob, SpoolFile
from tweed_shim.ocm.oci_artifact import OciArtifact
from tweed_shim.ocm.oci_repository import OciRepository
from tweed_shim.ocm.registry_store import ConnectionSettings, RegistryStore
from tweed_shim.ocm.repository import ComponentVersion

HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
TGZ = "application/x-tgz"
BYTES = "application/octet-stream"
NO_CONTENT = "none"
GET = "GET"

_GITHUB, _GITHUB_API = Origin("https", "github.com", 443), Origin("https", "api.github.com", 443)
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


class AccessRequest(Record):
    """An access to follow, and how.

    what: names the content in errors. stack: keeps open what the access method opens.
    """

    version: ComponentVersion
    access: Access
    what: str
    connection: ConnectionSettings
    stack: ExitStack

    def text(self, *keys: str) -> str:
        """Return the text of the first attribute that is there. Raises ComponentError where none is."""
        for key in keys:
            value = self.access.get(key)
            if isinstance(value, str) and value:
                return value
        raise ComponentError(f"the access of {self.what} has no {keys[0]}; build the component version again")

    def url(self, text: str, base: Url | None = None) -> Url:
        """Parse an address, which may be relative to `base`. Raises ComponentError."""
        try:
            return base.join(text) if base else urls.parse(text)
        except BadUrl as error:
            raise ComponentError(
                f"the address in the access of {self.what} cannot be used: {error}; "
                "build the component version again"
            ) from None

    def registry(self, host: str, *, plain: bool = False) -> RegistryStore:
        """Return a registry to read."""
        return RegistryStore(host, self.connection, self.stack, plain=plain)


Method = Callable[[AccessRequest], Blob]


def get_blob(request: AccessRequest) -> Blob:
    """Return the content that an access leads to. Raises ComponentError or RegistryError where it cannot be read."""
    kind = access_type(request.access)
    if (local := local_reference(request.access)) is not None:
        return request.version.local_blob(local, media_type(request.access))
    if kind not in _METHODS:
        raise ComponentError(
            f"{request.what} cannot be read: its access type {request.access.get('type')!r} is not supported; "
            "transfer the "
            "component version with a tool that supports it, and embed the resources (ocm transfer --copy-resources)"
        )
    return _METHODS[kind](request)


def name_hint(version: ComponentVersion, access: Access) -> str:
    """Return the `referenceName` of a local blob that an access becomes: the artifact's name for a later upload."""
    if local_reference(access) is not None:
        name = access.get("referenceName")
        return name if isinstance(name, str) else ""
    if access_type(access) == _RELATIVE:
        return str(access.get("reference") or "").partition("@")[0]
    if access_type(access) not in _OCI_ARTIFACT:
        return ""
    parsed, _ = _parse_reference(str(access.get("imageReference")), f"a resource of {version}")
    repository = version.repository
    prefix = repository.sub_path if isinstance(repository, OciRepository) else ""
    name = parsed.repository.removeprefix(f"{prefix}/") if prefix else parsed.repository
    return f"{name}:{parsed.tag}" if parsed.tag else name


def _parse_reference(text: str, what: str) -> tuple[Reference, bool]:
    """Return an image reference, and whether it asks for plain HTTP."""
    match = re.fullmatch("(?:(https?|oci)://)?(.*)", text, re.DOTALL)
    try:
        parsed = reference.parse(f"docker://{match[2]}" if match else text)
    except BadReference as error:
        raise ComponentError(f"the access of {what} is malformed: {error}") from None
    return parsed, bool(match and match[1] == "http")


def image_reference(access: Access, what: str) -> Reference | None:
    """Return the image reference of an OCI artifact in its registry; None for other accesses. Raises ComponentError.

    None too for plain HTTP: anybody on the way can answer there, so the store must not keep the image under the name of
    the registry.
    """
    if access_type(access) not in _OCI_ARTIFACT:
        return None
    parsed, plain = _parse_reference(str(access.get("imageReference") or ""), what)
    return None if plain else parsed


class LocatedArtifact(Record):
    """An OCI artifact in a registry, or in the archive that holds the component version, and its tag if it has one."""

    artifact: OciArtifact
    tag: str


def locate_artifact(request: AccessRequest) -> LocatedArtifact | None:
    """Return the OCI artifact of a request and its store; None where the access is of another type.

    Raises ComponentError and RegistryError where the store does not have it.
    """
    kind = access_type(request.access)
    if kind in _OCI_ARTIFACT:
        parsed, plain = _parse_reference(request.text("imageReference"), request.what)
        store: artifact_store.ArtifactStore = request.registry(parsed.registry, plain=plain)
    elif kind == _RELATIVE:
        repository = request.version.repository
        if not isinstance(repository, OciRepository):
            raise ComponentError(
                f"{request.what} has an access relative to a registry, and {repository.what} is an archive; read it "
                "from its registry"
            )
        # The grammar of references requires a host; it is left out again.
        parsed, _ = _parse_reference(f"relative.invalid/{request.text('reference')}", request.what)
        store = repository.store
    else:
        return None
    tag_or_digest = parsed.digest or parsed.tag or reference.DEFAULT_TAG
    raw = store.manifest(parsed.repository, tag_or_digest)
    if raw is None:
        raise ComponentError(
            f"{store.what} does not have {parsed.repository}:{tag_or_digest}, which is {request.what}; push it again"
        )
    digest = parsed.digest or raw.digest
    return LocatedArtifact(OciArtifact(store, parsed.repository, digest, request.what), parsed.tag or "")


def _artifact_set(request: AccessRequest) -> Blob:
    located = locate_artifact(request)
    if located is None:
        raise ComponentError(f"{request.what} is no OCI artifact; build the component version again")
    return artifact_sets.pack(located.artifact, located.tag)


def _oci_blob(request: AccessRequest) -> Blob:
    parsed, plain = _parse_reference(request.text("ref", "imageReference"), request.what)
    size, digest = request.access.get("size"), request.text("digest")
    if not isinstance(size, int) or not 0 <= size <= LARGEST_BLOB or not artifacts.DIGEST.fullmatch(digest):
        raise ComponentError(
            f"the access of {request.what} has no valid digest and size; build the component version again"
        )
    store = request.registry(parsed.registry, plain=plain)
    descriptor = Descriptor(media_type(request.access) or BYTES, digest, size)
    return store.blob(parsed.repository, descriptor, request.what)


def _allowed_verb(request: AccessRequest) -> str:
    """Return the HTTP method of a `wget` access. Raises ComponentError where the caller has not allowed it.

    A stranger wrote the descriptor: by default it may make a server send something, and nothing more.
    """
    verb = str(request.access.get("verb") or GET).upper()[:40]
    headers = request.access.get("header")
    replaced = [
        str(value).upper()[:40]
        for name, values in (headers if isinstance(headers, dict) else {}).items()
        if str(name).lower() in VERB_HEADERS
        for value in (values if isinstance(values, list) else [values])
    ]
    for each in (verb, *replaced):
        # RFC 9110, section 9.1: a method may be any token; the existing methods are letters.
        if not (each.isascii() and each.isalpha()):
            raise ComponentError(
                f"{request.what} is accessed by {each!r}, which is no HTTP method; build the component version again"
            )
        if each not in (GET, *request.connection.verbs):
            raise ComponentError(
                f"{request.what} is accessed by the HTTP method {each!r}, which may change data on the server; "
                f"use {option('--allow-verb', each)} to allow it"
            )
    return verb


def _wget(request: AccessRequest) -> Blob:
    from requests.structures import CaseInsensitiveDict

    from tweed_shim.ocm import web_download

    url, access = request.url(request.text("URL", "url")), request.access
    body = access.get("body")
    # RFC 9110, section 5.1: header names are case-insensitive.
    answer = CaseInsensitiveDict[str]()
    pieces = web_download.fetch(
        url,
        request.connection,
        consumer_of=partial(consumer_identity.of_url, consumer_identity.WGET),
        method=_allowed_verb(request),
        headers=web_download.read_headers(access.get("header"), request.what),
        body=body.encode() if isinstance(body, str) and body else None,
        redirects=not (access.get("noRedirect") or access.get("noredirect")),
        on_answer=answer.update,
    )
    content = SpoolFile(pieces)
    return content.blob(media_type(access) or web_download.media_type(answer) or BYTES, request.what)


def _helm(request: AccessRequest) -> Blob:
    repository = request.text("helmRepository").rstrip("/")
    chart, _, version = request.text("helmChart").partition(":")
    version = version or request.text("version")
    if repository.startswith("oci://"):
        return _helm_artifact(request, f"{repository}/{chart}", version)
    from tweed_shim.ocm import web_download

    # Credentials are looked up for each address: a chart may be on another server than the index of its repository.
    consumer_of = partial(consumer_identity.of_url, consumer_identity.HELM_REPOSITORY)
    index = request.url(repository).child("index.yaml")
    text = _small(web_download.fetch(index, request.connection, consumer_of=consumer_of), str(index))
    address = request.url(_chart_url(text, chart, version, index_name=str(index)), index)
    pieces = web_download.fetch(address, request.connection, consumer_of=consumer_of)
    return SpoolFile(pieces).blob(HELM_CHART, request.what)


def _helm_artifact(request: AccessRequest, name: str, version: str) -> Blob:
    parsed, plain = _parse_reference(f"{name}:{version.replace('+', '_')}", request.what)
    store = request.registry(parsed.registry, plain=plain)
    raw = store.manifest(parsed.repository, parsed.tag or "")
    if raw is None:
        raise ComponentError(
            f"{store.what} does not have {parsed.repository}:{parsed.tag}, which is {request.what}; push it again"
        )
    artifact = artifacts.parse_artifact(raw, f"the manifest of {request.what}")
    layers = [part.descriptor for part in artifact.parts if part.descriptor.media_type == HELM_CHART]
    if len(layers) != 1:
        raise ComponentError(
            f"{name}:{version}, which is {request.what}, is no Helm chart; name a resource that is one"
        )
    return store.blob(parsed.repository, layers[0], request.what)


def _small(pieces: Any, what: str) -> bytes:
    body = b""
    for piece in pieces:
        body += piece
        if len(body) > documents.MAX_BYTES:
            raise ComponentError(f"{what} is larger than 4 MiB, the limit of the shim; split it")
    return body


def _chart_url(text: bytes, chart: str, version: str, *, index_name: str) -> str:
    index = documents.load(text, name=index_name, error=ComponentError, as_text=True).value
    entries = index.get("entries") if isinstance(index, dict) else None
    versions = entries.get(chart) if isinstance(entries, dict) else None
    for entry in versions if isinstance(versions, list) else ():
        addresses = entry.get("urls") if isinstance(entry, dict) and entry.get("version") == version else None
        if isinstance(addresses, list) and addresses and isinstance(addresses[0], str):
            return addresses[0]
    raise ComponentError(
        f"the Helm repository {index_name} does not have the chart {chart}:{version}; push it again"
    )


def _github(request: AccessRequest) -> Blob:
    from tweed_shim.ocm import web_download

    text, commit = request.text("repoUrl"), request.text("commit")
    page = request.url(text if "://" in text else f"https://{text}")
    name = page.path.strip("/").removesuffix(".git")
    if name.count("/") != 1 or not _COMMIT.fullmatch(commit):
        raise ComponentError(
            f"the access of {request.what} names no commit of a GitHub repository; build the component version again"
        )
    host = page.origin
    if (api_host := request.access.get("apiHostname")) not in (None, ""):
        address = request.url(f"{page.origin.scheme}://{api_host if isinstance(api_host, str) else ''}")
        if address != Url(address.origin):
            raise ComponentError(
                f"the apiHostname in the access of {request.what} is more than a host and a port; build the "
                "component version again"
            )
        host = address.origin
    api = Url(_GITHUB_API) if host.host in (_GITHUB.host, _GITHUB_API.host) else Url(host, "/api/v3")
    # Credentials are those of the host that is asked. The access may name another page.
    owner = Url(_GITHUB if api.origin == _GITHUB_API else host, f"/{name}")
    pieces = web_download.fetch(
        api.child(f"repos/{name}/tarball/{commit}"),
        request.connection,
        consumer_of=lambda _url: consumer_identity.of_url(consumer_identity.GITHUB, owner),
    )
    return SpoolFile(pieces).blob(TGZ, request.what)


def _s3(request: AccessRequest) -> Blob:
    try:
        import boto3  # type: ignore[import-not-found, unused-ignore]  # an optional extra
        from botocore.exceptions import (  # type: ignore[import-not-found, unused-ignore]  # likewise
            BotoCoreError,
            ClientError,
        )
    except ImportError:
        raise ComponentError(
            extras.missing(f"{request.what}, which is in an S3 bucket,", "boto3", "s3")
        ) from None
    bucket, key = request.text("bucketName", "bucket"), request.text("objectKey", "key")
    credentials = (
        request.connection.find({"type": consumer_identity.S3, "pathprefix": f"{bucket}/{key}"}) or {}
    )
    try:
        client = boto3.client(
            "s3",
            region_name=request.access.get("region") or None,
            aws_access_key_id=credentials.get("awsAccessKeyID"),
            aws_secret_access_key=credentials.get("awsSecretAccessKey"),
            aws_session_token=credentials.get("token"),
        )
        versions = {"VersionId": request.access["version"]} if request.access.get("version") else {}
        body = client.get_object(Bucket=bucket, Key=key, **versions)["Body"]
        return SpoolFile(body.iter_chunks(1 << 20)).blob(media_type(request.access) or BYTES, request.what)
    except (BotoCoreError, ClientError) as error:
        raise ComponentError(
            f"the S3 bucket {bucket} does not give {key} ({type(error).__name__}); check the bucket and the "
            "credentials for it"
        ) from None


def _none(request: AccessRequest) -> Blob:
    raise ComponentError(f"{request.what} has no content (its access type is none); name another resource")


_RELATIVE = "relativeocireference"
_OCI_ARTIFACT = ("ociartifact", "ociregistry", "ociimage")
_METHODS: dict[str, Method] = {
    **dict.fromkeys(_OCI_ARTIFACT, _artifact_set),
    _RELATIVE: _artifact_set,
    "ociblob": _oci_blob,
    "ociimagelayer": _oci_blob,
    "wget": _wget,
    "helm": _helm,
    "github": _github,
    "s3": _s3,
    NO_CONTENT: _none,
}
