"""Requests for tests of the runtime, made without an image."""

from typing import Any

from tweed_shim.runtime import security_options
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.options import ContainerOptions
from tweed_shim.runtime.request import Process, Request


def program_request(rootfs: str, args: tuple[str, ...], host: Host, **values: Any) -> Request:
    """Return the request of a program that runs as its container's root; values: fields of options and requests."""
    options = {name: values.pop(name) for name in ContainerOptions.FIELDS if name in values}
    process = Process(args, ("PATH=/bin",), 0, 0, (), "/")
    chosen = ContainerOptions(**options)
    security = security_options.resolve(chosen, host)
    return Request(rootfs, process, chosen, security, **{"home": "/tweed/home", **values})
