"""Set up and tear down interactions of one cloud: the image runs and the changes of state, under the cloud's locks.

Backend (backend.py) calls this for one operation, chain.py for a setup and the teardown that belongs to it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from tweed_shim.base import trace
from tweed_shim.base.lean.typing import TYPE_CHECKING, Any, NoReturn
from tweed_shim.image import store
from tweed_shim.image.store import Image
from tweed_shim.runner import Runner
from tweed_shim.runtime import runs
from tweed_shim.tweed import clouds, ownership
from tweed_shim.tweed.clouds import Cloud, Generation
from tweed_shim.tweed.contract import OPERATIONS
from tweed_shim.tweed.drafts import Draft
from tweed_shim.tweed.operation_runner import OperationCall, OperationRunner, import_for

if TYPE_CHECKING:
    from tweed_shim.runtime.sandbox_ahead import SandboxAhead


class CloudOperations:
    """The operations of one cloud. reference: the image that was named, for messages."""

    def __init__(self, runner: Runner, operations: OperationRunner, cloud: Cloud, reference: str) -> None:
        self.runner = runner
        self.cloud = cloud
        self._operations = operations
        self._reference = reference

    def configuration(self) -> Generation:
        """Return the cloud's configuration. Raises StateError where there is none, which saves a pull."""
        with self._checked_store():
            generation = clouds.current(self.cloud.slot("cloud", ""))
        return generation or self._refuse_unconfigured()

    def output(self, slot: str, interaction: str) -> Generation:
        """Return the output of a setup. Raises StateError where there is none, which saves a pull."""
        with self._checked_store():
            output = clouds.set_up(slot) or clouds.interrupted(slot)
            if output is None:
                # This recovers an interrupted setup first, and otherwise raises the error.
                with self.locked_output(slot, interaction) as output:
                    pass
        return output

    @contextmanager
    def _checked_store(self) -> Iterator[None]:
        """Check the version of the store, and turn errors of the disk within the block into HostError."""
        with store.disk_faults(self.runner.root):
            store.check_version(self.runner.root)
            yield

    @contextmanager
    def configured(self, image: Image) -> Iterator[Generation]:
        """Yield the cloud's configuration, and keep the cloud and it from removal within the block.

        Raises StateError where the cloud is not configured or belongs to another image.
        """
        slot = self.cloud.slot("cloud", "")
        if not os.path.isdir(slot):
            self._refuse_unconfigured()
        with clouds.used(self.cloud), clouds.held_current(slot) as generation:
            if generation is None:
                self._refuse_unconfigured()
            ownership.check_cloud(self.cloud.name, generation.record, image)
            yield generation

    @contextmanager
    def locked_output(self, slot: str, interaction: str) -> Iterator[Generation]:
        """Yield the output of an interaction's setup, and lock its slot within the block. Raises StateError."""
        if not os.path.isdir(slot):
            self._refuse_not_set_up(interaction)
        with clouds.used(self.cloud), clouds.changing(self.cloud, slot):
            yield self.present_output(slot)

    def present_output(self, slot: str) -> Generation:
        """Return the output in a slot that the caller has locked. Raises StateError where there is none."""
        output = clouds.set_up(slot) or clouds.interrupted(slot)
        if output is None:
            self._refuse_not_set_up(os.path.basename(slot))
        return output

    def _refuse_unconfigured(self) -> NoReturn:
        from tweed_shim.tweed import cloud_errors

        raise cloud_errors.not_configured(self.cloud.name, self._reference)

    def _refuse_not_set_up(self, interaction: str) -> NoReturn:
        from tweed_shim.tweed import cloud_errors

        raise cloud_errors.not_set_up(self.cloud.directory, interaction)

    def set_up(
        self,
        slot: str,
        image: Image,
        *,
        config: Generation,
        record: Mapping[str, Any],
        if_failed: str = "",
        ahead: "SandboxAhead | None" = None,
    ) -> dict[str, str]:
        """Run a setup, put its output in force in a slot that the caller has locked, and return the environment.

        if_failed: what is added to the message where the image fails. ahead: as in Job.
        """
        interaction = os.path.basename(slot)
        with clouds.draft(self.cloud, slot, record) as new:
            directories = {"IN_CONFIG": config.data, "OUT_CONFIG": new.data}
            call = OperationCall(
                OPERATIONS["setup"], image, self.names(interaction), directories=directories, ahead=ahead
            )
            environment = self._set_up_draft(call, new, if_failed)
            with trace.span("commit"):
                self._commit_setup(slot, interaction, new)
        return environment

    def _set_up_draft(self, call: OperationCall, new: Draft, if_failed: str) -> dict[str, str]:
        """Run a setup into a draft, mark the draft once the image has succeeded, and return the environment."""
        environment: dict[str, str] = {}

        def succeeded(result: bytes) -> None:
            with trace.span("collect"):
                environment.update(self._environment(call.image, result))
            with trace.span("commit"):
                try:
                    new.mark({"environment": environment})
                except OSError as error:
                    from tweed_shim.tweed import cloud_errors

                    failure = cloud_errors.not_recorded(
                        self.cloud.name,
                        call.names["interaction"],
                        image=call.image.reference,
                        data=new.data,
                        error=error,
                    )
                    failure.environment = dict(environment)
                    raise failure from error

        def meanwhile() -> None:
            import_for(call.operation)
            # Where this fails, the commit syncs again and reports it.
            with suppress(OSError):
                new.sync()

        self._operations.run(call, if_failed=if_failed, meanwhile=meanwhile, succeeded=succeeded)
        return environment

    def _commit_setup(self, slot: str, interaction: str, new: Draft) -> None:
        name = f"interaction '{interaction}' of cloud '{self.cloud.name}'"
        if new.environment_lost is not None:
            self.runner.console.warn(
                f"{name} is set up, and its environment could not be recorded ({new.environment_lost.strerror}): keep "
                "what is printed now"
            )
        try:
            clouds.commit(self.cloud, slot, new)
        except OSError as error:
            self.runner.console.warn(
                f"{name} is set up, and the record of it could not be completed ({error.strerror}): the next operation "
                "on it does so"
            )

    def tear_down(
        self, slot: str, image: Image, output: Generation, ahead: "SandboxAhead | None" = None
    ) -> None:
        """Run a teardown, and remove the state of the interaction, whose slot the caller has locked.

        ahead: as in Job.
        """
        interaction = os.path.basename(slot)
        state_stays = (
            f"all of interaction '{interaction}' is kept for another try; where none can succeed, give it up with: "
            f"tweed-shim clouds forget {self.cloud.name} {interaction}"
        )
        directories = {"IN_CONFIG": output.data}
        call = OperationCall(
            OPERATIONS["teardown"], image, self.names(interaction), directories=directories, ahead=ahead
        )
        self._operations.run(call, if_failed=state_stays)
        with trace.span("commit"):
            clouds.forget(self.cloud, slot)

    def names(self, interaction: str = "") -> dict[str, str]:
        """Return what the record of a run says of the cloud and the interaction."""
        return {"cloud": self.cloud.name, "interaction": interaction}

    def record(self, image: Image, earlier: Generation | None) -> dict[str, Any]:
        """Return the record of a new generation. earlier: the one whose owner the new one keeps, if any."""
        name = image.reference if earlier is None else ownership.owner(earlier.record, image)
        return {"image": name, "digest": image.digest, "time": runs.timestamp()}

    def _environment(self, image: Image, output: bytes) -> dict[str, str]:
        from tweed_shim.tweed import environment

        return environment.parse(output, image=image.reference)
