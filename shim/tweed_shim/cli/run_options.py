"""Options for pulling and running an image."""

from tweed_shim.base import option_values
from tweed_shim.base.lean.typing import Any
from tweed_shim.cli import server_options, signals
from tweed_shim.cli.commands import Arguments, Context, Group, Parser, checked, number, wrong_value
from tweed_shim.runner import RunOptions
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.options import NETWORKS, Limits, check_capability


def size(text: str) -> int:
    """Parse a number of bytes, such as 512m. Raises argparse.ArgumentTypeError."""
    from tweed_shim.base import sizes

    try:
        return sizes.parse(text)
    except ValueError as error:
        raise wrong_value(str(error)) from error


def _memory(text: str) -> Any:
    return Limits.CHECKS["memory"](size(text))


def configure(parser: Parser, *, networks: str = "", timeouts: str) -> Group:
    """Add the options, and return the group of those of the run, to which a command can add its own.

    networks: a remark for the help of --network. timeouts: the default of --timeout, for its help.
    """
    _configure_image(parser)
    run = parser.add_argument_group("the run")
    _configure_run(run, networks=networks, timeouts=timeouts)
    _configure_limits(run)
    _configure_security(run)
    return run


def _configure_image(parser: Parser) -> None:
    check = RunOptions.CHECKS
    image = parser.add_argument_group("the image")
    image.add_argument(
        "--pull",
        choices=option_values.PULL_POLICIES,
        type=checked(check["pull"]),
        default="missing",
        help="when to ask the registry (default: missing)",
    )
    image.add_argument(
        "--platform",
        metavar="OS/ARCH[/VARIANT]",
        type=checked(check["platform"]),
        help="of a multi-platform image (default: this host's)",
    )
    server_options.configure(image)
    image.add_argument(
        "--pull-timeout",
        metavar="SECONDS",
        type=number(float, check["pull_timeout"]),
        help="give a pull up that takes longer (default: none, as long as 1 KiB comes a second)",
    )


def _configure_run(run: Group, *, networks: str, timeouts: str) -> None:
    check = RunOptions.CHECKS
    run.add_argument(
        "--network",
        choices=NETWORKS,
        type=checked(check["network"]),
        default="host",
        help=f"{networks}pasta gets out, but not at the host's loopback (default: host)",
    )
    run.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=number(float, check["timeout"]),
        help=f"end a run that takes longer (default: {timeouts})",
    )
    run.add_argument("--read-only", action="store_true", help="make the root of the container read-only")
    run.add_argument(
        "--scratch",
        metavar="DIR",
        type=checked(check["scratch"]),
        help="keep what the image writes to its root in this directory, not in memory, while it runs",
    )


def _configure_limits(run: Group) -> None:
    limit = Limits.CHECKS
    run.add_argument("--memory", metavar="SIZE", type=checked(_memory), help="the most memory, such as 512m")
    run.add_argument(
        "--cpus",
        metavar="N",
        type=number(float, limit["cpus"]),
        help="the most CPU time, in cores, such as 1.5",
    )
    run.add_argument(
        "--pids",
        metavar="N",
        type=number(int, limit["pids"]),
        help="the most processes (default: 1024)",
    )


def _configure_security(run: Group) -> None:
    for option, help_text in (
        ("--cap-add", "add a capability, such as NET_RAW, or ALL (repeatable)"),
        ("--cap-drop", "drop a capability (repeatable)"),
    ):
        run.add_argument(
            option, metavar="CAP", action="append", default=[], type=checked(check_capability), help=help_text
        )
    # Without either option $TWEED_SHIM_USERNS decides; of both the last one counts.
    for option, value, help_text in (
        (
            "--userns",
            True,
            "as root: a user namespace, with the ids of 'containers' or 'root' in /etc/subuid "
            "(default: no, or $TWEED_SHIM_USERNS)",
        ),
        ("--no-userns", False, "as root: no user namespace, even if $TWEED_SHIM_USERNS is set"),
    ):
        run.add_argument(
            option, dest="userns", action="store_const", const=value, default=None, help=help_text
        )
    run.add_argument(
        "--seccomp",
        metavar="FILE",
        type=checked(RunOptions.CHECKS["seccomp"]),
        default="default",
        help="a seccomp profile in the format of the OCI runtime specification, or unconfined",
    )


def options(arguments: Arguments) -> dict[str, Any]:
    """Return the values of the options by the names of the fields of RunOptions."""
    return {
        "pull": arguments.pull,
        "platform": arguments.platform,
        **server_options.options(arguments),
        "pull_timeout": arguments.pull_timeout,
        "network": arguments.network,
        "timeout": arguments.timeout,
        "limits": Limits(arguments.memory, arguments.cpus, arguments.pids),
        "read_only": arguments.read_only,
        "scratch": arguments.scratch,
        "cap_add": tuple(arguments.cap_add),
        "cap_drop": tuple(arguments.cap_drop),
        "userns": arguments.userns,
        "seccomp": arguments.seccomp,
    }


def console(context: Context, *, stdout: int = 1) -> Console:
    """Return the console of a run. stdout: the descriptor that shows the image's stdout."""
    messages = context.messages
    return Console(stdout, 2, signals.passed_on, messages.warn, messages.info, messages.report)
