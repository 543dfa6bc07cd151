"""The caller's options for connections to registries and to other HTTP servers."""

from tweed_shim.base import option_values
from tweed_shim.base.option_values import flag, optional, path
from tweed_shim.base.records import Record

# threading.Timer takes at most threading.TIMEOUT_MAX seconds.
MOST_SECONDS = 1e9


class ConnectOptions(Record):
    """The caller's options for connections.

    insecure: allow plain HTTP, and do not verify server certificates. ca_file: trust only the certificate authorities
    in this file. cert_file, key_file: the client certificate and its key (PEM); without key_file, cert_file holds both.
    timeout: the seconds that a pull may take in all, from the first request to the unpacked image.
    """

    insecure: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    timeout: float | None = None

    CHECKS = option_values.checks(
        insecure=flag,
        ca_file=optional(path),
        cert_file=optional(path),
        key_file=optional(path),
        timeout=optional(option_values.number(most=MOST_SECONDS)),
    )


DEFAULT_OPTIONS = ConnectOptions()
