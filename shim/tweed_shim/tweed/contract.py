"""The five operations of the Tweed backend contract, v1, as a table.

Source: the Backend OCI Image Contract, one section for each operation. The table says what an
operation reads, writes, prints and may do. Backend has a method for each, for the state that the operation changes.
"""

from tweed_shim.base.records import Record
from tweed_shim.errors import ConfigError

HOME = "/tweed/home"
IN_CONFIG = "/tweed/in"
OUT_CONFIG = "/tweed/out"


class Operation(Record):
    """A row of the table.

    reads and writes: what `$IN_CONFIG` and `$OUT_CONFIG` are, `cloud` (the cloud's configuration), `interaction`
    (the output of the interaction's setup) or "" (the variable is not set). stdin: whether the operator's
    configuration is read there. result: what stdout is, `metadata`, `environment` or "" (diagnostics).
    merged: stderr goes where stdout goes (`2>&1`). network: the network it needs. timeout: seconds, by default.
    """

    name: str
    reads: str
    writes: str
    stdin: bool
    result: str
    merged: bool
    network: str
    timeout: float


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("metadata", "", "", False, "metadata", False, "none", 60.0),
        Operation("configure", "", "cloud", True, "", True, "host", 3600.0),
        Operation("check", "cloud", "", False, "", True, "host", 3600.0),
        Operation("setup", "cloud", "interaction", False, "environment", False, "host", 3600.0),
        Operation("teardown", "interaction", "", False, "", True, "host", 3600.0),
    )
}


def find_operation(name: str) -> Operation:
    """Return the operation of a name. Raises ConfigError for an unknown name."""
    # A value from the Python API may not even be hashable.
    operation = OPERATIONS.get(name) if isinstance(name, str) else None
    if operation is None:
        raise ConfigError(
            f"there is no operation {name!r} in the contract; use one of {', '.join(OPERATIONS)}"
        )
    return operation
