"""The context of a check, and its result."""

from tweed_shim.base.records import Record
from tweed_shim.host import programs
from tweed_shim.runtime.host import Host

OK, WARNING, MISSING = "ok", "warning", "missing"


class Finding(Record):
    """The result of a check; `doctor --json` prints these fields.

    state: `ok`; `warning`, where something will not work; `missing`, where no image can be run. found: what the host
    has or lacks. effect: what will not work. mend: the command or action that mends it. The last two are empty where
    the state is `ok`.
    """

    name: str
    state: str
    found: str
    effect: str = ""
    mend: str = ""


class CheckContext(Record):
    """The store, the runtime and the host that the checks examine.

    directory: a work directory on the store's file system; empty where none can be created there, and `refusal` says
    why. namespaces: the fault that keeps the host from creating namespaces, or empty.
    """

    root: str
    runtime: str
    host: Host
    directory: str
    refusal: str
    namespaces: str

    @property
    def is_root(self) -> bool:
        """Whether the user is root with all ids of the host."""
        return self.host.ids.kind == "host"


def healthy(findings: list[Finding]) -> bool:
    """Tell whether images can be run at all."""
    return all(finding.state != MISSING for finding in findings)


def not_tried(name: str, why: str) -> Finding:
    """Return the finding of a check that cannot be carried out. why: what the host lacks for it."""
    return Finding(
        name, WARNING, f"cannot be tried without {why}", f"provide {why} first, and run doctor again"
    )


def lacking_for(context: CheckContext) -> str | None:
    """Return what the host lacks for a trial run, or None."""
    needs = {
        "namespaces": not context.namespaces,
        "a directory to write to": context.directory,
        "a runtime": programs.find_program(context.runtime),
    }
    return next((name for name, is_there in needs.items() if not is_there), None)


def read_text(path: str) -> str | None:
    """Return the content of a small file without white space around it, None where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
