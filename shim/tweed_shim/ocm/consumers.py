"""Consumer identities: which of the configured credentials are meant for a request.

A request names what is to be accessed, such as `type: OCIRegistry, hostname: ghcr.io, pathprefix: acme/app`; a
configured identity names what its credentials are for, usually with less. How the two are compared depends on the
type. The rules are those of the reference implementation (`ocm credential-handling`).
"""

from collections.abc import Callable, Iterable, Mapping

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
_DEFAULT_PORTS = {"https": "443", "http": "80"}

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


def of_url(kind: str, url: str) -> dict[str, str]:
    """The identity of what is to be accessed at a URL, for a type of consumer. Raises ValueError for a bad port."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    port = str(parts.port) if parts.port is not None else _DEFAULT_PORTS.get(parts.scheme, "")
    found = {
        TYPE: kind,
        SCHEME: parts.scheme,
        HOSTNAME: parts.hostname or "",
        PORT: port,
        PATH_PREFIX: parts.path.strip("/"),
    }
    return {key: value for key, value in found.items() if value}


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
        if request.get(key) and identity.get(key) and request[key] != identity[key]:
            return False
    wanted, offered = _path(request), _path(identity)
    if wanted[: len(offered)] != offered:
        return False
    if not found or (identity.get(HOSTNAME) and not found.get(HOSTNAME)):
        return True
    if any(request.get(key) and identity.get(key) and not found.get(key) for key in (PORT, SCHEME)):
        return True
    return len("/".join(_path(found))) < len("/".join(offered))


def _path(identity: Consumer) -> list[str]:
    prefix = identity.get(PATH_PREFIX, "").removeprefix("/")
    return prefix.split("/") if prefix else []
