"""What a user wants a container to have and to be denied, held against what the host can give."""

from tweed_shim.idmap import IdMap, granted_to_root
from tweed_shim.records import Record
from tweed_shim.runtime import capabilities, seccomp
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.options import RunOptions
from tweed_shim.runtime.request import Profile


class Confinement(Record):
    """See the fields of Request with the same names."""

    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    userns: IdMap | None
    seccomp: Profile


def confine(host: Host, options: RunOptions) -> Confinement:
    """The confinement that was wished for.

    Raises ConfigError for what does not exist, HostError for what cannot be had.
    """
    added, dropped = (tuple(map(capabilities.parse, names)) for names in (options.cap_add, options.cap_drop))
    ids = granted_to_root() if options.userns and host.ids.kind == "host" else None
    capabilities.choose(added, dropped, capabilities.NAMES if ids else host.capabilities)
    return Confinement(added, dropped, ids, seccomp.load(options.seccomp))
