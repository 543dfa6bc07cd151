"""The options of all commands that speak to registries and other servers."""

from tweed_shim.base.lean.typing import Any
from tweed_shim.cli.commands import Arguments, Group, Parser, checked
from tweed_shim.http.connect_options import ConnectOptions


def configure(group: Parser | Group) -> None:
    """Add the options."""
    check = ConnectOptions.CHECKS
    group.add_argument(
        "--insecure", action="store_true", help="allow plain HTTP, and certificates nobody vouches for"
    )
    group.add_argument(
        "--ca-file",
        metavar="FILE",
        type=checked(check["ca_file"]),
        help="certificates of authorities to trust, and no others ($SSL_CERT_FILE, $SSL_CERT_DIR)",
    )
    group.add_argument(
        "--cert-file",
        metavar="FILE",
        type=checked(check["cert_file"]),
        help="the certificate to show to the server ('certs.d' in docs/operating.md)",
    )
    group.add_argument(
        "--key-file",
        metavar="FILE",
        type=checked(check["key_file"]),
        help="its key, where it is not in the same file",
    )


def options(arguments: Arguments) -> dict[str, Any]:
    """Return what the options say, by the names of the fields of ConnectOptions."""
    return {
        "insecure": arguments.insecure,
        "ca_file": arguments.ca_file,
        "cert_file": arguments.cert_file,
        "key_file": arguments.key_file,
    }
