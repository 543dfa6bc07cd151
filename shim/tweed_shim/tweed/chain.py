"""The chain that joins the two contracts: a backend's setup, a pattern's operation, the backend's teardown.

The three belong to one interaction with the backend. Its record says for which instance and operation it was set up,
from before the setup starts until the teardown has succeeded. So whatever ends the shim in between, the interaction can
be found (`tweed-shim clouds`, `tweed-shim instances`) and torn down.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tweed_shim.base.records import EMPTY, Record
from tweed_shim.errors import OperationFailed, ShimError
from tweed_shim.image.store import Image
from tweed_shim.runtime.sandbox_ahead import SandboxAhead
from tweed_shim.tweed import clouds, command_lines, recorded_image
from tweed_shim.tweed.cloud_operations import CloudOperations
from tweed_shim.tweed.clouds import Generation


class BackendAccess(Record):
    """What a pattern gets of its cloud's backend.

    names: the cloud and the interaction, for the record of a run. image: the reference of the backend's image.
    environment: the variables that its setup printed. directory: what the setup wrote to $OUT_CONFIG. ahead: as in Job.
    Without a backend all of it is empty.
    """

    names: Mapping[str, str] = EMPTY
    image: str = ""
    environment: Mapping[str, str] = EMPTY
    directory: str = ""
    ahead: SandboxAhead | None = None

    HIDDEN = ("environment",)


@contextmanager
def set_up(
    operations: CloudOperations, interaction: str, purpose: Mapping[str, str], *, keep: bool, if_failed: str
) -> Iterator[BackendAccess]:
    """Set an interaction of a cloud up for the length of a block, and tear it down however the block ends.

    The image is the one that configured the cloud, and the interaction is locked for the whole block. purpose: further
    fields of the interaction's record. keep: leave it set up. if_failed: what is added to the message where the setup
    fails. Where the teardown fails, or a second signal leaves no time for it, a warning says how to tear the
    interaction down. Raises what `Backend.setup` raises.
    """
    cloud, runner = operations.cloud, operations.runner
    slot = cloud.slot("interaction", interaction)
    configured = operations.configuration().record
    with (
        SandboxAhead(runner.host.ids, runs=2 if keep else 3) as ahead,
        runner.image(lambda: recorded_image.exactly(runner, configured)) as image,
        operations.configured(image) as config,
        clouds.changing(cloud, slot),
    ):
        ahead.start()
        record = {**operations.record(image, config), **purpose}
        environment = operations.set_up(
            slot, image, config=config, record=record, if_failed=if_failed, ahead=ahead
        )
        output = operations.present_output(slot)
        is_left = keep
        try:
            names = operations.names(interaction)
            yield BackendAccess(names, image.reference, environment, output.data, ahead)
        except OperationFailed as error:
            is_left = is_left or error.given_up
            raise
        finally:
            if is_left:
                _warn(operations, interaction, image, "stays set up")
            else:
                _tear_down(operations, slot, image, output=output, ahead=ahead)


def _tear_down(
    operations: CloudOperations, slot: str, image: Image, *, output: Generation, ahead: SandboxAhead
) -> None:
    """Tear an interaction down. A failure is a warning: it does not change the result of the pattern."""
    try:
        operations.tear_down(slot, image, output, ahead)
    except BaseException as error:
        reason = str(error) if isinstance(error, ShimError | OSError) else "it was interrupted"
        _warn(operations, os.path.basename(slot), image, f"is not torn down ({reason})")
        if not isinstance(error, Exception):
            raise


def _warn(operations: CloudOperations, interaction: str, image: Image, what: str) -> None:
    cloud = operations.cloud.name
    operations.runner.console.warn(
        f"interaction '{interaction}' of cloud '{cloud}' {what}; tear it down with: "
        f"{command_lines.teardown(image.reference, cloud, interaction)}"
    )
