"""Options of commands that look up component versions, and the session that the options describe."""

from typing import TYPE_CHECKING

from tweed_shim.cli import server_options
from tweed_shim.cli.commands import Arguments, Context, Group, Parser, wrong_value
from tweed_shim.http.connect_options import ConnectOptions

if TYPE_CHECKING:
    from tweed_shim.host.worker_process import WorkerProcess
    from tweed_shim.ocm.credential_lookup import ConfiguredCredentials
    from tweed_shim.ocm.session import Session

COMPONENT = "PATH//NAME[:VERSION], HOST[:PORT]/PREFIX//NAME[:VERSION], or with --repo NAME[:VERSION]"


def configure(parser: Parser, *, several: bool = False) -> Group:
    """Add COMPONENT and the options of its repository; returns their group, for further options of registries."""
    named = COMPONENT + (", or a whole repository" if several else "")
    parser.add_argument("component", metavar="COMPONENT", help=named)
    group = parser.add_argument_group("repositories of component versions")
    group.add_argument("--repo", metavar="REPOSITORY", default="", help="the repository of COMPONENT")
    group.add_argument(
        "--lookup",
        metavar="REPOSITORY",
        action="append",
        default=[],
        help="a further repository to search for references (repeatable)",
    )
    group.add_argument(
        "--ocmconfig",
        metavar="FILE",
        help="the OCM configuration (default: $OCM_CONFIG, ~/.ocmconfig); None for no configuration",
    )
    return group


def configure_registries(group: Group) -> None:
    """Add the options of registries, to a command without the options of a run."""
    server_options.configure(group)


def configure_verbs(group: Group) -> None:
    """Add the option of commands that follow the accesses of resources."""
    group.add_argument(
        "--allow-verb",
        metavar="VERB",
        action="append",
        default=[],
        type=_verb,
        help="allow accesses of the type wget to use this HTTP method besides GET, such as POST (repeatable)",
    )


def _verb(text: str) -> str:
    if not (text.isascii() and text.isalpha()):
        raise wrong_value(f"{text!r} is no HTTP method such as POST")
    return text.upper()


def open_session(
    arguments: Arguments, context: Context, worker: "WorkerProcess | None" = None
) -> "tuple[Session, ConfiguredCredentials]":
    """Return the session that the options describe, and the configured credentials that it uses.

    worker: evaluates a configuration that is a template; a new one is started by default.
    """
    from tweed_shim.ocm import configured_session

    return configured_session.open_session(
        arguments.ocmconfig,
        lookups=arguments.lookup,
        connect=ConnectOptions(**server_options.options(arguments)),
        verbs=getattr(arguments, "allow_verb", ()),
        info=context.messages.info,
        worker=worker,
    )
