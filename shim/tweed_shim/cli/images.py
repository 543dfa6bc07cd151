"""The commands `pull`, `images` and `rm`, for the images in the store."""

import sys
import time

from tweed_shim.base import option_values
from tweed_shim.base.records import fields
from tweed_shim.cli import server_options, tables
from tweed_shim.cli.commands import Arguments, Context, Parser, checked, number
from tweed_shim.runner import RunOptions
from tweed_shim.runtime.console import Console
from tweed_shim.shim import Shim

COLUMNS = {
    "reference": "IMAGE",
    "platform": "PLATFORM",
    "digest": "DIGEST",
    "size": "SIZE",
    "pulled": "PULLED",
}
SHORT_DIGEST = len("sha256:") + 12


def _shim(context: Context) -> Shim:
    return Shim(
        context.settings.root,
        runtime=context.settings.runtime,
        console=Console(warn=context.messages.warn, report=context.messages.report),
    )


def configure_pull(parser: Parser) -> None:
    """Add the options of `pull`."""
    check = RunOptions.CHECKS
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="what to pull, as 'exec' takes it")
    parser.add_argument(
        "--pull",
        choices=option_values.PULL_POLICIES,
        type=checked(check["pull"]),
        default="always",
        help="always (the default): look a tag up again; missing, never: as for 'exec'",
    )
    parser.add_argument(
        "--platform",
        metavar="OS/ARCH[/VARIANT]",
        type=checked(check["platform"]),
        help="the platform to choose from a multi-platform image",
    )
    server_options.configure(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=number(float, check["pull_timeout"]),
        help="stop the pull of an image that takes longer (default: no limit while 1 KiB a second arrives)",
    )


def pull_command(arguments: Arguments, context: Context) -> int:
    """Pull images and print their manifest digests."""
    shim = _shim(context)
    for image in arguments.images:
        result = shim.pull(
            image,
            policy=arguments.pull,
            platform=arguments.platform,
            timeout=arguments.timeout,
            **server_options.options(arguments),
        )
        sys.stdout.write(f"{result.digest}\n")
    return 0


def configure_images(parser: Parser) -> None:
    """Add the options of `images`."""
    tables.configure(parser)


def images_command(arguments: Arguments, context: Context) -> int:
    """List the images of the store."""
    rows = [fields(image) for image in _shim(context).images()]
    if not arguments.json:
        for row in rows:
            row["digest"] = row["digest"][:SHORT_DIGEST]
            row["size"] = f"{row['size'] / 1e6:.1f} MB"
    for row in rows:
        row["pulled"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row["pulled"]))
    tables.show(rows, COLUMNS, as_json=arguments.json)
    return 0


def configure_rm(parser: Parser) -> None:
    """Add the options of `rm`."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        complete="stored images",
        help="what to remove, as 'images' lists it",
    )


def rm_command(arguments: Arguments, context: Context) -> int:
    """Remove images from the store."""
    _shim(context).remove(arguments.images)
    return 0
