"""The tree that an executor finds at /toi/inputs."""

import os
from collections.abc import Callable

from tweed_shim import files, spiff
from tweed_shim.ocm import ctf, locations, transfer
from tweed_shim.ocm.session import Session
from tweed_shim.toi import contract
from tweed_shim.toi.preparation import Prepared


def write(prepared: Prepared, directory: str, session: Session, report: Callable[[str], None]) -> None:
    """Make the files in a directory that is there, each for its owner alone. Raises as a transfer does, and OSError."""
    contents = {
        contract.CONFIG: _text(prepared.config),
        contract.PARAMETERS: _text(prepared.executor_parameters),
        contract.OCM_CONFIG: prepared.ocm_config,
    }
    for name, data in contents.items():
        if data is not None:
            with open(os.path.join(directory, name), "xb", opener=_private) as file:
                file.write(data)
    path = os.path.join(directory, contract.REPOSITORY)
    target = locations.Specification(locations.CTF, path=path)
    order = transfer.Order(
        recursive=True,
        copy_resources=prepared.copy_resources,
        keep_global_access=True,
        file_format=ctf.STORED_TGZ,
    )
    transfer.transfer(session, [prepared.version], target, order, report)
    os.chmod(path, files.PRIVATE_FILE)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, files.PRIVATE_FILE)


def _text(value: object) -> bytes | None:
    return None if value is None else spiff.dump(value).encode()
