"""Which request may carry a credential: the one place that decides it, for every client.

A credential is for one origin: the scheme, host and port that it was looked up for. It goes there and nowhere else, and
over TLS unless the host is this machine by its name or the caller said `--insecure`. What a server answers (a redirect,
the Location of an upload, the next page of a list) makes no other origin of it. One answer may name another party:
the token service of a registry, see `may_ask_for_token`.

Proxies are outside of this: the operator names them, and they see what goes over plain HTTP.
"""

from collections.abc import Iterable

from tweed_shim.http.urls import Origin


def may_send(found_for: Origin, asked: Origin, *, insecure: bool) -> bool:
    """Tell whether a credential that was looked up for one origin may be in a request to another."""
    return asked == found_for and is_private(asked, insecure=insecure)


def is_private(origin: Origin, *, insecure: bool) -> bool:
    """Tell whether nobody on the way reads what is sent, or the caller does not mind."""
    return origin.scheme == "https" or origin.is_loopback or insecure


def may_follow(asked: Iterable[Origin], target: Origin) -> bool:
    """Tell whether a redirect may look for a credential: it and all requests before it have one origin.

    A chain that once left its origin gets none where it comes back either: a stranger made it.
    """
    return all(each == target for each in asked)


def may_ask_for_token(registry: Origin, realm: Origin, *, insecure: bool) -> bool:
    """Tell whether the token service that a registry names may be told the registry's credentials.

    The credentials belong to the registry, and its token service may have any host: that of Docker Hub is
    auth.docker.io. So docker, podman and crane do it. The way there has to be as safe as the way to the registry: what
    came over TLS does not go on over plain HTTP, and who may be an impostor on plain HTTP names no receiver.
    """
    if not is_private(registry, insecure=insecure):
        return False
    return realm.scheme == "https" or (registry.scheme == "http" and is_private(realm, insecure=insecure))
