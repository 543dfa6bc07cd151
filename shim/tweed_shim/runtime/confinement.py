"""What a user wants a container to have and to be denied, held against what the host can give."""

import os
from collections.abc import Mapping

from tweed_shim import trust
from tweed_shim.errors import ConfigError
from tweed_shim.idmap import IdMap, granted_to_root
from tweed_shim.records import Record
from tweed_shim.runtime import capabilities
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.options import RunOptions
from tweed_shim.runtime.request import DEFAULT_SECCOMP, Profile


class Confinement(Record):
    """See the fields of Request with the same names."""

    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    userns: IdMap | None
    seccomp: Profile


USERNS = "TWEED_SHIM_USERNS"


def userns_by_default(environ: Mapping[str, str]) -> bool:
    """Whether root's containers have a user namespace where a call does not say. Raises ConfigError."""
    value = environ.get(USERNS, "")
    if value not in ("", "0", "1"):
        raise ConfigError(
            f"${USERNS} is {value!r}, which is neither 1 nor 0; set it to 1 to give the containers of root a user "
            "namespace, or unset it"
        )
    return value == "1"


def confine(host: Host, options: RunOptions) -> Confinement:
    """Check the options against the host, before anything is pulled, and return the confinement that they ask for.

    Raises ConfigError for what does not exist or is not safe, HostError for what the host does not have.
    """
    if options.scratch is not None:
        trust.check_scratch(options.scratch)
    added, dropped = (tuple(map(capabilities.parse, names)) for names in (options.cap_add, options.cap_drop))
    wanted = userns_by_default(os.environ) if options.userns is None else options.userns
    ids = granted_to_root() if wanted and host.ids.kind == "host" else None
    capabilities.choose(added, dropped, capabilities.NAMES if ids else host.capabilities)
    return Confinement(added, dropped, ids, _profile(options.seccomp))


def _profile(choice: str) -> Profile:
    """Read the profile of system calls that was chosen. Raises ConfigError for a file that is none."""
    if choice == DEFAULT_SECCOMP:
        return choice
    # The default one is made with config.json (spec.py); nothing of it is needed to check the options.
    from tweed_shim.runtime import seccomp

    return seccomp.load(choice)
