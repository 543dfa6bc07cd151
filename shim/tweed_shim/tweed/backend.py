"""A Tweed backend: an image that is asked to perform the operations of the contract for one cloud."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from tweed_shim import files, option_values, state_files, trace
from tweed_shim.errors import ContractError, DamagedRecord, NotRecorded, StateError
from tweed_shim.image import pull, store
from tweed_shim.image import reference as references
from tweed_shim.image.store import Image
from tweed_shim.lean import json
from tweed_shim.lean.typing import Any, NoReturn
from tweed_shim.option_names import option
from tweed_shim.records import Record, fields
from tweed_shim.runtime import host, log_space, process, runs, spec
from tweed_shim.runtime.confinement import confine
from tweed_shim.runtime.container import Console
from tweed_shim.runtime.launch import Launch, launch, reading
from tweed_shim.runtime.options import RunOptions
from tweed_shim.runtime.request import KEEP_LIMIT, RESULT_LIMIT, Mount, Request
from tweed_shim.settings import Settings
from tweed_shim.tweed import clouds, ownership
from tweed_shim.tweed.contract import HOME, IN_CONFIG, OPERATIONS, OUT_CONFIG, Operation, find_operation
from tweed_shim.tweed.drafts import Draft

METADATA_CACHE = "metadata.json"
METADATA_SHAPE = dict.fromkeys(("backend", "name", "version"), state_files.text)
ENV_STREAMS = ("stdout", "stderr")


class Options(RunOptions):
    """The options for pulling a backend's image and running its operations; the defaults are the contract's.

    env_stream: the stream to which setup writes its environment. keep_limit: the most bytes that configure and setup
    can keep. `metadata` never has a network.
    """

    env_stream: str = "stdout"
    keep_limit: int = KEEP_LIMIT

    CHECKS = option_values.checks(
        env_stream=option_values.choice(*ENV_STREAMS),
        keep_limit=option_values.whole_number(most=1 << 60, example="1 << 30"),
    )


class Setup(Mapping[str, str]):
    """The environment of an interaction that is set up: a mapping of names to values.

    As a context manager it tears the interaction down at the end of the block.
    """

    def __init__(self, backend: "Backend", interaction: str, environment: dict[str, str]) -> None:
        self.interaction = interaction
        self._backend = backend
        self._environment = environment

    def __getitem__(self, name: str) -> str:
        """The value of one variable."""
        return self._environment[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in the order in which the image wrote them."""
        return iter(self._environment)

    def __len__(self) -> int:
        """How many variables there are."""
        return len(self._environment)

    def __enter__(self) -> "Setup":
        """Use the environment for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Tear the interaction down. Raises what `Backend.teardown` raises."""
        self._backend.teardown(self.interaction)


class _Call(Record):
    """One operation that is about to run: its row of the table, what it is given, and where it may write."""

    operation: Operation
    image: Image
    interaction: str
    in_config: str | None = None
    out_config: str | None = None
    stdin: bytes | None = None


