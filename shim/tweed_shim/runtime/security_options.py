"""The requested security options, checked against the host: what the container is granted in the end."""

import os
from collections.abc import Mapping

from tweed_shim.base import trust
from tweed_shim.base.records import Record
from tweed_shim.errors import ConfigError
from tweed_shim.host.userns import IdMap, granted_to_root
from tweed_shim.runtime import capabilities
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.options import DEFAULT_SECCOMP, ContainerOptions, Profile

USERNS = "TWEED_SHIM_USERNS"


class SecurityOptions(Record):
    """The privileges that a container is granted.

    capabilities: the bounding set, full names. userns: the ids of the user namespace that root gives the container;
    None where it has none, or where the sandbox already is in one. seccomp: `default`, `unconfined`, or the object of
    the OCI runtime specification.
    """

    capabilities: tuple[str, ...]
    userns: IdMap | None = None
    seccomp: Profile = DEFAULT_SECCOMP


def userns_by_default(environ: Mapping[str, str]) -> bool:
    """Tell whether root's containers have a user namespace where no option says so. Raises ConfigError."""
    value = environ.get(USERNS, "")
    if value not in ("", "0", "1"):
        raise ConfigError(
            f"${USERNS} is {value!r}, which is neither 1 nor 0; set it to 1 to give the containers of root a user "
            "namespace, or unset it"
        )
    return value == "1"


def resolve(options: ContainerOptions, host: Host) -> SecurityOptions:
    """Check the options against the host, before anything is pulled, and return what they grant.

    Raises ConfigError for options that do not exist or are not safe, HostError for those that the host cannot grant.
    """
    if options.scratch is not None:
        trust.check_scratch(options.scratch)
    has_userns = userns_by_default(os.environ) if options.userns is None else options.userns
    ids = granted_to_root() if has_userns and host.ids.kind == "host" else None
    # The first process of a user namespace has all capabilities in it.
    grantable = capabilities.NAMES if ids else host.capabilities
    granted = capabilities.choose(options.cap_add, options.cap_drop, grantable)
    return SecurityOptions(granted, ids, _profile(options.seccomp))


def _profile(choice: str) -> Profile:
    """Read the seccomp profile that was chosen. Raises ConfigError for a file that is no profile."""
    if choice == DEFAULT_SECCOMP:
        return choice
    # The default profile is made with config.json (spec.py), so a warm run does not import it here.
    from tweed_shim.runtime import seccomp

    return seccomp.load(choice)
