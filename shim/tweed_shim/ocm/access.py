"""Access methods: from the access specification of a resource or a source to its content.

Source: OCM specification, doc/04-extensions/02-access-types, with the attribute names that the reference reads.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from tweed_shim import documents, extras, urls
from tweed_shim.errors import BadReference, BadUrl, ComponentError
from tweed_shim.image import reference
from tweed_shim.image.manifest import LARGEST_BLOB, Descriptor
from tweed_shim.image.reference import Reference
from tweed_shim.ocm import artifact_sets, consumers, stores
from tweed_shim.ocm.blobs import Blob, Spooled
from tweed_shim.ocm.mapping import OciRepository
from tweed_shim.ocm.registries import Connection, RegistryStore
from tweed_shim.ocm.repository import (
    LOCAL_BLOB,
    Access,
    ComponentVersion,
    kind_of,
    local_reference,
    media_type_of,
)
from tweed_shim.option_names import option
from tweed_shim.records import Record
from tweed_shim.urls import Origin, Url

HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
TGZ = "application/x-tgz"
BYTES = "application/octet-stream"
NOTHING = "none"
GET = "GET"

# Headers by which servers and frameworks take another method than that of the request.
_VERB_HEADERS = ("x-http-method", "x-http-method-override", "x-method-override")

_GITHUB, _GITHUB_API = Origin("https", "github.com", 443), Origin("https", "api.github.com", 443)
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


class Request(Record):
    """What is to be got at, and how; what it opens stays open as long as `stack` is. `what` names it in errors."""

    version: ComponentVersion
    access: Access
    what: str
    connection: Connection
    stack: ExitStack

    def text(self, *keys: str) -> str:
        """The text of the first attribute that is there. Raises ComponentError where none is."""
        for key in keys:
            value = self.access.get(key)
            if isinstance(value, str) and value:
                return value
        raise ComponentError(
            f"the access of {self.what} has no {keys[0]}: have the component version made again"
        )

    def url(self, text: str, base: Url | None = None) -> Url:
        """Read an address, which may be relative to `base`. Raises ComponentError."""
        try:
            return base.join(text) if base else urls.parse(text)
        except BadUrl as error:
            raise ComponentError(
                f"the address in the access of {self.what} cannot be used: {error}; "
                "have the component version made again"
            ) from None

    def registry(self, host: str, *, plain: bool = False) -> RegistryStore:
        """A registry to read."""
        return RegistryStore(host, self.connection, self.stack, plain=plain)


Method = Callable[[Request], Blob]


def reach(request: Request) -> Blob:
    """The content of what the request names. Raises ComponentError or RegistryError where it cannot be had."""
    kind = kind_of(request.access)
    if (local := local_reference(request.access)) is not None:
        return request.version.local_blob(local, media_type_of(request.access))
    if kind not in _METHODS:
        raise ComponentError(
            f"{request.what} is accessed by {request.access.get('type')!r}, which is not supported: have the component "
            "version transferred with its resources (--copy-resources) by a tool that knows it"
        )
    return _METHODS[kind](request)


def name_hint(version: ComponentVersion, access: Access) -> str:
    """What an artifact may be called where it is uploaded again: the `referenceName` of a local blob of it."""
    if local_reference(access) is not None:
        name = access.get("referenceName")
        return name if isinstance(name, str) else ""
    if kind_of(access) == _RELATIVE:
        return str(access.get("reference") or "").partition("@")[0]
    if kind_of(access) not in _OCI_ARTIFACT:
        return ""
    found, _ = _parse_reference(str(access.get("imageReference")), f"a resource of {version}")
    repository = version.repository
    prefix = repository.sub_path if isinstance(repository, OciRepository) else ""
    name = found.repository.removeprefix(f"{prefix}/") if prefix else found.repository
    return f"{name}:{found.tag}" if found.tag else name


def global_access(access: Access) -> Mapping[str, Any] | None:
    """What a local blob can also be reached by, where that is told; its older forms cannot tell it."""
    found = access.get("globalAccess") if kind_of(access) == LOCAL_BLOB.lower() else None
    return found if isinstance(found, dict) else None


def _parse_reference(text: str, what: str) -> tuple[Reference, bool]:
    match = re.fullmatch("(?:(https?|oci)://)?(.*)", text, re.DOTALL)
    try:
        found = reference.parse(f"docker://{match[2]}" if match else text)
    except BadReference as error:
        raise ComponentError(f"the access of {what} is malformed: {error}") from None
    return found, bool(match and match[1] == "http")


def image_reference(access: Access, what: str) -> Reference | None:
    """What names an OCI artifact in its registry; None for what is accessed otherwise. Raises ComponentError.

    What may come by plain HTTP from anybody is not called as what its registry vouches for.
    """
    if kind_of(access) not in _OCI_ARTIFACT:
        return None
    found, plain = _parse_reference(str(access.get("imageReference") or ""), what)
    return None if plain else found


class Artifact(Record):
    """An OCI artifact in a registry, or in the archive that the component version is in."""

    store: stores.Store
    repository: str
    digest: str
    tag: str


def artifact(request: Request) -> Artifact | None:
    """Where the OCI artifact of a request is; None where it is not in a store, or no artifact at all.

    Raises ComponentError and RegistryError where it is not there.
    """
    kind = kind_of(request.access)
    if kind in _OCI_ARTIFACT:
        found, plain = _parse_reference(request.text("imageReference"), request.what)
        store: stores.Store = request.registry(found.registry, plain=plain)
    elif kind == _RELATIVE:
        repository = request.version.repository
        if not isinstance(repository, OciRepository):
            raise ComponentError(
                f"{request.what} is relative to a registry, and {repository.what} is none: transfer it there"
            )
        # A host is needed to read a reference, and left out again.
        found, _ = _parse_reference(f"relative.invalid/{request.text('reference')}", request.what)
        store = repository.store
    else:
        return None
    asked = found.digest or found.tag or reference.DEFAULT_TAG
    raw = store.manifest(found.repository, asked)
    if raw is None:
        raise ComponentError(
            f"{store.what} does not have {found.repository}:{asked}, which is {request.what}: check who removed it"
        )
    return Artifact(store, found.repository, found.digest or raw.digest, found.tag or "")


def _collected(request: Request) -> Blob:
    found = artifact(request)
    if found is None:
        raise ComponentError(f"{request.what} is no OCI artifact: have the component version made again")
    return artifact_sets.collected(found.store, found.repository, found.digest, request.what, found.tag)


def _oci_blob(request: Request) -> Blob:
    found, plain = _parse_reference(request.text("ref", "imageReference"), request.what)
    size, digest = request.access.get("size"), request.text("digest")
    if not isinstance(size, int) or not 0 <= size <= LARGEST_BLOB or not stores.DIGEST.fullmatch(digest):
        raise ComponentError(f"the access of {request.what} has no digest and size: have it made again")
    store = request.registry(found.registry, plain=plain)
    wanted = Descriptor(media_type_of(request.access) or BYTES, digest, size)
    return store.blob(found.repository, wanted, request.what)


def as_plain_get(specification: Access) -> Access:
    """Return an access that a GET without a body is enough for, whatever it asks for.

    Of a `wget` access the verb, the body and the headers that replace the verb are left out.
    """
    if kind_of(specification) != "wget":
        return specification
    plain = {key: value for key, value in specification.items() if key not in ("verb", "body")}
    if isinstance(headers := plain.get("header"), dict):
        plain["header"] = {
            name: value for name, value in headers.items() if str(name).lower() not in _VERB_HEADERS
        }
    return plain


def _allowed_verb(request: Request) -> str:
    """Return the HTTP method of a `wget` access. Raises ComponentError where the caller has not allowed it.

    A descriptor is a stranger's: what it has a server do must not be more than to send something.
    """
    verb = str(request.access.get("verb") or GET).upper()[:40]
    headers = request.access.get("header")
    replaced = [
        str(value).upper()[:40]
        for name, values in (headers if isinstance(headers, dict) else {}).items()
        if str(name).lower() in _VERB_HEADERS
        for value in (values if isinstance(values, list) else [values])
    ]
    for each in (verb, *replaced):
        # RFC 9110, section 9.1, has a method of any token; those that exist are of letters.
        if not (each.isascii() and each.isalpha()):
            raise ComponentError(
                f"{request.what} is accessed by {each!r}, which is no HTTP method; have the component version made "
                "again"
            )
        if each not in (GET, *request.connection.verbs):
            raise ComponentError(
                f"{request.what} is accessed by the HTTP method {each!r}, which may change what is on the server; "
                f"use {option('--allow-verb', each)} if it may"
            )
    return verb


def _wget(request: Request) -> Blob:
    from requests.structures import CaseInsensitiveDict

    from tweed_shim.ocm import web

    url, access = request.url(request.text("URL", "url")), request.access
    body = access.get("body")
    # Names of headers are the same in any case.
    answer = CaseInsensitiveDict[str]()
    pieces = web.fetch(
        url,
        request.connection,
        consumer_of=partial(consumers.of_url, consumers.WGET),
        method=_allowed_verb(request),
        headers=web.read_headers(access.get("header"), request.what),
        body=body.encode() if isinstance(body, str) and body else None,
        redirects=not (access.get("noRedirect") or access.get("noredirect")),
        on_answer=answer.update,
    )
    content = Spooled(pieces)
    return content.blob(media_type_of(access) or web.media_type(answer) or BYTES, request.what)


def _helm(request: Request) -> Blob:
    place = request.text("helmRepository").rstrip("/")
    chart, _, version = request.text("helmChart").partition(":")
    version = version or request.text("version")
    if place.startswith("oci://"):
        return _helm_artifact(request, f"{place}/{chart}", version)
    from tweed_shim.ocm import web

    # Each address has the credentials that are configured for it: those of the repository are for nobody else.
    consumer_of = partial(consumers.of_url, consumers.HELM_REPOSITORY)
    index = request.url(place).child("index.yaml")
    text = _small(web.fetch(index, request.connection, consumer_of=consumer_of), str(index))
    address = request.url(_chart_url(text, chart, version, str(index)), index)
    pieces = web.fetch(address, request.connection, consumer_of=consumer_of)
    return Spooled(pieces).blob(HELM_CHART, request.what)


def _helm_artifact(request: Request, name: str, version: str) -> Blob:
    found, plain = _parse_reference(f"{name}:{version.replace('+', '_')}", request.what)
    store = request.registry(found.registry, plain=plain)
    raw = store.manifest(found.repository, found.tag or "")
    if raw is None:
        raise ComponentError(
            f"{store.what} does not have {found.repository}:{found.tag}, which is {request.what}"
        )
    artifact = stores.parse(raw, f"the manifest of {request.what}")
    layers = [part.descriptor for part in artifact.parts if part.descriptor.media_type == HELM_CHART]
    if len(layers) != 1:
        raise ComponentError(f"{name}:{version}, which is {request.what}, is no Helm chart: name one that is")
    return store.blob(found.repository, layers[0], request.what)


def _small(pieces: Any, what: str) -> bytes:
    body = b""
    for piece in pieces:
        body += piece
        if len(body) > documents.MAX_BYTES:
            raise ComponentError(f"{what} is larger than 4 MiB, which is the most that is read")
    return body


def _chart_url(text: bytes, chart: str, version: str, index_name: str) -> str:
    index = documents.load(text, name=index_name, error=ComponentError, as_text=True).value
    entries = index.get("entries") if isinstance(index, dict) else None
    listed = entries.get(chart) if isinstance(entries, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        addresses = entry.get("urls") if isinstance(entry, dict) and entry.get("version") == version else None
        if isinstance(addresses, list) and addresses and isinstance(addresses[0], str):
            return addresses[0]
    raise ComponentError(f"the Helm repository {index_name} does not have the chart {chart}:{version}")


def _github(request: Request) -> Blob:
    from tweed_shim.ocm import web

    text, commit = request.text("repoUrl"), request.text("commit")
    page = request.url(text if "://" in text else f"https://{text}")
    name = page.path.strip("/").removesuffix(".git")
    if name.count("/") != 1 or not _COMMIT.fullmatch(commit):
        raise ComponentError(
            f"the access of {request.what} names no commit of a GitHub repository: have it made again"
        )
    host = page.origin
    if (given := request.access.get("apiHostname")) not in (None, ""):
        address = request.url(f"{page.origin.scheme}://{given if isinstance(given, str) else ''}")
        if address != Url(address.origin):
            raise ComponentError(
                f"the apiHostname in the access of {request.what} is more than a host and a port: have it made again"
            )
        host = address.origin
    api = Url(_GITHUB_API) if host.host in (_GITHUB.host, _GITHUB_API.host) else Url(host, "/api/v3")
    # What is configured for the host that is asked counts, whatever page the access names.
    owner = Url(_GITHUB if api.origin == _GITHUB_API else host, f"/{name}")
    pieces = web.fetch(
        api.child(f"repos/{name}/tarball/{commit}"),
        request.connection,
        consumer_of=lambda _url: consumers.of_url(consumers.GITHUB, owner),
    )
    return Spooled(pieces).blob(TGZ, request.what)


def _s3(request: Request) -> Blob:
    try:
        import boto3  # type: ignore[import-not-found, unused-ignore]  # an extra that need not be there
        from botocore.exceptions import (  # type: ignore[import-not-found, unused-ignore]  # likewise
            BotoCoreError,
            ClientError,
        )
    except ImportError:
        raise ComponentError(
            extras.missing(f"{request.what}, which is in an S3 bucket,", "boto3", "s3")
        ) from None
    bucket, key = request.text("bucketName", "bucket"), request.text("objectKey", "key")
    found = request.connection.find({"type": consumers.S3, "pathprefix": f"{bucket}/{key}"}) or {}
    try:
        client = boto3.client(
            "s3",
            region_name=request.access.get("region") or None,
            aws_access_key_id=found.get("awsAccessKeyID"),
            aws_secret_access_key=found.get("awsSecretAccessKey"),
            aws_session_token=found.get("token"),
        )
        versions = {"VersionId": request.access["version"]} if request.access.get("version") else {}
        body = client.get_object(Bucket=bucket, Key=key, **versions)["Body"]
        return Spooled(body.iter_chunks(1 << 20)).blob(media_type_of(request.access) or BYTES, request.what)
    except (BotoCoreError, ClientError) as error:
        raise ComponentError(f"the S3 bucket {bucket} does not give {key} ({type(error).__name__})") from None


def _none(request: Request) -> Blob:
    raise ComponentError(f"{request.what} has no content, only an entry in its component descriptor")


_RELATIVE = "relativeocireference"
_OCI_ARTIFACT = ("ociartifact", "ociregistry", "ociimage")
_METHODS: dict[str, Method] = {
    **dict.fromkeys(_OCI_ARTIFACT, _collected),
    _RELATIVE: _collected,
    "ociblob": _oci_blob,
    "ociimagelayer": _oci_blob,
    "wget": _wget,
    "helm": _helm,
    "github": _github,
    "s3": _s3,
    NOTHING: _none,
}
