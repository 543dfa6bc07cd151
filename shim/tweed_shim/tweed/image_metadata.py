"""The metadata of an image: ask the image once, and refuse an image of the other contract.

No warm `setup` imports this module.
"""

from contextlib import suppress

from tweed_shim.base.lean.typing import Any
from tweed_shim.errors import ContractError, DamagedRecord
from tweed_shim.image import store
from tweed_shim.image.reference import Reference
from tweed_shim.image.store import Image
from tweed_shim.runner import Runner
from tweed_shim.runtime.recorded_run import reading
from tweed_shim.tweed import contract, metadata_cache
from tweed_shim.tweed.contract import OPERATIONS
from tweed_shim.tweed.operation_runner import OperationCall, OperationRunner


def obtain(
    runner: Runner, operations: OperationRunner, image: Image, *, is_kept: bool = False
) -> dict[str, Any]:
    """Return the validated metadata of an image, which runs only where no earlier answer is on record.

    is_kept: as in OperationCall; the image runs then in any case.
    Raises ContractError where the metadata breaks the contract, OperationFailed where the image fails.
    """

    def ask() -> dict[str, Any]:
        run, output = operations.run(OperationCall(OPERATIONS["metadata"], image, is_kept=is_kept))
        from tweed_shim.tweed import metadata

        with reading(run, output):
            return metadata.parse(output, image=image.reference)

    def waiting() -> None:
        runner.console.info(
            f"waiting for the metadata of {image.reference}: another process is running the image for it"
        )

    if is_kept:
        return ask()
    return metadata_cache.obtain(runner.root, image, ask, waiting=waiting)


def require(metadata: dict[str, Any], image: Image, operation: str) -> None:
    """Raise ContractError where an image of this metadata does not have an operation."""
    kind, wanted = contract.kind(metadata), OPERATIONS[operation].contract
    if wanted not in ("", kind):
        raise ContractError(
            f"{image.reference} is a {kind} image, which has no operation '{operation}'; it has "
            f"{', '.join(contract.names(kind))}"
        )


def require_if_known(runner: Runner, name: Reference, operation: str) -> None:
    """Raise ContractError where the store knows that the image of a reference does not have an operation.

    Nothing is pulled or run: an image that was not asked for its metadata yet is not refused.
    """
    with suppress(DamagedRecord):
        image = store.find(runner.root, name, runner.options.platform)
        if image is not None and (metadata := metadata_cache.recorded(image)) is not None:
            require(metadata, image, operation)
