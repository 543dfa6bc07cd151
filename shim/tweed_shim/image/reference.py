"""References: what a person types to name an image, and its parts.

    [docker://]registry/repository[:tag][@digest]
    oci:DIR[:tag]    oci-archive:FILE[:tag]    docker-archive:FILE[:tag]

Sources: the OCI distribution specification ("Pulling manifests") for repositories and tags, the OCI image
specification for digests ("Descriptors") and for the names inside a layout ("Annotations"), and Docker's
custom for what may be left out: the registry is Docker Hub, its namespace `library`, the tag `latest`.
"""

import re

from tweed_shim.errors import BadReference
from tweed_shim.records import Record

DOCKER_HUB = "docker.io"
HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
FILE_TRANSPORTS = {"oci": "directory", "oci-archive": "file", "docker-archive": "file"}
DEFAULT_TAG = "latest"
MAX_NAME = 255
DIGEST_LENGTHS = {"sha256": 64, "sha512": 128}

# Compiled where they are used: a run needs half of them.
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = rf"(?P<host>{_LABEL}(?:\.{_LABEL})*|\[(?P<ipv6>[0-9A-Fa-f:]+)\])(?::(?P<port>[0-9]{{1,5}}))?"
_COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = f"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_LAYOUT_COMPONENT = "[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
_LAYOUT_NAME = f"{_LAYOUT_COMPONENT}(?:/{_LAYOUT_COMPONENT})*"
_IMAGE_ID = "[0-9a-f]{64}"
_LOOPBACK_IPV4 = r"127(?:\.[0-9]{1,3}){3}"
_IPV6_LOOPBACK = 1


class Reference(Record):
    """One image, named in full; `str` gives the form that `parse` takes.

    transport: `docker` (a registry), `oci`, `oci-archive` or `docker-archive` (files). registry:
    `host[:port]`, empty for files. path: the directory or file as it was written, empty for a registry. A
    reference to a registry has a tag, a digest, or both (then the digest decides).
    """

    transport: str
    registry: str = ""
    repository: str = ""
    tag: str | None = None
    digest: str | None = None
    path: str = ""

    def __str__(self) -> str:
        """The canonical full form."""
        tag = f":{self.tag}" if self.tag is not None else ""
        if self.transport != "docker":
            return f"{self.transport}:{self.path}{tag}"
        digest = f"@{self.digest}" if self.digest is not None else ""
        # A host may be called like a file transport: `oci:5000/x` would be read as a directory.
        prefix = "docker://" if self.registry.partition(":")[0] in FILE_TRANSPORTS else ""
        return f"{prefix}{self.registry}/{self.repository}{tag}{digest}"


def parse(text: str) -> Reference:
    """Read a reference. Raises BadReference, which names the part that is malformed."""
    transport, colon, rest = text.partition(":")
    if colon and transport in FILE_TRANSPORTS:
        return _parse_file(text, transport, rest)
    name = text.removeprefix("docker://")
    if "://" in name:
        raise BadReference(
            f"{text!r} begins with {name.partition('://')[0]!r}, which is no way to an image: "
            "write registry/repository:tag, docker://, oci:, oci-archive: or docker-archive:"
        )
    return _parse_registry_reference(text, name)


def parse_registry(text: str) -> str:
    """Read `host[:port]`, with or without `https://` before it and a slash after it. Raises BadReference."""
    registry = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    _check_registry(text, registry)
    return DOCKER_HUB if registry in HUB_NAMES else registry


def is_digest(text: str) -> bool:
    """Whether `text` is `sha256:` or `sha512:` and the lower-case hexadecimal digits that belong to it."""
    algorithm, _, encoded = text.partition(":")
    return len(encoded) == DIGEST_LENGTHS.get(algorithm) and re.fullmatch("[0-9a-f]+", encoded) is not None


def is_loopback(registry: str) -> bool:
    """Whether `host[:port]` is this machine by its very name: `localhost`, 127.0.0.0/8 or `[::1]`."""
    match = re.fullmatch(_REGISTRY, registry)
    if match is None:
        return False
    if match["ipv6"] is not None:
        return _ipv6(match["ipv6"]) == _IPV6_LOOPBACK
    return match["host"].lower() == "localhost" or re.fullmatch(_LOOPBACK_IPV4, match["host"]) is not None


def _parse_file(text: str, transport: str, rest: str) -> Reference:
    path, colon, tag = rest.partition(":")
    if not path or "\0" in path:
        raise BadReference(
            f"{text!r} names no {FILE_TRANSPORTS[transport]}: write {transport}:PATH or {transport}:PATH:tag"
        )
    if not colon:
        return Reference(transport, path=path)
    if not (
        re.fullmatch(_TAG, tag)
        or re.fullmatch(_LAYOUT_NAME, tag)
        or (transport == "docker-archive" and _is_named(tag))
    ):
        raise BadReference(
            f"the tag {tag!r} of {text!r} is malformed: "
            "after the path come one ':' and the name that the image has inside"
        )
    return Reference(transport, path=path, tag=tag)


def _is_named(name: str) -> bool:
    """Whether `name` is what `docker save` writes for an image: `repository:tag`."""
    try:
        return _parse_registry_reference(name, name).digest is None
    except BadReference:
        return False


def _parse_registry_reference(text: str, name: str) -> Reference:
    name, at, digest = name.partition("@")
    registry, name = _split_registry(name)
    repository, colon, tag = name.partition(":")
    full = f"{registry}/{_in_library(repository)}"
    if len(full) > MAX_NAME:
        raise BadReference(
            f"the repository '{full[:40]}...' is too long: with its registry it has at most {MAX_NAME} characters"
        )
    _check_registry(text, registry)
    _check_repository(text, registry, repository)
    if registry in HUB_NAMES:
        registry, repository = DOCKER_HUB, _in_library(repository)
    if colon and not re.fullmatch(_TAG, tag):
        raise BadReference(
            f"the tag {tag!r} of {text!r} is malformed: "
            "it has letters, digits, '_', '.' and '-', at most 128, and begins with none of the last two"
        )
    if at and not is_digest(digest):
        raise BadReference(
            f"the digest {digest!r} of {text!r} is malformed: "
            "it is 'sha256:' and 64 or 'sha512:' and 128 of the digits 0-9, a-f"
        )
    if not colon and not at:
        tag = DEFAULT_TAG
    return Reference("docker", registry, repository, tag or None, digest or None)


def _split_registry(name: str) -> tuple[str, str]:
    """The registry and the rest: the first component is a host where it is not like a repository's."""
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or first != first.lower() or "." in first or ":" in first):
        return first, rest
    return DOCKER_HUB, name


