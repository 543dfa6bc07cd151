"""The options of commands that look for component versions, and the session in which they do so."""

from typing import TYPE_CHECKING

from tweed_shim.cli import server_options
from tweed_shim.cli.commands import Arguments, Context, Group, Parser, wrong_value
from tweed_shim.http.connect_options import ConnectOptions

if TYPE_CHECKING:
    from tweed_shim.host.worker_process import WorkerProcess
    from tweed_shim.ocm.credentials import Credentials
    from tweed_shim.ocm.session import Session

COMPONENT = "PATH//NAME[:VERSION], HOST[:PORT]/PREFIX//NAME[:VERSION], or with --repo NAME[:VERSION]"


def configure(parser: Parser, *, several: bool = False) -> Group:
    """COMPONENT and where it is; returns the group, for options of registries and the like."""
    named = COMPONENT + (", or a whole repository" if several else "")
    parser.add_argument("component", metavar="COMPONENT", help=named)
    group = parser.add_argument_group("where component versions are")
    group.add_argument("--repo", metavar="REPOSITORY", default="", help="COMPONENT is in it")
    group.add_argument(
        "--lookup",
        metavar="REPOSITORY",
        action="append",
        default=[],
        help="look there too for what is referenced (repeatable)",
    )
    group.add_argument(
        "--ocmconfig", metavar="FILE", help="OCM's configuration ($OCM_CONFIG, ~/.ocmconfig), or None"
    )
    return group


def configure_registries(group: Group) -> None:
    """How registries are spoken to, where there are no options of a run that say so."""
    server_options.configure(group)


def configure_verbs(group: Group) -> None:
    """Add the option of commands that follow the accesses of resources."""
    group.add_argument(
        "--allow-verb",
        metavar="VERB",
        action="append",
        default=[],
        type=_verb,
        help="let accesses of the type wget use this HTTP method besides GET, such as POST (repeatable)",
    )


def _verb(text: str) -> str:
    if not (text.isascii() and text.isalpha()):
        raise wrong_value(f"{text!r} is no HTTP method such as POST")
    return text.upper()


def session(
    arguments: Arguments, context: Context, worker: "WorkerProcess | None" = None
) -> "tuple[Session, Credentials]":
    """Return the session that the options describe, and the configured credentials that it uses.

    worker: evaluates the configuration where that is a template; None for one that is started for it.
    """
    from tweed_shim.ocm import configured

    return configured.session(
        arguments.ocmconfig,
        lookups=arguments.lookup,
        connect=ConnectOptions(**server_options.options(arguments)),
        verbs=getattr(arguments, "allow_verb", ()),
        info=context.voice.info,
        worker=worker,
    )
