"""How servers are spoken to: what a caller decides for registries and for all else that is fetched over HTTP."""

from tweed_shim.base import option_values
from tweed_shim.base.option_values import flag, optional, path
from tweed_shim.base.records import Record

# As for a run: threading.Timer takes no more than threading.TIMEOUT_MAX.
MOST_SECONDS = 1e9


class ConnectOptions(Record):
    """The caller's options for connections.

    insecure: allow plain HTTP, and any certificate of a server. ca_file: trust the certificate authorities in this file
    and no others. cert_file, key_file: what this client shows to the server that it asks (PEM); without key_file the
    key is in cert_file, too. timeout: how many seconds a pull may take in all, from the first request to the unpacked
    image.
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
