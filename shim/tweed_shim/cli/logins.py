"""`login` and `logout`."""

import os
import sys

from tweed_shim.base import files
from tweed_shim.cli import server_options
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.errors import ConfigError, UsageError
from tweed_shim.http.connect_options import ConnectOptions

MAX_PASSWORD = 1 << 20


def configure_login(parser: Parser) -> None:
    """Return the options of `login`."""
    parser.add_argument("registry", metavar="REGISTRY", help="HOST[:PORT]")
    parser.add_argument(
        "-u", "--username", metavar="NAME", help="asked for on a terminal where it is left out"
    )
    parser.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    server_options.configure(parser)


def _ask(arguments: Arguments) -> tuple[str, str]:
    if arguments.password_stdin:
        if not arguments.username:
            raise UsageError("--password-stdin needs the name with --username")
        data = files.read_bounded(sys.stdin.buffer, MAX_PASSWORD, "the password on stdin")
        try:
            return arguments.username, data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError("the password on stdin is not text in UTF-8: give it as such") from None
    if not os.isatty(0):
        raise UsageError("there is no terminal to ask for the password; use --username NAME --password-stdin")
    import getpass

    username = arguments.username or input("Username: ")
    return username, getpass.getpass("Password: ")


def login_command(arguments: Arguments, context: Context) -> int:
    """Have the registry accept a name and a password, then keep them."""
    from tweed_shim.image import login

    username, password = _ask(arguments)
    connect = ConnectOptions(**server_options.options(arguments))
    where = login.login(arguments.registry, username, password, connect=connect)
    context.messages.warn(f"logged in to {arguments.registry}; the login is kept by {where}")
    return 0


def configure_logout(parser: Parser) -> None:
    """Return the options of `logout`."""
    parser.add_argument("registry", metavar="REGISTRY", help="HOST[:PORT]")


def logout_command(arguments: Arguments, context: Context) -> int:
    """Forget a login."""
    from tweed_shim.image import login

    had = login.logout(arguments.registry)
    context.messages.warn(f"{'forgot the' if had else 'there was no'} login to {arguments.registry}")
    return 0
