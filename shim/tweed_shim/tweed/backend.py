"""A Tweed backend: run the operations of the contract (contract.py) with one image and the state of one cloud."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress

from tweed_shim.base import option_values, trace
from tweed_shim.base.lean.typing import Any, NoReturn
from tweed_shim.base.settings import Settings
from tweed_shim.image import pull, store
from tweed_shim.image import reference as references
from tweed_shim.image.store import Image
from tweed_shim.runner import Runner
from tweed_shim.runtime import runs
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.recorded_run import reading
from tweed_shim.tweed import clouds, ownership
from tweed_shim.tweed.contract import OPERATIONS, find_operation
from tweed_shim.tweed.drafts import Draft
from tweed_shim.tweed.operation_runner import OperationCall, OperationRunner, Options, import_for


class Setup(Mapping[str, str]):
    """The environment of an interaction that is set up: a mapping of names to values.

    As a context manager it tears the interaction down at the end of the block.
    """

    def __init__(self, backend: "Backend", interaction: str, environment: dict[str, str]) -> None:
        self.interaction = interaction
        self._backend = backend
        self._environment = environment

    def __getitem__(self, name: str) -> str:
        """Return the value of a variable."""
        return self._environment[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order in which the image printed them."""
        return iter(self._environment)

    def __len__(self) -> int:
        """Return the number of variables."""
        return len(self._environment)

    def __enter__(self) -> "Setup":
        """Return the environment itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Tear the interaction down. Raises what `Backend.teardown` raises."""
        self._backend.teardown(self.interaction)


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
        self._operations = OperationRunner(self._runner, options, cloud)
        self._cloud = clouds.Cloud(
            settings.root, clouds.check_name("a cloud", cloud), self._runner.host.ids, console.warn
        )

    def metadata(self) -> dict[str, Any]:
        """Return the validated metadata of the image. The image runs once; later calls read the stored answer.

        Raises ContractError where the metadata breaks the contract, OperationFailed where the image fails.
        """
        with self._image() as image:
            return self._metadata(image)

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

        operation = OPERATIONS["configure"]
        option_values.argument("replace", replace, option_values.flag)
        configurations.require_map(configuration)
        encoded = configurations.encode(configuration)
        with self._image() as image:
            slot = self._cloud.slot(operation.writes, "")
            # Checked before the metadata is read, which can run the image, and again under the lock.
            self._check_cloud(clouds.current(slot, replacing=replace), image, replace=replace)
            configurations.validate(encoded, self._metadata(image).get("inputs", {}))
            with clouds.used(self._cloud), clouds.changing(self._cloud, slot):
                earlier = clouds.current(slot, replacing=replace)
                self._check_cloud(earlier, image, replace=replace)
                record = self._record(image, None if replace else earlier)
                with clouds.draft(self._cloud, slot, record) as new:
                    self._operations.run(
                        OperationCall(operation, image, "", out_config=new.data, stdin=encoded)
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
        with self._image(self._configuration()) as image, self._configured(image) as config:
            self._operations.run(OperationCall(OPERATIONS["check"], image, "", in_config=config.data))

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
            self._image(self._configuration()) as image,
            self._configured(image) as config,
            clouds.changing(self._cloud, slot),
        ):
            earlier = clouds.set_up(slot, replacing=replace)
            if earlier is not None and not replace:
                from tweed_shim.tweed import cloud_errors

                raise cloud_errors.already_set_up(self._cloud.name, interaction, earlier.record)
            with clouds.draft(self._cloud, slot, self._record(image, config)) as new:
                call = OperationCall(
                    operation, image, interaction, in_config=config.data, out_config=new.data
                )
                environment = self._set_up_draft(call, new)
                with trace.span("commit"):
                    self._commit_setup(slot, interaction, new)
        if earlier is not None:
            self._console.warn(
                f"what the earlier setup of interaction '{interaction}' made is forgotten here and stays in the "
                "backend; remove it there by hand"
            )
        return Setup(self, interaction, environment)

    def _set_up_draft(self, call: OperationCall, new: Draft) -> dict[str, str]:
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
                        self._cloud.name,
                        call.interaction,
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

        self._operations.run(call, meanwhile=meanwhile, succeeded=succeeded)
        return environment

    def _commit_setup(self, slot: str, interaction: str, new: Draft) -> None:
        name = f"interaction '{interaction}' of cloud '{self._cloud.name}'"
        if new.environment_lost is not None:
            self._console.warn(
                f"{name} is set up, and its environment could not be recorded ({new.environment_lost.strerror}): keep "
                "what is printed now"
            )
        try:
            clouds.commit(self._cloud, slot, new)
        except OSError as error:
            self._console.warn(
                f"{name} is set up, and the record of it could not be completed ({error.strerror}): the next operation "
                "on it does so"
            )

    def teardown(self, interaction: str = "default") -> None:
        """Tear an interaction down, and remove its state.

        Raises StateError where it is not set up or was set up by another image. Raises OperationFailed where the image
        fails; the state stays then, so that teardown can be run again.
        """
        operation = OPERATIONS["teardown"]
        slot = self._cloud.slot(operation.reads, interaction)
        output = self._output(slot, interaction)
        with self._image(output) as image, self._locked_output(slot, interaction) as output:
            ownership.check_interaction(output.record, image, interaction=interaction, cloud=self._cloud.name)
            state_stays = (
                f"all of interaction '{interaction}' is kept for another try; where none can succeed, give it up with: "
                f"tweed-shim clouds forget {self._cloud.name} {interaction}"
            )
            self._operations.run(
                OperationCall(operation, image, interaction, in_config=output.data), if_failed=state_stays
            )
            with trace.span("commit"):
                clouds.forget(self._cloud, slot)

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
        reads = self._cloud.slot(row.reads, interaction) if row.reads else None
        writes = self._cloud.slot(row.writes, interaction) if row.writes else None
        with self._image() as image:
            call = OperationCall(
                row,
                image,
                interaction,
                in_config=reads and os.path.join(reads, clouds.CURRENT, "data"),
                out_config=writes and os.path.join(writes, "draft", "data"),
            )
            return self._runner.config(self._operations.request(call), name="spec")

    def _configuration(self) -> clouds.Generation:
        """Return the cloud's configuration. Raises StateError where there is none, which saves a pull."""
        with self._checked_store():
            generation = clouds.current(self._cloud.slot("cloud", ""))
        return generation or self._refuse_unconfigured()

    def _output(self, slot: str, interaction: str) -> clouds.Generation:
        """Return the output of a setup. Raises StateError where there is none, which saves a pull."""
        with self._checked_store():
            output = clouds.set_up(slot) or clouds.interrupted(slot)
            if output is None:
                # This recovers an interrupted setup first, and otherwise raises the error.
                with self._locked_output(slot, interaction) as output:
                    pass
        return output

    @contextmanager
    def _checked_store(self) -> Iterator[None]:
        """Check the version of the store, and turn errors of the disk within the block into HostError."""
        with store.disk_faults(self._root):
            store.check_version(self._root)
            yield

    def _image(self, recorded: clouds.Generation | None = None) -> AbstractContextManager[Image]:
        """Return a context manager that yields the unpacked image and keeps it from removal.

        recorded: the configuration or output that the image made before. Where a local image has been moved or deleted
        since, the image that made it is taken from the store.
        """
        return self._runner.image(lambda: self._moved_image(recorded) or self._runner.obtain(self._name))

    def _moved_image(self, recorded: clouds.Generation | None) -> Image | None:
        """Return the stored image that made `recorded`, if it came from this path and the path is gone."""
        is_ours = recorded and self._name.path and ownership.is_named_like(recorded.record, str(self._name))
        if recorded is None or not is_ours or self._options.pull != "missing":
            return None
        image = pull.moved(self._root, self._name, recorded.record["digest"], self._runner.host.ids)
        if image is not None:
            self._console.warn(
                f"there is no {self._name.path} any more: using {image.digest}, which made what is recorded, from "
                "the store"
            )
        return image

    @contextmanager
    def _configured(self, image: Image) -> Iterator[clouds.Generation]:
        """Yield the cloud's configuration, and keep the cloud and it from removal within the block.

        Raises StateError where the cloud is not configured or belongs to another image.
        """
        slot = self._cloud.slot("cloud", "")
        if not os.path.isdir(slot):
            self._refuse_unconfigured()
        with clouds.used(self._cloud), clouds.held_current(slot) as generation:
            if generation is None:
                self._refuse_unconfigured()
            ownership.check_cloud(self._cloud.name, generation.record, image)
            yield generation

    @contextmanager
    def _locked_output(self, slot: str, interaction: str) -> Iterator[clouds.Generation]:
        """Yield the output of an interaction's setup, and lock its slot within the block. Raises StateError."""
        if not os.path.isdir(slot):
            self._refuse_not_set_up(interaction)
        with clouds.used(self._cloud), clouds.changing(self._cloud, slot):
            output = clouds.set_up(slot) or clouds.interrupted(slot)
            if output is None:
                self._refuse_not_set_up(interaction)
            yield output

    def _refuse_unconfigured(self) -> NoReturn:
        from tweed_shim.tweed import cloud_errors

        raise cloud_errors.not_configured(self._cloud.name, self._reference)

    def _refuse_not_set_up(self, interaction: str) -> NoReturn:
        from tweed_shim.tweed import cloud_errors

        raise cloud_errors.not_set_up(self._cloud.directory, interaction)

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

    def _record(self, image: Image, earlier: clouds.Generation | None) -> dict[str, Any]:
        """Return the record of a new generation. earlier: the one whose owner the new one keeps, if any."""
        name = image.reference if earlier is None else ownership.owner(earlier.record, image)
        return {"image": name, "digest": image.digest, "time": runs.timestamp()}

    def _metadata(self, image: Image) -> dict[str, Any]:
        from tweed_shim.tweed import metadata_cache

        def ask() -> dict[str, Any]:
            run, output = self._operations.run(OperationCall(OPERATIONS["metadata"], image, ""))
            from tweed_shim.tweed import metadata

            with reading(run, output):
                return metadata.parse(output, image=image.reference)

        def waiting() -> None:
            self._console.info(
                f"waiting for the metadata of {image.reference}: another process is running the image for it"
            )

        return metadata_cache.obtain(self._root, image, ask, waiting=waiting)

    def _environment(self, image: Image, output: bytes) -> dict[str, str]:
        from tweed_shim.tweed import environment

        return environment.parse(output, image=image.reference)
