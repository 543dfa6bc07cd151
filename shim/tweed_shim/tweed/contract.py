"""The operations of the Tweed contracts, v1, as one table: those of backend images, and those of pattern images.

Sources: the Backend OCI Image Contract and the Pattern OCI Image Contract, one section for each operation. A row says
what an operation reads, writes, prints and may do. Backend (backend.py) and Pattern (pattern.py) have a method for
each, for the state that the operation changes.
"""

from collections.abc import Mapping

from tweed_shim.base.records import Record
from tweed_shim.errors import ConfigError

BACKEND, PATTERN = "backend", "pattern"
# What $CREDSTORE is for an operation.
READ_ONLY, WRITABLE = "ro", "rw"

HOME = "/tweed/home"
IN_CONFIG = "/tweed/in"
OUT_CONFIG = "/tweed/out"
CREDSTORE = "/tweed/credstore"
OUTPUTS = "/tweed/outputs"
# The directory in memory with the files that $INPUTS and $BINDING name.
DOCUMENTS = "/tweed/input"
INPUTS_FILE, BINDING_FILE = "inputs.json", "binding.json"
# The variables of the contract. A backend's setup may not set those that a pattern is given.
PATTERN_VARIABLES = ("HOME", "CREDSTORE", "INPUTS", "OUTPUTS", "BINDING")
# The most bytes that $CREDSTORE holds.
CREDSTORE_LIMIT = 16 << 20


class Operation(Record):
    """A row of the table. What a row does not say, the operation does not have.

    contract: the kind of image that has it, BACKEND or PATTERN; "" for both. reads and writes: what `$IN_CONFIG` and
    `$OUT_CONFIG` are, `cloud` (the cloud's configuration) or `interaction` (the output of the interaction's setup).
    credstore: what `$CREDSTORE` is, READ_ONLY or WRITABLE. inputs, outputs, binding: whether the variable of that name
    is set. stdin: whether the operator's configuration is read there. result: what stdout is, `metadata`,
    `environment`, `credentials` or "" (diagnostics). merged: stderr goes where stdout goes (`2>&1`). network: the
    network it needs. timeout: seconds, by default.
    """

    name: str
    contract: str
    reads: str = ""
    writes: str = ""
    credstore: str = ""
    inputs: bool = False
    outputs: bool = False
    binding: bool = False
    stdin: bool = False
    result: str = ""
    merged: bool = False
    network: str = "host"
    timeout: float = 3600.0


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("metadata", "", result="metadata", network="none", timeout=60.0),
        Operation("configure", BACKEND, writes="cloud", stdin=True, merged=True),
        Operation("check", BACKEND, reads="cloud", merged=True),
        Operation("setup", BACKEND, reads="cloud", writes="interaction", result="environment"),
        Operation("teardown", BACKEND, reads="interaction", merged=True),
        Operation("provision", PATTERN, credstore=WRITABLE, inputs=True, outputs=True, merged=True),
        Operation("bind", PATTERN, credstore=READ_ONLY, result="credentials"),
        Operation("unbind", PATTERN, credstore=READ_ONLY, binding=True, merged=True),
        Operation("deprovision", PATTERN, credstore=WRITABLE, inputs=True, merged=True),
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


def kind(metadata: Mapping[str, object]) -> str:
    """Return which contract the image of valid metadata implements, BACKEND or PATTERN."""
    return PATTERN if PATTERN in metadata else BACKEND


def documents(operation: Operation) -> dict[str, str]:
    """Return the names of the files in DOCUMENTS that an operation gets, by their variables."""
    given = {"INPUTS": operation.inputs and INPUTS_FILE, "BINDING": operation.binding and BINDING_FILE}
    return {variable: name for variable, name in given.items() if name}


def names(contract: str) -> tuple[str, ...]:
    """Return the names of the operations that images of one kind have, `metadata` first."""
    return tuple(name for name, row in OPERATIONS.items() if row.contract in ("", contract))
