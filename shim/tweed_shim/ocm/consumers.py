"""Consumer identities: which of the configured credentials are meant for a request.

A request names what is to be accessed, such as `type: OCIRegistry, hostname: ghcr.io, pathprefix: acme/app`; a
configured identity names what its credentials are for, usually with less. How the two are compared depends on the
type. The rules are those of the reference implementation (`ocm credential-handling`).
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

Consumer = Mapping[str, str]

# Whether a configured identity fits a request, and better than the one found so far.
Matcher = Callable[[Consumer, Consumer | None, Consumer], bool]


def best(request: Consumer, configured: Iterable[Consumer], *, matcher: str = "") -> Consumer | None:
    """The configured identity that fits a request best, or None.

    matcher: the type of consumers whose rules are applied, the request's own by default.
    """
    compare = _matcher(matcher or request.get(TYPE, ""))
    found: Consumer | None = None
    for identity in configured:
        if compare(request, found, identity):
            found = identity
    return found


def of_url(kind: str, url: Url) -> dict[str, str]:
    """Return the identity of what is to be accessed at a URL, for a type of consumer."""
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

    origin: of the connection, whose scheme and port then belong to the identity; for the hosts of Docker Hub the
    name stays `docker.io`.
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


def show(consumer: Consumer) -> str:
    """An identity for people; it holds no secret."""
    return ", ".join(f"{key}={value}" for key, value in sorted(consumer.items())) or "anything"


def _matcher(kind: str) -> Matcher:
    if kind in _HOST_PATH_TYPES:
        return _is_better_host_path
    return _is_exact if kind == EXACT else _is_better_part


def _is_exact(request: Consumer, _found: Consumer | None, identity: Consumer) -> bool:
    return dict(request) == dict(identity)


def _is_better_part(request: Consumer, found: Consumer | None, identity: Consumer) -> bool:
    """All that the identity says is in the request; the one that says most is best."""
    if any(request.get(key) != value for key, value in identity.items()):
        return False
    return not found or len(identity) > len(found)


def _is_better_host_path(request: Consumer, found: Consumer | None, identity: Consumer) -> bool:
    """The same server, as far as both name it, and a path above the request's; the most specific is best."""
    if request.get(TYPE) and request[TYPE] != identity.get(TYPE):
        return False
    for key in (HOSTNAME, PORT, SCHEME):
        if request.get(key) and identity.get(key) and _comparable(request, key) != _comparable(identity, key):
            return False
    wanted, offered = _path(request), _path(identity)
    if wanted[: len(offered)] != offered:
        return False
    if not found or (identity.get(HOSTNAME) and not found.get(HOSTNAME)):
        return True
    if any(request.get(key) and identity.get(key) and not found.get(key) for key in (PORT, SCHEME)):
        return True
    return len("/".join(_path(found))) < len("/".join(offered))


def _comparable(identity: Consumer, key: str) -> str:
    """A host, a port or a scheme in the one form in which they are compared."""
    value = identity[key]
    if key == PORT:
        return value.lstrip("0")
    if key == SCHEME:
        return value.lower()
    host = hosts.canonical(f"[{value}]" if ":" in value and not value.startswith("[") else value)
    return normalize_hub(host) if identity.get(TYPE) == OCI_REGISTRY else host


def _path(identity: Consumer) -> list[str]:
    prefix = identity.get(PATH_PREFIX, "").removeprefix("/")
    return prefix.split("/") if prefix else []
