"""The options of all commands that connect to registries and other servers."""

from tweed_shim.base.lean.typing import Any
from tweed_shim.cli.commands import Arguments, Group, Parser, checked
from tweed_shim.http.connect_options import ConnectOptions


def configure(group: Parser | Group) -> None:
    """Add the options to a parser."""
    check = ConnectOptions.CHECKS
    group.add_argument(
        "--insecure", action="store_true", help="allow plain HTTP, and do not verify certificates"
    )
    group.add_argument(
        "--ca-file",
        metavar="FILE",
        type=checked(check["ca_file"]),
        help="trust only the certificate authorities in this file ($SSL_CERT_FILE, $SSL_CERT_DIR)",
    )
    group.add_argument(
        "--cert-file",
        metavar="FILE",
        type=checked(check["cert_file"]),
        help="the client certificate to present to the server ('certs.d' in docs/operating.md)",
    )
    group.add_argument(
        "--key-file",
        metavar="FILE",
        type=checked(check["key_file"]),
        help="the key of that certificate, where it is in another file",
    )


def options(arguments: Arguments) -> dict[str, Any]:
    """Return the values of the options, by the field names of ConnectOptions."""
    return {
        "insecure": arguments.insecure,
        "ca_file": arguments.ca_file,
        "cert_file": arguments.cert_file,
        "key_file": arguments.key_file,
    }
