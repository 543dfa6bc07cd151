"""`fsck`: check the store for damage, and repair it."""

import json
import sys

from tweed_shim import fsck
from tweed_shim.base.records import fields
from tweed_shim.cli import server_options, tables
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.image.progress import silent
from tweed_shim.image.store import disk_faults


def configure_fsck(parser: Parser) -> None:
    """Add the options of `fsck`."""
    tables.configure(parser)
    parser.add_argument(
        "--repair", action="store_true", help="fetch and unpack again what is damaged, also what a cloud uses"
    )
    server_options.configure(parser.add_argument_group("to repair"))


def fsck_command(arguments: Arguments, context: Context) -> int:
    """Check the store, and print each damaged item. Return 1 where an item stays damaged."""
    root = context.settings.root
    repair = ConnectOptions(**server_options.options(arguments)) if arguments.repair else None
    damages: list[fsck.Damage] = []
    try:
        with disk_faults(root):
            for each in fsck.check(root, repair, context.messages.report or silent):
                damages.append(each)
                if not arguments.json:
                    end = "repaired" if each.repaired else each.mend
                    name = f"{each.name} of {each.image}" if each.image else each.name
                    sys.stdout.write(f"{each.kind:6}  {name}: {each.problem}; {end}\n")
                    sys.stdout.flush()
    finally:
        if arguments.json:
            sys.stdout.write(json.dumps([fields(each) for each in damages], indent=2) + "\n")
    left = sum(not each.repaired for each in damages)
    context.messages.warn(
        f"{len(damages)} damaged, {len(damages) - left} of them repaired" if damages else "nothing is damaged"
    )
    return 1 if left else 0
