"""The options of commands that run an image: how it is had, and what its container may."""

from tweed_shim import sizes
from tweed_shim.cli import signals
from tweed_shim.cli.commands import Arguments, Context, Group, Parser, wrong_value
from tweed_shim.errors import ConfigError
from tweed_shim.lean.typing import Any
from tweed_shim.runtime import capabilities
from tweed_shim.runtime.container import Console
from tweed_shim.runtime.request import Limits


def size(text: str) -> int:
    """Read a number of bytes. Raises what argparse shows."""
    try:
        return sizes.parse(text)
    except ValueError as error:
        raise wrong_value(str(error)) from error


def _positive(kind: type[int] | type[float]) -> Any:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < float("inf"):
            raise wrong_value(f"{text!r} is no positive number")
        return value

    return convert


def _capability(text: str) -> str:
    try:
        return capabilities.parse(text)
    except ConfigError as error:
        raise wrong_value(str(error)) from error


def configure(parser: Parser, *, networks: str = "", timeouts: str) -> Group:
    """The options; returns the group of those of the run, for others.

    networks: what is to be known of them besides; timeouts: the default ones.
    """
    image = parser.add_argument_group("the image")
    image.add_argument(
        "--pull",
        choices=("always", "missing", "never"),
        default="missing",
        help="when to ask the registry (default: missing)",
    )
    image.add_argument(
        "--platform", metavar="OS/ARCH[/VARIANT]", help="of a multi-platform image (default: this host's)"
    )
    image.add_argument(
        "--insecure", action="store_true", help="allow plain HTTP, and certificates nobody vouches for"
    )
    image.add_argument(
        "--ca-file", metavar="FILE", help="certificates of authorities to trust ($SSL_CERT_FILE)"
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--network",
        choices=("none", "host", "pasta"),
        default="host",
        help=f"{networks}pasta gets out, but not at the host's loopback (default: host)",
    )
    run.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_positive(float),
        help=f"end it then (default: {timeouts})",
    )
    run.add_argument("--memory", metavar="SIZE", type=size, help="at most so much memory, such as 512m")
    run.add_argument("--cpus", metavar="N", type=_positive(float), help="at most so many cores, such as 1.5")
    run.add_argument(
        "--pids", metavar="N", type=_positive(int), help="at most so many processes (default: 1024)"
    )
    run.add_argument("--read-only", action="store_true", help="the image's root cannot be written")
    run.add_argument(
        "--scratch",
        metavar="DIR",
        help="keep what the image writes to its root there while it runs, not in memory",
    )
    for option, help_text in (
        ("--cap-add", "grant a capability more, such as NET_RAW, or ALL (repeatable)"),
        ("--cap-drop", "grant a capability less (repeatable)"),
    ):
        run.add_argument(option, metavar="CAP", action="append", default=[], type=_capability, help=help_text)
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
        default="default",
        help="another profile of system calls, in the form of the OCI runtime specification, or unconfined",
    )
    return run


def options(arguments: Arguments) -> dict[str, Any]:
    """What the options say, by the names of the fields that they are for."""
    return {
        "pull": arguments.pull,
        "platform": arguments.platform,
        "insecure": arguments.insecure,
        "ca_file": arguments.ca_file,
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