class Backend:
    """A backend image and a cloud of a store; see `tweed_shim.Shim.backend`."""

    def __init__(
        self,
        settings: Settings,
        reference: str,
        cloud: str,
        options: Options = Options(),  # noqa: B008 - immutable
        console: Console = Console(),  # noqa: B008 - immutable
    ) -> None:
        self._settings = settings
        self._reference = reference
        self._name = store.canonical(references.parse(reference))
        self._options = options
        self._console = console
        self._host = host.inspect()
        # What cannot be had is refused before anything is pulled.
        self._confinement = confine(self._host, options)
        self._cloud = clouds.Cloud(
            settings.root, clouds.check_name("a cloud", cloud), self._host.ids, waiting=console.warn
        )

    def metadata(self) -> dict[str, Any]:
        """What the image says about itself, validated. Asked once for each image, then remembered.

        Raises ContractError where it is not what the contract wants, OperationFailed where the image fails.
        """
        with self._image() as image:
            return self._metadata(image)

    def configure(self, configuration: Mapping[str, Any], *, replace: bool = False) -> None:
        """Give the image the operator's configuration; what it keeps of it becomes the cloud's configuration.

        The previous one stays in force unless the image succeeds. The cloud belongs to the image's repository from
        then on (see `ownership`).

        replace: give a cloud over to this image that another one configured. Interactions that are set up stay, and
        only the image that set each of them up can tear it down.
        Raises StateError where the cloud belongs to another image, ConfigError where the configuration breaks the
        schema that the image's metadata has for it, OperationFailed where the image refuses it.
        """
        from tweed_shim.tweed import configuration as configurations

        operation = OPERATIONS["configure"]
        option_values.argument("replace", replace, option_values.flag)
        configurations.require_map(configuration)
        with self._image() as image:
            place = self._cloud.place(operation.writes, "")
            # Before the metadata: nothing of another image is run. And again when nobody else can configure the cloud.
            self._check_cloud(clouds.current(place, replacing=replace), image, replace=replace)
            configurations.validate(configuration, self._metadata(image).get("inputs", {}))
            with clouds.used(self._cloud), clouds.changing(self._cloud, place):
                earlier = clouds.current(place, replacing=replace)
                self._check_cloud(earlier, image, replace=replace)
                record = self._record(image, None if replace else earlier)
                with clouds.draft(self._cloud, place, record) as new:
                    stdin = configurations.encode(configuration)
                    self._run(_Call(operation, image, "", out_config=new.data, stdin=stdin))
                    with trace.span("commit"):
                        clouds.commit(self._cloud, place, new)
                if earlier and earlier.record and not ownership.owns(earlier.record, image):
                    self._warn_of_interactions_left(earlier)

    def check(self) -> None:
        """Have the image try the cloud's configuration.

        Raises StateError where there is none, or it belongs to another image, OperationFailed where it is not viable.
        """
        with self._image(self._configuration()) as image, self._configured(image) as config:
            self._run(_Call(OPERATIONS["check"], image, "", in_config=config.data))

    def setup(self, interaction: str = "default", *, replace: bool = False) -> Setup:
        """Set an interaction up and return its environment.

        replace: forget the output of an earlier setup of the same interaction that has not been torn down; what
        that one made in the backend stays there.
        Raises StateError where the cloud is not configured, or belongs to another image, or the interaction is already
        set up; ContractError where the environment is not what the contract wants; OperationFailed where the image
        fails. Nothing is recorded then, and teardown is not called. Raises NotRecorded where the image has succeeded
        and the disk refuses to have that recorded.
        """
        operation = OPERATIONS["setup"]
        option_values.argument("replace", replace, option_values.flag)
        place = self._cloud.place(operation.writes, interaction)
        with (
            self._image(self._configuration()) as image,
            self._configured(image) as config,
            clouds.changing(self._cloud, place),
        ):
            earlier = clouds.set_up(place, replacing=replace)
            if earlier is not None and not replace:
                raise StateError(
                    f"interaction '{interaction}' of cloud '{self._cloud.name}' is already set up by "
                    f"{earlier.record.get('image')}; tear it down with that image first, "
                    f"or set it up again with {option('--replace')}"
                )
            with clouds.draft(self._cloud, place, self._record(image, config)) as new:
                call = _Call(operation, image, interaction, in_config=config.data, out_config=new.data)
                environment = self._set_up_draft(call, new)
                with trace.span("commit"):
                    self._commit_setup(place, interaction, new)
        if earlier is not None:
            self._console.warn(
                f"what the earlier setup of interaction '{interaction}' made is forgotten here and stays in the backend"
            )
        return Setup(self, interaction, environment)

    def _set_up_draft(self, call: _Call, new: Draft) -> dict[str, str]:
        """Run a setup, mark its draft as soon as the image has succeeded, and return the environment."""
        environment: dict[str, str] = {}

        def succeeded(result: bytes) -> None:
            with trace.span("collect"):
                environment.update(self._environment(call.image, result))
            with trace.span("commit"):
                try:
                    new.mark({"environment": environment})
                except OSError as error:
                    raise self._not_recorded(call, new, error, environment) from error

        def meanwhile() -> None:
            _import_for(call.operation)
            # The commit does it where it fails here.
            with suppress(OSError):
                new.sync()

        self._run(call, meanwhile=meanwhile, succeeded=succeeded)
        return environment

    def _commit_setup(self, place: str, interaction: str, new: Draft) -> None:
        name = f"interaction '{interaction}' of cloud '{self._cloud.name}'"
        if new.environment_lost is not None:
            self._console.warn(
                f"{name} is set up, and its environment could not be recorded ({new.environment_lost.strerror}): keep "
                "what is printed now"
            )
        try:
            clouds.commit(self._cloud, place, new)
        except OSError as error:
            self._console.warn(
                f"{name} is set up, and the record of it could not be completed ({error.strerror}): the next operation "
                "on it does so"
            )

    def _not_recorded(
        self, call: _Call, new: Draft, error: OSError, environment: Mapping[str, str]
    ) -> NotRecorded:
        failure = NotRecorded(
            f"setup of {call.image.reference} has succeeded, and interaction '{call.interaction}' of "
            f"cloud '{self._cloud.name}' could not be recorded ({error.strerror}): what teardown would need is "
            f"in {new.data}, so copy that, mend the disk, and undo by hand what the image made in the backend"
        )
        failure.environment = dict(environment)
        return failure

    def teardown(self, interaction: str = "default") -> None:
        """Tear an interaction down and forget it.

        Raises StateError where it is not set up, or was set up by another image, OperationFailed where the image
        fails: all is kept for a retry.
        """
        operation = OPERATIONS["teardown"]
        place = self._cloud.place(operation.reads, interaction)
        output = self._output(place, interaction)
        with self._image(output) as image, self._set_up(place, interaction) as output:
            ownership.check_interaction(interaction, self._cloud.name, output.record, image)
            kept = (
                f"all of interaction '{interaction}' is kept for another try; where none can succeed, give it up with: "
                f"tweed-shim clouds forget {self._cloud.name} {interaction}"
            )
            self._run(_Call(operation, image, interaction, in_config=output.data), if_failed=kept)
            with trace.span("commit"):
                clouds.forget(self._cloud, place)

    def environment(self, interaction: str = "default") -> Setup:
        """Return the environment of an interaction that is set up. The image is neither pulled nor run.

        Raises StateError where the interaction is not set up, or its environment could not be recorded.
        """
        root = self._settings.root
        with store.disk_faults(root):
            store.check_version(root)
            return Setup(self, interaction, clouds.environment(self._cloud, interaction))

    def spec(self, operation: str, interaction: str = "default") -> dict[str, Any]:
        """The `config.json` that an operation would run with. Runs nothing, changes nothing but to pull the image."""
        row = find_operation(operation)
        reads = self._cloud.place(row.reads, interaction) if row.reads else None
        writes = self._cloud.place(row.writes, interaction) if row.writes else None
        with self._image() as image:
            call = _Call(
                row,
                image,
                interaction,
                in_config=reads and os.path.join(reads, clouds.CURRENT, "data"),
                out_config=writes and os.path.join(writes, "draft", "data"),
            )
            place = os.path.join(self._settings.root, "scratch")
            return spec.generate(self._request(call), self._host, scratch=place, name="spec")

    def _configuration(self) -> clouds.Generation:
        """Return the cloud's configuration. Raises StateError where there is none, before a pull."""
        with self._state():
            generation = clouds.current(self._cloud.place("cloud", ""))
        return generation or self._refuse_unconfigured()

    def _output(self, place: str, interaction: str) -> clouds.Generation:
        """Return what is recorded of an interaction. Raises StateError where it is not set up, before a pull."""
        with self._state():
            output = clouds.set_up(place) or clouds.interrupted(place)
            if output is None:
                # This finishes, or names, what a kill left, and raises the error.
                with self._set_up(place, interaction) as output:
                    pass
        return output

    @contextmanager
    def _state(self) -> Iterator[None]:
        """Check that the store is one, and turn what the disk refuses within the block into a HostError."""
        with store.disk_faults(self._settings.root):
            store.check_version(self._settings.root)
            yield

    @contextmanager
    def _image(self, recorded: clouds.Generation | None = None) -> Iterator[Image]:
        """Yield the image, unpacked, and keep it from removal for as long as the block lasts.

        recorded: what was made with the image before. Where a local image has been moved or deleted since, that very
        image is taken from the store.
        """
        log_space.relieve_disk(self._settings.root)
        with (
            pull.held(lambda: self._obtain(recorded)) as image,
            store.disk_faults(self._settings.root),
        ):
            yield image

    def _made_by_this(self, recorded: clouds.Generation) -> bool:
        """Tell whether what is recorded was made by a local image of this very path."""
        return bool(self._name.path) and ownership.is_named_like(recorded.record, str(self._name))

    def _obtain(self, recorded: clouds.Generation | None) -> Image:
        options = self._options
        if recorded is not None and options.pull == "missing" and self._made_by_this(recorded):
            image = pull.moved(self._settings.root, self._name, recorded.record["digest"], self._host.ids)
            if image is not None:
                self._console.warn(
                    f"there is no {self._name.path} any more: using {image.digest}, which made what is recorded, from "
                    "the store"
                )
                return image
        with trace.span("resolve"):
            return pull.obtain(
                self._settings.root,
                self._name,
                pull=options.pull,
                platform=options.platform,
                connect=options.connect,
                report=self._console.report,
                idmap=self._host.ids,
            )

    @contextmanager
    def _configured(self, image: Image) -> Iterator[clouds.Generation]:
        """Keep the cloud and its configuration for the length of a block. Raises StateError where it is not for us."""
        place = self._cloud.place("cloud", "")
        if not os.path.isdir(place):
            self._refuse_unconfigured()
        with clouds.used(self._cloud), clouds.held_current(place) as generation:
            if generation is None:
                self._refuse_unconfigured()
            ownership.check_cloud(self._cloud.name, generation.record, image)
            yield generation

    @contextmanager
    def _set_up(self, place: str, interaction: str) -> Iterator[clouds.Generation]:
        refusal = clouds.not_set_up(self._cloud, interaction)
        if not os.path.isdir(place):
            raise refusal
        with clouds.used(self._cloud), clouds.changing(self._cloud, place):
            output = clouds.set_up(place) or clouds.interrupted(place)
            if output is None:
                raise refusal
            yield output

    def _refuse_unconfigured(self) -> NoReturn:
        raise StateError(
            f"cloud '{self._cloud.name}' is not configured; configure it first: "
            f"tweed-shim exec {self._reference} configure --cloud {self._cloud.name} --config FILE"
        )

    def _check_cloud(self, configured: clouds.Generation | None, image: Image, *, replace: bool) -> None:
        if configured is not None and not replace:
            ownership.check_cloud(self._cloud.name, configured.record, image)

    def _warn_of_interactions_left(self, earlier: clouds.Generation) -> None:
        if left := clouds.set_up_in(self._cloud.directory):
            self._console.warn(
                f"cloud '{self._cloud.name}' is no longer that of {earlier.record.get('image')}; the interactions "
                f"in it ({', '.join(left)}) stay set up: tear each down with the image that set it up"
            )

    def _record(self, image: Image, earlier: clouds.Generation | None) -> dict[str, Any]:
        """Return what is noted about a generation. earlier: the one that says whom the cloud belongs to, if any."""
        name = image.reference if earlier is None else ownership.owner(earlier.record, image)
        return {"image": name, "digest": image.digest, "time": runs.timestamp()}

    def _metadata(self, image: Image) -> dict[str, Any]:
        cached = self._cached_metadata(image)
        if cached is not None:
            return cached
        from tweed_shim import scratch

        waited = False

        def waiting() -> None:
            nonlocal waited
            waited = True
            self._console.info(f"waiting for what another process asks {image.reference}: its metadata")

        name = f"metadata-{os.path.basename(image.directory)}"
        with scratch.only_one(self._settings.root, name, waiting):
            cached = self._cached_metadata(image)
            if cached is not None:
                return cached
            if not waited:
                return self._ask_for_metadata(image)
        # The other has failed. Those who waited for it do not wait for each other's failures, too.
        return self._ask_for_metadata(image)

    def _cached_metadata(self, image: Image) -> dict[str, Any] | None:
        # A cache that a power cut left empty is as good as none: the image is asked again.
        with suppress(FileNotFoundError, DamagedRecord):
            return state_files.read(_metadata_cache(image), METADATA_SHAPE, mend="")
        return None

    def _ask_for_metadata(self, image: Image) -> dict[str, Any]:
        run, output = self._run(_Call(OPERATIONS["metadata"], image, ""))
        from tweed_shim.tweed import metadata

        with reading(run, output):
            found = metadata.parse(output, image=image.reference)
        files.write_whole(_metadata_cache(image), json.dumps(found).encode(), durable=False)
        return found

    def _environment(self, image: Image, output: bytes) -> dict[str, str]:
        from tweed_shim.tweed import environment

        return environment.parse(output, image=image.reference)

    def _run(
        self,
        call: _Call,
        *,
        if_failed: str = "",
        meanwhile: Callable[[], None] | None = None,
        succeeded: Callable[[bytes], None] = lambda _: None,
    ) -> tuple[runs.Run, bytes]:
        """Run an operation; returns the run and its result stream. Raises ContractError where that is too long.

        meanwhile: called while the image runs. succeeded: takes the result as soon as the image has ended with 0.
        """
        what = f"{call.image.reference} {call.operation.name}"
        record = {
            "operation": call.operation.name,
            "image": call.image.reference,
            "digest": call.image.digest,
            "cloud": self._cloud.name if call.operation.reads or call.operation.writes else "",
            "interaction": call.interaction,
        }
        of = Launch(
            self._settings,
            self._host,
            self._console,
            what,
            record,
            if_failed,
            self._options.scratch,
            succeeded,
        )
        with trace.span("prepare"):
            request = self._request(call)
        run, outcome = launch(request, of, meanwhile=meanwhile or (lambda: _import_for(call.operation)))
        if outcome.overflow:
            raise ContractError(
                f"{what} wrote more than {RESULT_LIMIT >> 20} MiB, which is no {call.operation.result}; it was killed, "
                f"and 'tweed-shim logs {run.number}' shows how that began"
            )
        return run, outcome.result

    def _request(self, call: _Call) -> Request:
        operation, options, config = call.operation, self._options, call.image.config
        network = "none" if operation.network == "none" else options.network
        directories = (
            ("IN_CONFIG", IN_CONFIG, call.in_config, False),
            ("OUT_CONFIG", OUT_CONFIG, call.out_config, True),
        )
        given = [
            (name, Mount(source, where, writable)) for name, where, source, writable in directories if source
        ]
        started = process.resolve(
            call.image.rootfs,
            what=call.image.reference,
            entrypoint=config.entrypoint,
            arguments=(operation.name,),
            env=config.env,
            user=config.user,
            cwd=config.working_dir,
            variables={"HOME": HOME, **{name: mount.destination for name, mount in given}},
            ids=self._confinement.userns or self._host.ids,
        )
        on_stderr = operation.result == "environment" and options.env_stream == "stderr"
        stdout, stderr = ("log", "result") if on_stderr else ("result" if operation.result else "log", "log")
        if self._host.ids.kind == "single" and config.user not in ("", "0", "root", "0:0"):
            self._console.info(
                f"{call.image.reference} asks for user '{config.user}' and runs as its root, which is you: there is "
                "only one id; /etc/subuid and /etc/subgid can grant more"
            )
        request = Request(
            rootfs=call.image.rootfs,
            **fields(started),
            home=HOME,
            mounts=(*process.network_mounts(network), *(mount for _, mount in given)),
            keep_limit=options.keep_limit,
            stdin=call.stdin,
            stdout=stdout,
            stderr="stdout" if operation.merged else stderr,
            network=network,
            limits=options.limits,
            timeout=operation.timeout if options.timeout is None else options.timeout,
            read_only=options.read_only,
            stop_signal=config.stop_signal,
            architecture=config.architecture,
            **fields(self._confinement),
        )
        spec.check_image(request, self._host, call.image.reference)
        return request


def _metadata_cache(image: Image) -> str:
    return os.path.join(image.directory, METADATA_CACHE)


def _import_for(operation: Operation) -> None:
    """Import what reads the operation's result while the container is busy with writing it."""
    if operation.result == "environment":
        import tweed_shim.tweed.environment
    elif operation.result == "metadata":
        import jsonschema  # noqa: F401 - see above
        import yaml  # noqa: F401 - likewise

        import tweed_shim.tweed.metadata  # noqa: F401 - likewise
