"""Consumer identities: which of the configured credentials belong to a request.

A request names the resource to access, such as `type: OCIRegistry, hostname: ghcr.io, pathprefix: acme/app`. A
configured identity names the resources that its credentials are for, usually with fewer attributes. The type decides
how the two are compared. The rules are those of the reference implementation (`ocm credential-handling`).
"""

from collections.abc import Callable, Iterable, Mapping

from tweed_shim.http import hosts
from tweed_shim.http.hosts import normalize_hub
from tweed_shim.http.urls import Origin, Url

TYPE = "type"
HOSTNAME = "hostname"
PORT = "port"
SCHEME = "scheme"
PATH_PREFIX = "pathprefix"

OCI_REGISTRY = "OCIRegistry"
HELM_REPOSITORY = "HelmChartRepository"
GITHUB = "Github"
S3 = "S3"
WGET = "wget"

EXACT = "exact"
PARTIAL = "partial"
HOST_PATH = "hostpath"

# Types of consumers whose servers have hosts and paths.
_HOST_PATH_TYPES = frozenset(
    {
        HOST_PATH, OCI_REGISTRY, HELM_REPOSITORY, GITHUB, S3, WGET, "Git", "MavenRepository", "NpmRegistry",
        "Buildcredentials.ocm.software", "Signingserver.gardener.cloud",
    }
)  # fmt: skip

ConsumerIdentity = Mapping[str, str]

# Whether a configured identity matches a request, and better than the best match so far: (request, best, configured).
Matcher = Callable[[ConsumerIdentity, ConsumerIdentity | None, ConsumerIdentity], bool]


def best_match(
    request: ConsumerIdentity, configured: Iterable[ConsumerIdentity], *, matcher: str = ""
) -> ConsumerIdentity | None:
    """Return the configured identity that matches a request best, or None.

    matcher: the consumer type whose rules apply, by default the type of the request.
    """
    compare = _matcher(matcher or request.get(TYPE, ""))
    best: ConsumerIdentity | None = None
    for identity in configured:
        if compare(request, best, identity):
            best = identity
    return best


def of_url(kind: str, url: Url) -> dict[str, str]:
    """Return the identity of a URL for a consumer type."""
    identity = {
        TYPE: kind,
        SCHEME: url.origin.scheme,
        HOSTNAME: url.origin.host.strip("[]"),
        PORT: str(url.origin.port),
        PATH_PREFIX: url.path.strip("/"),
    }
    return {key: value for key, value in identity.items() if value}


def of_registry(registry: str, repository: str, origin: Origin | None = None) -> dict[str, str]:
    """Return the identity of a repository of `host[:port]`.

    origin: of the connection, whose scheme and port then belong to the identity. The name of Docker Hub stays
    `docker.io`, whichever host the connection has.
    """
    host, port = hosts.split(registry) or (registry, None)
    identity = {
        TYPE: OCI_REGISTRY,
        SCHEME: origin.scheme if origin else "",
        HOSTNAME: host,
        PORT: str(origin.port) if origin else port or "",
        PATH_PREFIX: repository,
    }
    return {key: value for key, value in identity.items() if value}


def describe(consumer: ConsumerIdentity) -> str:
    """Return an identity as text for people; it holds no secret."""
    return ", ".join(f"{key}={value}" for key, value in sorted(consumer.items())) or "anything"


def _matcher(kind: str) -> Matcher:
    if kind in _HOST_PATH_TYPES:
        return _is_better_host_path
    return _is_exact if kind == EXACT else _is_better_part


def _is_exact(request: ConsumerIdentity, _best: ConsumerIdentity | None, identity: ConsumerIdentity) -> bool:
    return dict(request) == dict(identity)


def _is_better_part(
    request: ConsumerIdentity, best: ConsumerIdentity | None, identity: ConsumerIdentity
) -> bool:
    """Whether the request has all attributes of the identity, and the identity has more than the best match so far."""
    if any(request.get(key) != value for key, value in identity.items()):
        return False
    return not best or len(identity) > len(best)


def _is_better_host_path(
    request: ConsumerIdentity, best: ConsumerIdentity | None, identity: ConsumerIdentity
) -> bool:
    """Whether the identity names the server and a parent path of the request, more specifically than the best match."""
    if request.get(TYPE) and request[TYPE] != identity.get(TYPE):
        return False
    for key in (HOSTNAME, PORT, SCHEME):
        if request.get(key) and identity.get(key) and _comparable(request, key) != _comparable(identity, key):
            return False
    requested, offered = _path(request), _path(identity)
    if requested[: len(offered)] != offered:
        return False
    if not best or (identity.get(HOSTNAME) and not best.get(HOSTNAME)):
        return True
    if any(request.get(key) and identity.get(key) and not best.get(key) for key in (PORT, SCHEME)):
        return True
    return len("/".join(_path(best))) < len("/".join(offered))


def _comparable(identity: ConsumerIdentity, key: str) -> str:
    """Return a host, a port or a scheme in its canonical form."""
    value = identity[key]
    if key == PORT:
        return value.lstrip("0")
    if key == SCHEME:
        return value.lower()
    host = hosts.canonical(f"[{value}]" if ":" in value and not value.startswith("[") else value)
    return normalize_hub(host) if identity.get(TYPE) == OCI_REGISTRY else host


def _path(identity: ConsumerIdentity) -> list[str]:
    prefix = identity.get(PATH_PREFIX, "").removeprefix("/")
    return prefix.split("/") if prefix else []
