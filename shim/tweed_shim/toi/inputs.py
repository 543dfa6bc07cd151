"""The tree that an executor finds at /toi/inputs."""

import os
from collections.abc import Callable

from tweed_shim import spiff
from tweed_shim.base import files
from tweed_shim.ocm import ctf, locations, transfer
from tweed_shim.ocm.session import Session
from tweed_shim.toi import contract
from tweed_shim.toi.preparation import Prepared


def contents(prepared: Prepared) -> dict[str, bytes]:
    """The files by their names, all but the repository."""
    found = {
        contract.CONFIG: _text(prepared.config),
        contract.PARAMETERS: _text(prepared.executor_parameters),
        contract.OCM_CONFIG: prepared.ocm_config,
    }
    return {name: data for name, data in found.items() if data is not None}


def write_repository(
    prepared: Prepared, directory: str, session: Session, report: Callable[[str], None]
) -> str:
    """Make the repository in a directory that is there, and return its path. Raises as a transfer does, and OSError."""
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
    return path


def _text(value: object) -> bytes | None:
    return None if value is None else spiff.dump(value).encode()
