"""A Tweed backend: run the operations of the contract (contract.py) with one image and the state of one cloud."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager

from tweed_shim.base import option_values, trace
from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.base.settings import Settings
from tweed_shim.image import reference as references
from tweed_shim.image import store
from tweed_shim.image.store import Image
from tweed_shim.runner import Runner
from tweed_shim.runtime.console import Console
from tweed_shim.tweed import clouds, ownership, recorded_image
from tweed_shim.tweed.cloud_operations import CloudOperations
from tweed_shim.tweed.contract import OPERATIONS, find_operation
from tweed_shim.tweed.operation_runner import OperationCall, OperationRunner, Options
from tweed_shim.tweed.setup import Setup

if TYPE_CHECKING:
    from tweed_shim.tweed.shells import Shell


class Backend:
    """A backend image and a cloud of a store; see `tweed_shim.Shim.backend`."""

    def __init__(
        self,
        settings: Settings,
        reference: str,
        cloud: str,
        *,
        options: Options = Options(),  # noqa: B008 - immutable
        console: Console = Console(),  # noqa: B008 - immutable
    ) -> None:
        self._root = settings.root
        self._reference = reference
        self._name = store.canonical(references.parse(reference))
        self._options = options
        self._console = console
        self._runner = Runner(settings, options, console)
        self._operations = OperationRunner(self._runner, options)
        self._cloud = clouds.Cloud(
            settings.root, clouds.check_name("a cloud", cloud), self._runner.host.ids, console.warn
        )
        self._states = CloudOperations(self._runner, self._operations, self._cloud, reference)

    def metadata(self) -> dict[str, Any]:
        """Return the validated metadata of the image. The image runs once; later calls read the stored answer.

        Raises ContractError where the metadata breaks the contract, OperationFailed where the image fails.
        """
        from tweed_shim.tweed import image_metadata

        with self._image() as image:
            is_kept = self._options.keep is not None
            return image_metadata.obtain(self._runner, self._operations, image, is_kept=is_kept)

    def configure(self, configuration: Mapping[str, Any], *, replace: bool = False) -> None:
        """Configure the cloud: run the image with the operator's configuration, and store what it writes.

        The former configuration stays in force unless the image succeeds. From then on the cloud belongs to the
        repository of the image (see `ownership`).

        replace: also take over a cloud that another image configured. Interactions that are set up stay, and only the
        image that set each of them up can tear it down.
        Raises StateError where the cloud belongs to another image, ConfigError where the configuration does not fit the
        schema in the image's metadata, OperationFailed where the image fails.
        """
        from tweed_shim.tweed import configuration as configurations
        from tweed_shim.tweed import image_metadata

        operation = OPERATIONS["configure"]
        option_values.argument("replace", replace, option_values.flag)
        configurations.require_map(configuration)
        encoded = configurations.encode(configuration)
        with self._contract_first("configure"), self._image() as image:
            slot = self._cloud.slot(operation.writes, "")
            # Checked before the metadata is read, which can run the image, and again under the lock.
            self._check_cloud(clouds.current(slot, replacing=replace), image, replace=replace)
            metadata = image_metadata.obtain(self._runner, self._operations, image)
            image_metadata.require(metadata, image, operation.name)
            configurations.validate(encoded, metadata.get("inputs", {}))
            with clouds.used(self._cloud), clouds.changing(self._cloud, slot):
                earlier = clouds.current(slot, replacing=replace)
                self._check_cloud(earlier, image, replace=replace)
                record = self._states.record(image, None if replace else earlier)
                with clouds.draft(self._cloud, slot, record) as new:
                    directories = {"OUT_CONFIG": new.data}
                    self._operations.run(
                        OperationCall(
                            operation, image, self._states.names(), directories=directories, stdin=encoded
                        )
                    )
                    with trace.span("commit"):
                        clouds.commit(self._cloud, slot, new)
                if earlier and earlier.record and not ownership.owns(earlier.record, image):
                    self._warn_of_interactions_left(earlier)

    def check(self) -> None:
        """Run the image's check of the cloud's configuration.

        Raises StateError where the cloud is not configured or belongs to another image, OperationFailed where the check
        fails.
        """
        with (
            self._contract_first("check"),
            self._image(self._states.configuration()) as image,
            self._states.configured(image) as config,
        ):
            directories = {"IN_CONFIG": config.data}
            self._operations.run(
                OperationCall(OPERATIONS["check"], image, self._states.names(), directories=directories)
            )

    def setup(self, interaction: str = "default", *, replace: bool = False) -> Setup:
        """Set an interaction up and return its environment.

        replace: set up again an interaction that is set up. The former output is lost; what the former setup made in
        the backend stays there.
        Raises StateError where the cloud is not configured or belongs to another image, or the interaction is already
        set up; ContractError where the environment breaks the contract; OperationFailed where the image fails. Nothing
        is recorded then, and teardown is not run. Raises NotRecorded where the image has succeeded and its success
        cannot be written to the disk.
        """
        operation = OPERATIONS["setup"]
        option_values.argument("replace", replace, option_values.flag)
        slot = self._cloud.slot(operation.writes, interaction)
        with (
            self._contract_first("setup"),
            self._image(self._states.configuration()) as image,
            self._states.configured(image) as config,
            clouds.changing(self._cloud, slot),
        ):
            earlier = clouds.set_up(slot, replacing=replace)
            if earlier is not None and not replace:
                from tweed_shim.tweed import cloud_errors

                raise cloud_errors.already_set_up(self._cloud.name, interaction, earlier.record)
            environment = self._states.set_up(
                slot, image, config=config, record=self._states.record(image, config)
            )
        if earlier is not None:
            self._console.warn(
                f"what the earlier setup of interaction '{interaction}' made is forgotten here and stays in the "
                "backend; remove it there by hand"
            )
        return Setup(self, interaction, environment)

    def teardown(self, interaction: str = "default") -> None:
        """Tear an interaction down, and remove its state.

        Raises StateError where it is not set up or was set up by another image. Raises OperationFailed where the image
        fails; the state stays then, so that teardown can be run again.
        """
        operation = OPERATIONS["teardown"]
        slot = self._cloud.slot(operation.reads, interaction)
        with (
            self._contract_first("teardown"),
            self._image(self._states.output(slot, interaction)) as image,
            self._states.locked_output(slot, interaction) as output,
        ):
            ownership.check_interaction(output.record, image, interaction=interaction, cloud=self._cloud.name)
            self._states.tear_down(slot, image, output)

    def environment(self, interaction: str = "default") -> Setup:
        """Return the environment of an interaction that is set up. The image is neither pulled nor run.

        Raises StateError where the interaction is not set up, or its environment could not be recorded.
        """
        root = self._root
        with store.disk_faults(root):
            store.check_version(root)
            return Setup(self, interaction, clouds.environment(self._cloud, interaction))

    def spec(self, operation: str, interaction: str = "default") -> dict[str, Any]:
        """Return the `config.json` that an operation would run with. Runs nothing; pulls the image where necessary."""
        row = find_operation(operation)
        directories = {}
        if row.reads:
            current = os.path.join(self._cloud.slot(row.reads, interaction), clouds.CURRENT)
            directories["IN_CONFIG"] = os.path.join(current, "data")
        if row.writes:
            directories["OUT_CONFIG"] = os.path.join(
                self._cloud.slot(row.writes, interaction), "draft", "data"
            )
        with self._image() as image:
            call = OperationCall(row, image, self._states.names(interaction), directories=directories)
            return self._runner.config(self._operations.request(call), name="spec")

    def bundle(
        self, operation: str, directory: str | os.PathLike[str], interaction: str = "default"
    ) -> list[str]:
        """Write an OCI bundle of an operation to a new or empty directory; return the command that starts it.

        It has a copy of the image's root, and of what is recorded: secrets, so its mode is 0700. Runs nothing, changes
        no state; pulls the image where necessary. Raises ConfigError for a directory that cannot be used, StateError
        where the state belongs to another image, HostError where the bundle cannot be written: nothing is left then.
        """
        from tweed_shim.tweed import bundles

        row = find_operation(operation)
        path = option_values.argument("directory", directory, option_values.path)
        bundles.check(self._runner, row, path)
        with self._image() as image, bundles.configuration(self._cloud, row, interaction, image) as source:
            directories = {"IN_CONFIG": source, "OUT_CONFIG": ""}
            call = OperationCall(row, image, self._states.names(interaction), directories=directories)
            return bundles.write(self._runner, self._operations, call, path)

    def shell(self, operation: str, shell: "Shell", interaction: str = "default") -> int:
        """Run a shell in the sandbox of an operation, on the console's streams, and return its exit code.

        It sees the recorded state, and writes to copies that are thrown away. Raises StateError where the state belongs
        to another image, ImageError where the image does not have the program, HostError where it cannot be run.
        """
        from tweed_shim.tweed import bundles, shells

        row = find_operation(operation)
        with self._image() as image, bundles.configuration(self._cloud, row, interaction, image) as source:
            directories = {"IN_CONFIG": source, "OUT_CONFIG": ""}
            call = OperationCall(row, image, self._states.names(interaction), directories=directories)
            return shells.run(self._runner, self._operations, call, shell)

    def _image(self, recorded: clouds.Generation | None = None) -> AbstractContextManager[Image]:
        """Return a context manager that yields the unpacked image and keeps it from removal.

        recorded: the configuration or output that the image made before. Where a local image has been moved or deleted
        since, the image that made it is taken from the store.
        """
        record = None if recorded is None else recorded.record
        return self._runner.image(lambda: recorded_image.named(self._runner, self._name, record))

    def _contract_first(self, operation: str) -> AbstractContextManager[None]:
        return recorded_image.contract_first(self._runner, self._name, operation)

    def _check_cloud(self, configured: clouds.Generation | None, image: Image, *, replace: bool) -> None:
        if configured is not None and not replace:
            ownership.check_cloud(self._cloud.name, configured.record, image)

    def _warn_of_interactions_left(self, earlier: clouds.Generation) -> None:
        from tweed_shim.tweed import cloud_listing

        if interactions := cloud_listing.set_up_in(self._cloud.directory):
            self._console.warn(
                f"cloud '{self._cloud.name}' no longer belongs to {earlier.record.get('image')}; the interactions "
                f"in it ({', '.join(interactions)}) stay set up: tear each down with the image that set it up"
            )