def _check_registry(text: str, registry: str) -> None:
    match = re.fullmatch(_REGISTRY, registry) if len(registry) <= MAX_NAME else None
    if match is None or (match["ipv6"] is not None and _ipv6(match["ipv6"]) is None):
        raise BadReference(
            f"the registry {registry!r} of {text!r} is malformed: it is a host or a host and a port (host:80)"
        )
    if match["port"] is not None and not 0 < int(match["port"]) < 1 << 16:
        raise BadReference(
            f"the port {match['port']!r} of {text!r} is malformed: it is a number from 1 to 65535"
        )


def _check_repository(text: str, registry: str, repository: str) -> None:
    if not repository:
        raise BadReference(f"{text!r} names no repository: write registry/repository:tag")
    if repository != repository.lower():
        raise BadReference(
            f"the repository {repository!r} of {text!r} is malformed: its letters are lower-case"
        )
    if not re.fullmatch(_REPOSITORY, repository):
        raise BadReference(
            f"the repository {repository!r} of {text!r} is malformed: "
            "between slashes come lower-case letters and digits, separated by '.', '_', '__' or '-'"
        )
    if registry in HUB_NAMES and re.fullmatch(_IMAGE_ID, repository):
        raise BadReference(
            f"{text!r} is an image id and names no repository: write registry/repository@sha256:..."
        )


def _in_library(repository: str) -> str:
    """What a repository of Docker Hub is called in full."""
    return repository if "/" in repository else f"library/{repository}"


def _ipv6(text: str) -> int | None:
    import ipaddress

    try:
        return int(ipaddress.IPv6Address(text))
    except ValueError:
        return None
