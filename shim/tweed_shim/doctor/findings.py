"""What doctor's checks are given, and what they answer."""

from tweed_shim.base.records import Record
from tweed_shim.host import programs
from tweed_shim.runtime.host import Host

OK, WARNING, MISSING = "ok", "warning", "missing"


class Finding(Record):
    """What a check found.

    state: `ok`; `warning`, where something will not work; `missing`, where no image can be run. effect: what will
    not work. mend: the command, or what else is to be done, that mends it. Both are empty where all is fine.
    """

    name: str
    state: str
    found: str
    effect: str = ""
    mend: str = ""


class Patient(Record):
    """What is examined.

    place: a directory where the store is or would be, empty where nothing can be written there; then `refusal` says
    why. namespaces: why none can be made, empty where they can.
    """

    root: str
    runtime: str
    host: Host
    place: str
    refusal: str
    namespaces: str

    @property
    def is_root(self) -> bool:
        """Whether it has all ids of the host."""
        return self.host.ids.kind == "host"


def healthy(findings: list[Finding]) -> bool:
    """Tell whether images can be run at all."""
    return all(finding.state != MISSING for finding in findings)


def not_tried(name: str, why: str) -> Finding:
    """Return the answer of a check that needs something which is not there."""
    return Finding(name, WARNING, f"cannot be tried without {why}", "mend that first, and ask again")


def lacking_for(patient: Patient) -> str | None:
    """Return what is missing for a trial run."""
    wants = {
        "namespaces": not patient.namespaces,
        "a place to write": patient.place,
        "a runtime": programs.find_program(patient.runtime),
    }
    return next((want for want, there in wants.items() if not there), None)


def read_text(path: str) -> str | None:
    """Return the content of a small file without white space around it, None where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
