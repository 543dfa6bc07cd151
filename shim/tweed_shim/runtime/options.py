"""How an image is had and run, for all that runs images."""

from tweed_shim.records import Record
from tweed_shim.runtime import seccomp
from tweed_shim.runtime.request import Limits


class RunOptions(Record):
    """Options for pulling and running an image.

    pull: `always`, `missing` or `never`. platform: `os/arch[/variant]`. insecure: plain HTTP is allowed. ca_file: the
    certificates of authorities to trust. network: `none`, `host` or `pasta`. timeout: seconds. read_only: the image's
    root cannot be written. scratch: a directory for what is written to it. cap_add and cap_drop: capabilities more and
    fewer than the default ones, or `ALL`. userns: whether the container has a user namespace of its own when root runs
    it (others' containers always have one); None: as `$TWEED_SHIM_USERNS` says, else no. seccomp: `default`,
    `unconfined`, or the path of a profile in the form of the OCI runtime specification.
    """

    pull: str = "missing"
    platform: str | None = None
    insecure: bool = False
    ca_file: str | None = None
    network: str = "host"
    timeout: float | None = None
    limits: Limits = Limits()
    read_only: bool = False
    scratch: str | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    userns: bool | None = None
    seccomp: str = seccomp.DEFAULT
