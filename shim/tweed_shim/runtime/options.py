"""How an image is had and run, for all that runs images."""

from tweed_shim.records import Record
from tweed_shim.runtime import seccomp
from tweed_shim.runtime.request import Limits


class RunOptions(Record):
    """The wishes of whoever has an image run.

    pull: `always`, `missing` or `never`. platform: `os/arch[/variant]`. insecure: plain HTTP is allowed. ca_file: the
    certificates of authorities to trust. network: `none`, `host` or `pasta`. timeout: seconds. read_only: the image's
    root cannot be written. scratch: a directory for what is written to it. cap_add and cap_drop: capabilities more and
    fewer than the default ones, or `ALL`. userns: a user namespace of its own for the container, as host root; others'
    containers always have one. seccomp: `default`, `unconfined`, or the path of a profile in the form of the OCI
    runtime specification.
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
    userns: bool = False
    seccomp: str = seccomp.DEFAULT
