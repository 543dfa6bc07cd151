"""References: what a person types to name an image, and its parts.

    [docker://]registry/repository[:tag][@digest]
    oci:DIR[:tag]    oci-archive:FILE[:tag]    docker-archive:FILE[:tag]

Sources: the OCI distribution specification ("Pulling manifests") for repositories and tags, the OCI image
specification for digests ("Descriptors") and for the names inside a layout ("Annotations"), and Docker's
custom for what may be left out: the registry is Docker Hub, its namespace `library`, the tag `latest`.
"""

import os

from tweed_shim import hosts
from tweed_shim.errors import BadReference
from tweed_shim.letters import ALPHANUMERIC, DIGITS, HEXADECIMAL, LOWER, joined, made_of, quoted
from tweed_shim.records import Record

DOCKER_HUB = "docker.io"
HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
FILE_TRANSPORTS = {"oci": "directory", "oci-archive": "file", "docker-archive": "file"}
DEFAULT_TAG = "latest"
MAX_NAME = 255
DIGEST_LENGTHS = {"sha256": 64, "sha512": 128}

# Between the letters of a repository's component, and of a component of a name inside a layout.
_REPOSITORY_SEPARATORS = frozenset((".", "_", "__", *("-" * count for count in range(1, MAX_NAME))))
_LAYOUT_SEPARATORS = frozenset((*"-._:@+", "--"))


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
    if not isinstance(text, str):
        raise BadReference(f"the image {text!r} is no text; write registry/repository:tag or oci:DIRECTORY")
    transport, colon, rest = text.partition(":")
    if colon and transport in FILE_TRANSPORTS:
        if rest.startswith("//") and "@" in rest:
            # A URL, as other tools write registries: `oci://user:password@host/repository`.
            raise _named_user()
        return _parse_file(text, transport, rest)
    name = text.removeprefix("docker://")
    _refuse_user(name)
    if name.startswith(("/", "./", "../", "~/")):
        raise _is_path(name)
    try:
        return _parse_remote(text, name)
    except BadReference as error:
        # As it cannot be a reference, it is more likely what its name says.
        if os.path.exists(name):
            raise _is_path(name) from error
        raise


def _parse_remote(text: str, name: str) -> Reference:
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
    return called_hub(registry)


def called_hub(registry: str) -> str:
    """Return `docker.io` for each of the names that Docker Hub has, and any other registry as it is."""
    return DOCKER_HUB if registry.lower() in HUB_NAMES else registry


def repository_key(reference: Reference) -> tuple[str, str]:
    """Return the registry and the repository of an image in a registry, equal for all references that mean the same.

    A loopback address without a port is first asked at port 80: there, unlike elsewhere, 443 is another registry.
    """
    registry = hosts.comparable(reference.registry)
    port = reference.registry.rpartition(":")[2].lstrip("0")
    if port == hosts.HTTPS_PORT and hosts.is_loopback(registry):
        registry = f"{registry}:{port}"
    registry = called_hub(registry)
    return registry, _in_library(reference.repository) if registry == DOCKER_HUB else reference.repository


def is_digest(value: object) -> bool:
    """Say whether a value is the text `sha256:` or `sha512:` and the lower-case hexadecimal digits that it needs."""
    if not isinstance(value, str):
        return False
    algorithm, _, encoded = value.partition(":")
    return len(encoded) == DIGEST_LENGTHS.get(algorithm) and made_of(HEXADECIMAL, encoded)


def _parse_file(text: str, transport: str, rest: str) -> Reference:
    path, colon, tag = rest.partition(":")
    if not path or "\0" in path:
        raise BadReference(
            f"{quoted(text)} names no {FILE_TRANSPORTS[transport]}: write {transport}:PATH or {transport}:PATH:tag"
        )
    if not colon:
        return Reference(transport, path=path)
    if not (_is_tag(tag) or is_layout_name(tag) or (transport == "docker-archive" and _is_named(tag))):
        raise BadReference(
            f"the tag {quoted(tag)} of {quoted(text)} is malformed: "
            "after the path come one ':' and the name that the image has inside"
        )
    return Reference(transport, path=path, tag=tag)


def _is_tag(text: str) -> bool:
    return made_of(ALPHANUMERIC + "_.-", text) and text[0] not in ".-" and len(text) <= 128


def is_layout_name(text: str) -> bool:
    """Say whether a text can be a name inside a layout: image-spec annotations.md, `ref.name`."""
    return all(joined(ALPHANUMERIC, _LAYOUT_SEPARATORS, part) for part in text.split("/"))


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
    registry = called_hub(registry)
    if registry == DOCKER_HUB:
        repository = _in_library(repository)
    if colon and not _is_tag(tag):
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
    if "@" in registry:
        raise _named_user()
    parts = hosts.split(registry) if len(registry) <= MAX_NAME else None
    if parts is None:
        raise BadReference(
            f"the registry {registry!r} of {text!r} is malformed: it is a host or a host and a port (host:80)"
        )
    port = parts[1]
    if port is not None and not 0 < int(port) < 1 << 16:
        raise BadReference(f"the port {port!r} of {text!r} is malformed: it is a number from 1 to 65535")


def _refuse_user(name: str) -> None:
    """Raise BadReference where '@' is anywhere but before a digest. Nothing of such a text is repeated."""
    before, at, digest = name.rpartition("@")
    # No digest has a slash: this is the host after a user name and a password.
    if "@" in before or (at and "/" in digest):
        raise _named_user()
    if at and digest.partition(":")[0] not in DIGEST_LENGTHS:
        raise BadReference(
            f"the digest {digest!r} of a reference is malformed: it is 'sha256:' and 64 or 'sha512:' and 128 of the "
            "digits 0-9, a-f; if a user name or a password is before the '@', leave it out and use tweed-shim login"
        )


def _is_path(name: str) -> BadReference:
    """Return the error for a path that stands where a reference is expected."""
    kinds = f"oci:{name} for the directory of an image layout, oci-archive: or docker-archive: before that of a file"
    if os.path.isfile(name):
        kinds = f"oci-archive:{name} or docker-archive:{name}"
    return BadReference(f"{name!r} is a path, and its kind comes before it: write {kinds}")


def _named_user() -> BadReference:
    # The text is not repeated: what stands there is usually a password.
    return BadReference(
        "a reference has a user name or a password before its registry: leave it out, and use tweed-shim login"
    )


def _check_repository(text: str, registry: str, repository: str) -> None:
    if not repository:
        raise BadReference(f"{text!r} names no repository: write registry/repository:tag")
    if repository != repository.lower():
        raise BadReference(
            f"the repository {repository!r} of {text!r} is malformed: its letters are lower-case"
        )
    components = repository.split("/")
    if not all(joined(LOWER + DIGITS, _REPOSITORY_SEPARATORS, each) for each in components):
        raise BadReference(
            f"the repository {repository!r} of {text!r} is malformed: "
            "between slashes come lower-case letters and digits, separated by '.', '_', '__' or '-'"
        )
    if called_hub(registry) == DOCKER_HUB and is_digest(f"sha256:{repository}"):
        raise BadReference(
            f"{text!r} is an image id and names no repository: write registry/repository@sha256:..."
        )


def _in_library(repository: str) -> str:
    """What a repository of Docker Hub is called in full."""
    return repository if "/" in repository else f"library/{repository}"
