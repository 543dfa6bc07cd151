"""The rules for which request may carry a credential. Every client asks here.

A credential is for one origin: the scheme, host and port that it was looked up for. It is sent only there, and only
over TLS unless the host is this machine by its name or the caller set `--insecure`. No response (a redirect, the
Location of an upload, the next page of a list) changes that origin. One response may name another receiver: the token
service of a registry, see `may_ask_for_token`.

Proxies are not covered here: the operator names them, and they see what is sent over plain HTTP.
"""

from collections.abc import Iterable

from tweed_shim.http.urls import Origin


def may_send(owner: Origin, target: Origin, *, insecure: bool) -> bool:
    """Tell whether a credential that was looked up for the origin `owner` may be sent to the origin `target`."""
    return target == owner and is_private(target, insecure=insecure)


def is_private(origin: Origin, *, insecure: bool) -> bool:
    """Tell whether requests to an origin are safe from eavesdroppers, or the caller accepts them with `insecure`."""
    return origin.scheme == "https" or origin.is_loopback or insecure


def may_follow(visited: Iterable[Origin], target: Origin) -> bool:
    """Tell whether a redirect to `target` may carry a credential: all requests before it went to the same origin.

    A chain of redirects that left its origin gets none after it returns either: another server chose the address.
    """
    return all(each == target for each in visited)


def may_ask_for_token(registry: Origin, realm: Origin, *, insecure: bool) -> bool:
    """Tell whether the registry's credentials may be sent to the token service `realm` that the registry names.

    The token service may have any host: that of Docker Hub is auth.docker.io; docker, podman and crane allow it.
    The connection to it has to be as safe as that to the registry: a registry on https cannot name a service on plain
    HTTP, and a registry on plain HTTP, which may be an impostor, can name none without `insecure` or a loopback
    address.
    """
    if not is_private(registry, insecure=insecure):
        return False
    return realm.scheme == "https" or (registry.scheme == "http" and is_private(realm, insecure=insecure))
