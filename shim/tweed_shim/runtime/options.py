"""The options for pulling and running an image, for all contracts."""

from tweed_shim import option_values
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.option_values import flag, optional, path, sequence
from tweed_shim.records import Record
from tweed_shim.runtime import capabilities
from tweed_shim.runtime.request import DEFAULT_SECCOMP, MOST_SECONDS, Limits

NETWORKS = ("none", "host", "pasta")


def check_platform(value: object) -> str:
    """Check the name of a platform. Raises ConfigError."""
    # Not above: a platform is rarely named, and what knows them belongs to the images.
    from tweed_shim.image import platforms

    text = option_values.text(value)
    platforms.parse(text)
    return text


def check_capability(value: object) -> str:
    """Check the name of a capability and return it in full. Raises ConfigError."""
    return capabilities.parse(value if isinstance(value, str) else option_values.text(value))


class RunOptions(Record):
    """Options for pulling and running an image.

    pull: `always`, `missing` or `never`. platform: `os/arch[/variant]`. insecure, ca_file, cert_file, key_file: as in
    ConnectOptions. pull_timeout: how many seconds a pull of the image may take, without a limit by default. network:
    `none`, `host` or `pasta`. timeout: how many seconds the run may take. read_only: the image's root cannot be
    written. scratch: a directory for what is written to it. cap_add and cap_drop: capabilities more and fewer than the
    default ones, or `ALL`. userns: whether the container has a user namespace of its own when root runs it (others'
    containers always have one); None: as `$TWEED_SHIM_USERNS` says, else no. seccomp: `default`, `unconfined`, or the
    path of a profile in the form of the OCI runtime specification.

    Raises ConfigError, which names the field, for a value that it cannot have: nothing falls back to a default.
    """

    pull: str = "missing"
    platform: str | None = None
    insecure: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    pull_timeout: float | None = None
    network: str = "host"
    timeout: float | None = None
    limits: Limits = Limits()
    read_only: bool = False
    scratch: str | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    userns: bool | None = None
    seccomp: str = DEFAULT_SECCOMP

    CHECKS = option_values.checks(
        pull=option_values.pull_policy,
        platform=optional(check_platform),
        insecure=ConnectOptions.CHECKS["insecure"],
        ca_file=ConnectOptions.CHECKS["ca_file"],
        cert_file=ConnectOptions.CHECKS["cert_file"],
        key_file=ConnectOptions.CHECKS["key_file"],
        pull_timeout=ConnectOptions.CHECKS["timeout"],
        network=option_values.choice(*NETWORKS),
        timeout=optional(option_values.number(most=MOST_SECONDS)),
        limits=option_values.instance(Limits),
        read_only=flag,
        scratch=optional(path),
        cap_add=sequence(check_capability),
        cap_drop=sequence(check_capability),
        userns=optional(flag),
        seccomp=path,
    )

    @property
    def connect(self) -> ConnectOptions:
        """How the image's registry is spoken to."""
        return ConnectOptions(
            self.insecure, self.ca_file, self.cert_file, self.key_file, timeout=self.pull_timeout
        )
