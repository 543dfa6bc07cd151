"""The options of commands that run an image: how it is had, and what its container may."""

from tweed_shim import option_values
from tweed_shim.cli import server_options, signals
from tweed_shim.cli.commands import Arguments, Context, Group, Parser, checked, number, wrong_value
from tweed_shim.lean.typing import Any
from tweed_shim.runtime.container import Console
from tweed_shim.runtime.options import NETWORKS, RunOptions, check_capability
from tweed_shim.runtime.request import Limits


def size(text: str) -> int:
    """Read a number of bytes. Raises what argparse shows."""
    from tweed_shim import sizes

    try:
        return sizes.parse(text)
    except ValueError as error:
        raise wrong_value(str(error)) from error


def _memory(text: str) -> Any:
    return Limits.CHECKS["memory"](size(text))


def configure(parser: Parser, *, networks: str = "", timeouts: str) -> Group:
    """The options; returns the group of those of the run, for others.

    networks: what is to be known of them besides; timeouts: the default ones.
    """
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
    run = parser.add_argument_group("the run")
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
        help=f"end it then (default: {timeouts})",
    )
    limit = Limits.CHECKS
    run.add_argument(
        "--memory", metavar="SIZE", type=checked(_memory), help="at most so much memory, such as 512m"
    )
    run.add_argument(
        "--cpus", metavar="N", type=number(float, limit["cpus"]), help="at most so many cores, such as 1.5"
    )
    run.add_argument(
        "--pids",
        metavar="N",
        type=number(int, limit["pids"]),
        help="at most so many processes (default: 1024)",
    )
    run.add_argument("--read-only", action="store_true", help="the image's root cannot be written")
    run.add_argument(
        "--scratch",
        metavar="DIR",
        type=checked(check["scratch"]),
        help="keep what the image writes to its root there while it runs, not in memory",
    )
    for option, help_text in (
        ("--cap-add", "grant a capability more, such as NET_RAW, or ALL (repeatable)"),
        ("--cap-drop", "grant a capability less (repeatable)"),
    ):
        run.add_argument(
            option, metavar="CAP", action="append", default=[], type=checked(check_capability), help=help_text
        )
    # None leaves it to $TWEED_SHIM_USERNS; of both options the last one counts.
    for option, wanted, help_text in (
        (
            "--userns",
            True,
            "as root: a user namespace, with the ids of 'containers' or 'root' in /etc/subuid "
            "(default: no, or $TWEED_SHIM_USERNS)",
        ),
        ("--no-userns", False, "as root: none, whatever $TWEED_SHIM_USERNS says"),
    ):
        run.add_argument(
            option, dest="userns", action="store_const", const=wanted, default=None, help=help_text
        )
    run.add_argument(
        "--seccomp",
        metavar="FILE",
        type=checked(check["seccomp"]),
        default="default",
        help="another profile of system calls, in the form of the OCI runtime specification, or unconfined",
    )
    return run


def options(arguments: Arguments) -> dict[str, Any]:
    """What the options say, by the names of the fields that they are for."""
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
    """The user's side of a run. stdout: where the image's own is shown."""
    voice = context.voice
    return Console(stdout, 2, signals.passed_on, voice.warn, voice.info, voice.report)
