"""The options of all commands that speak to registries and other servers."""

from tweed_shim.cli.commands import Arguments, Group, Parser, checked
from tweed_shim.connect_options import ConnectOptions
from tweed_shim.lean.typing import Any


def configure(group: Parser | Group) -> None:
    """Add the options."""
    group.add_argument(
        "--insecure", action="store_true", help="allow plain HTTP, and certificates nobody vouches for"
    )
    group.add_argument(
        "--ca-file",
        metavar="FILE",
        type=checked(ConnectOptions.CHECKS["ca_file"]),
        help="certificates of authorities to trust ($SSL_CERT_FILE)",
    )


def options(arguments: Arguments) -> dict[str, Any]:
    """Return what the options say, by the names of the fields of ConnectOptions."""
    return {"insecure": arguments.insecure, "ca_file": arguments.ca_file}
