"""Make the tree that an executor reads at /toi/inputs."""

import os
from collections.abc import Callable

from tweed_shim import spiff
from tweed_shim.base import files
from tweed_shim.ocm import ctf, references, transfer
from tweed_shim.ocm.session import Session
from tweed_shim.toi import contract
from tweed_shim.toi.preparation import Prepared


def contents(prepared: Prepared) -> dict[str, bytes]:
    """Return the contents of the files by their names; the repository is not among them, for its size."""
    texts = {
        contract.CONFIG: _yaml(prepared.config),
        contract.PARAMETERS: _yaml(prepared.executor_parameters),
        contract.OCM_CONFIG: prepared.ocm_config,
    }
    return {name: data for name, data in texts.items() if data is not None}


def write_repository(
    prepared: Prepared, directory: str, session: Session, report: Callable[[str], None]
) -> str:
    """Write the repository with the component version into an existing directory, and return its path.

    Raises what `transfer.transfer` raises, and OSError.
    """
    path = os.path.join(directory, contract.REPOSITORY)
    target = references.RepositorySpec(references.CTF, path=path)
    order = transfer.TransferOptions(
        recursive=True,
        copy_resources=prepared.copy_resources,
        keep_global_access=True,
        file_format=ctf.STORED_TGZ,
    )
    transfer.transfer(session, [prepared.version], target, options=order, report=report)
    os.chmod(path, files.PRIVATE_FILE)
    return path


def _yaml(value: object) -> bytes | None:
    return None if value is None else spiff.dump(value).encode()
