"""`doctor`: check what a run needs of this host, and print how to get what is missing."""

import sys

from tweed_shim.base import records
from tweed_shim.cli import tables
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.doctor import checks
from tweed_shim.doctor import findings as answers


def configure_doctor(parser: Parser) -> None:
    """Add the options of `doctor`."""
    tables.configure(parser)


def doctor_command(arguments: Arguments, context: Context) -> int:
    """Print the findings. Return 1 where no image can be run."""
    findings = checks.examine(context.settings.root, context.settings.runtime)
    if arguments.json:
        tables.show([records.fields(finding) for finding in findings], {}, as_json=True)
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            sys.stdout.write(f"{finding.state:7}  {finding.name:{width}}  {finding.found}\n")
            indent = " " * (7 + 2 + width + 2)
            if finding.effect:
                sys.stdout.write(f"{indent}then: {finding.effect}\n")
            if finding.mend:
                sys.stdout.write(f"{indent}mend: {finding.mend}\n")
    return 0 if answers.healthy(findings) else 1
