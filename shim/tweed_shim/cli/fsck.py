"""`fsck`: is the store what it was."""

import json
import sys

from tweed_shim import fsck
from tweed_shim.cli import tables
from tweed_shim.cli.commands import Arguments, Context, Parser, checked
from tweed_shim.image.progress import silent
from tweed_shim.image.store import disk_faults
from tweed_shim.runtime.options import RunOptions


def configure_fsck(parser: Parser) -> None:
    """The options of `fsck`."""
    tables.configure(parser)
    parser.add_argument(
        "--repair", action="store_true", help="fetch and unpack again what is damaged, also what a cloud uses"
    )
    parser.add_argument(
        "--insecure", action="store_true", help="to repair: plain HTTP, and certificates nobody vouches for"
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        type=checked(RunOptions.CHECKS["ca_file"]),
        help="to repair: certificates of authorities to trust ($SSL_CERT_FILE)",
    )


def fsck_command(arguments: Arguments, context: Context) -> int:
    """Check the store, and print each thing that is damaged; the exit code is 1 where something stays so."""
    root = context.settings.root
    repair = fsck.Repair(arguments.insecure, arguments.ca_file) if arguments.repair else None
    found: list[fsck.Damage] = []
    try:
        with disk_faults(root):
            for each in fsck.check(root, repair, context.voice.report or silent):
                found.append(each)
                if not arguments.json:
                    end = "repaired" if each.repaired else each.mend
                    name = f"{each.name} of {each.image}" if each.image else each.name
                    sys.stdout.write(f"{each.kind:6}  {name}: {each.problem}; {end}\n")
                    sys.stdout.flush()
    finally:
        if arguments.json:
            sys.stdout.write(json.dumps([each._asdict() for each in found], indent=2) + "\n")
    left = sum(not each.repaired for each in found)
    context.voice.warn(
        f"{len(found)} damaged, {len(found) - left} of them repaired" if found else "nothing is damaged"
    )
    return 1 if left else 0
