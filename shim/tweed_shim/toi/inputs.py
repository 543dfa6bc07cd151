"""The tree that an executor finds at /toi/inputs."""

import os
from collections.abc import Callable

from tweed_shim import files, spiff
from tweed_shim.ocm import locations
from tweed_shim.ocm.session import Session
from tweed_shim.toi import contract
from tweed_shim.toi.preparation import Prepared


def write(prepared: Prepared, directory: str, session: Session, report: Callable[[str], None]) -> None:
    """Make the files in a directory that is there, each for its owner alone. Raises as a transfer does, and OSError."""
    from tweed_shim.ocm import transfer

    contents = {
        contract.CONFIG: _text(prepared.config),
        contract.PARAMETERS: _text(prepared.executor_parameters),
        contract.OCM_CONFIG: prepared.ocm_config,
    }
    for name, data in contents.items():
        if data is not None:
            with open(
                os.open(
                    os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, files.PRIVATE_FILE
                ),
                "wb",
            ) as file:
                file.write(data)
    path = os.path.join(directory, contract.REPOSITORY)
    target = locations.Specification(locations.CTF, path=path)
    order = transfer.Order(recursive=True, copy_resources=prepared.copy_resources, file_format="tgz")
    transfer.transfer(session, [prepared.version], target, order, report)
    os.chmod(path, files.PRIVATE_FILE)


def _text(value: object) -> bytes | None:
    return None if value is None else spiff.dump(value).encode()
