"""A Tweed pattern: deploy instances of a service with one image (contract.py), and bind them to their users."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from tweed_shim.base import option_values
from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.base.records import EMPTY, replace
from tweed_shim.base.settings import Settings
from tweed_shim.errors import ContractError
from tweed_shim.image import reference as references
from tweed_shim.image import store
from tweed_shim.image.store import Image
from tweed_shim.runner import Runner
from tweed_shim.runtime.console import Console
from tweed_shim.tweed import (
    chain,
    clouds,
    contract,
    instance_errors,
    instance_operations,
    instances,
    ownership,
    recorded_image,
)
from tweed_shim.tweed.binding import Binding
from tweed_shim.tweed.chain import BackendAccess
from tweed_shim.tweed.cloud_operations import CloudOperations
from tweed_shim.tweed.instance_operations import Target
from tweed_shim.tweed.instances import READY, Instance
from tweed_shim.tweed.operation_runner import OperationRunner, Options

if TYPE_CHECKING:
    from tweed_shim.tweed.instance_states import InstanceState
    from tweed_shim.tweed.shells import Shell

# The longest part of an instance's name in the name of an interaction: that has at most 128 characters.
_LONGEST = 90


class Pattern:
    """A pattern image and the instances of a store; see `tweed_shim.Shim.pattern`."""

    def __init__(
        self,
        settings: Settings,
        reference: str,
        cloud: str | None,
        *,
        keep_backend: bool = False,
        allow: Collection[str] = (),
        options: Options = Options(),  # noqa: B008 - immutable
        console: Console = Console(),  # noqa: B008 - immutable
    ) -> None:
        self._root = settings.root
        self._name = store.canonical(references.parse(reference))
        self._console = console
        self._keep_backend = option_values.argument("keep_backend", keep_backend, option_values.flag)
        self._allow = option_values.argument("allow", allow, option_values.sequence(option_values.text))
        self._runner = Runner(settings, options, console)
        self._operations = OperationRunner(self._runner, options)
        # The pattern's stdout may be a result, so nothing of the backend is shown there.
        self._backend_operations = OperationRunner(
            self._runner, replace(options, keep=None), replace(console, stdout=console.stderr)
        )
        self._cloud = "" if cloud is None else clouds.check_name("a cloud", cloud)

    def metadata(self) -> dict[str, Any]:
        """Return the validated metadata of the image. The image runs once; later calls read the stored answer.

        Raises ContractError where the metadata breaks the contract, OperationFailed where the image fails.
        """
        with self._runner.image(self._name) as image:
            return self._metadata(image, "metadata")

    def provision(
        self,
        instance: str = "default",
        inputs: Mapping[str, Any] = EMPTY,
        *,
        plan: Mapping[str, Any] = EMPTY,
    ) -> None:
        """Provision an instance: deploy the service where the cloud's backend gives access to.

        inputs: the user's parameters. plan: the operator's configuration; the parameters are merged over it.
        Raises StateError where the instance exists or the cloud is not configured, ConfigError where the inputs do not
        fit the schema in the image's metadata; nothing has been run then. Raises what `Backend.setup` raises where
        the backend fails; there is no instance then, either. Raises OperationFailed or TimedOut where the image fails:
        the instance is failed, all that the image wrote is kept, and only `deprovision` may follow.
        """
        from tweed_shim.tweed import pattern_inputs

        state = self._instance(instance)
        merged = pattern_inputs.merge(plan, inputs)
        with recorded_image.contract_first(self._runner, self._name, "provision"), self._checked_store():
            _refuse_existing(state)
            self._require_cloud()
        with self._runner.image(self._name) as image:
            metadata = self._metadata(image, "provision")
            encoded = pattern_inputs.encode(merged)
            pattern_inputs.validate(encoded, metadata.get("inputs"), plan=plan, inputs=inputs)
            # What cannot be run is refused before the backend is set up.
            self._operations.request(instance_operations.call("provision", Target(state, image)))
            with instances.locked(state):
                _refuse_existing(state)
                with self._backend(self._cloud, Target(state, image), "provision") as target:
                    record = {
                        "cloud": self._cloud,
                        "backend": target.access.image,
                        "files": metadata.get("files") or [],
                    }
                    instance_operations.provision(self._operations, target, encoded, record)

    def bind(self, instance: str = "default", binding: str = "default", *, replace: bool = False) -> Binding:
        """Make a binding of an instance, record its credentials and return them.

        replace: let another version of the image that provisioned the instance take it over.
        Raises StateError where there is no such instance, it is not ready, it belongs to another image, or it has a
        binding of this name; ContractError where the image prints no credentials, OperationFailed or TimedOut where it
        fails. The binding is then recorded as failed, and `unbind` may follow.
        """
        clouds.check_name("a binding", binding)
        with (
            self._provisioned(instance, "bind", replace=replace) as (state, record, image),
            instances.binding_locked(state, binding),
        ):
            if (earlier := instances.read_binding(state, binding)) is not None:
                raise instance_errors.bound(
                    instance, binding, image.reference, is_ready=earlier["state"] == READY
                )
            with self._backend(record["cloud"], Target(state, image, binding=binding), "bind") as target:
                credentials = instance_operations.bind(self._operations, target)
        return Binding(self, instance, binding, credentials)

    def unbind(self, instance: str = "default", binding: str = "default", *, replace: bool = False) -> None:
        """Revoke the credentials of a binding, and forget it.

        replace: as for `bind`. Raises StateError where there is no such instance or binding, or the instance belongs to
        another image; OperationFailed or TimedOut where the image fails: the binding stays valid then.
        """
        clouds.check_name("a binding", binding)
        with (
            self._provisioned(instance, "unbind", replace=replace) as (state, record, image),
            instances.binding_locked(state, binding),
        ):
            recorded = instances.read_binding(state, binding)
            if recorded is None:
                raise instance_errors.unknown_binding(instance, binding)
            with self._backend(record["cloud"], Target(state, image, binding=binding), "unbind") as target:
                instance_operations.unbind(self._operations, target, recorded)

    def deprovision(self, instance: str = "default", *, replace: bool = False) -> None:
        """Remove what provision deployed, and forget the instance with its bindings.

        replace: as for `bind`. Raises StateError where there is no such instance or it belongs to another image,
        OperationFailed or TimedOut where the image fails: the instance stays as it was then.
        """
        with (
            self._provisioned(instance, "deprovision", replace=replace) as (state, record, image),
            self._backend(record["cloud"], Target(state, image), "deprovision") as target,
        ):
            instance_operations.deprovision(self._operations, target, record)

    def instances(self) -> "list[InstanceState]":
        """Return the instances that this image, or another version of it, has provisioned."""
        from tweed_shim.tweed import instance_states

        with self._checked_store():
            return [
                state
                for state in instance_states.states(self._root, self._console.warn)
                if ownership.is_named_like({"image": state.image}, str(self._name))
            ]

    def spec(self, operation: str, instance: str = "default", binding: str = "default") -> dict[str, Any]:
        """Return the `config.json` that an operation would run with. Runs nothing; pulls the image where necessary."""
        row = contract.find_operation(operation)
        state = self._instance(instance)
        with self._runner.image(self._name) as image:
            request = self._operations.request(
                instance_operations.call(row.name, Target(state, image, binding=binding))
            )
            return self._runner.config(request, name="spec")

    def bundle(
        self,
        operation: str,
        directory: str | os.PathLike[str],
        instance: str = "default",
        binding: str = "default",
    ) -> list[str]:
        """Write an OCI bundle of an operation to a new or empty directory; return the command that starts it.

        The backend is not set up, so its variables and files are not in the bundle. Otherwise as `Backend.bundle`.
        """
        from tweed_shim.tweed import bundles

        row = contract.find_operation(operation)
        path = option_values.argument("directory", directory, option_values.path)
        bundles.check(self._runner, row, path)
        state = self._instance(instance)
        clouds.check_name("a binding", binding)
        with (
            self._runner.image(self._name) as image,
            bundles.instance_call(row, Target(state, image, binding=binding)) as call,
        ):
            return bundles.write(self._runner, self._operations, call, path)

    def shell(
        self, operation: str, shell: "Shell", instance: str = "default", binding: str = "default"
    ) -> int:
        """Run a shell in the sandbox of an operation; see `Backend.shell`. The backend is not set up for it."""
        from tweed_shim.tweed import bundles, shells

        row = contract.find_operation(operation)
        state = self._instance(instance)
        clouds.check_name("a binding", binding)
        with (
            self._runner.image(self._name) as image,
            bundles.instance_call(row, Target(state, image, binding=binding)) as call,
        ):
            return shells.run(self._runner, self._operations, call, shell)

    def _instance(self, name: str) -> Instance:
        return instances.at(self._root, name, self._runner.host.ids, self._console.warn)

    def _metadata(self, image: Image, operation: str) -> dict[str, Any]:
        """Return the metadata of an image. Raises ContractError where it does not have the operation."""
        from tweed_shim.tweed import image_metadata

        metadata = image_metadata.obtain(self._runner, self._operations, image)
        image_metadata.require(metadata, image, operation)
        return metadata

    @contextmanager
    def _checked_store(self) -> Iterator[None]:
        """Check the version of the store, and turn errors of the disk within the block into HostError."""
        with store.disk_faults(self._root):
            store.check_version(self._root)
            yield

    def _require_cloud(self) -> None:
        """Raise StateError where the cloud of a new instance is not configured."""
        if self._cloud and clouds.current(self._cloud_of(self._cloud).slot("cloud", "")) is None:
            raise instance_errors.cloud_not_configured(self._cloud)

    def _cloud_of(self, name: str) -> clouds.Cloud:
        return clouds.Cloud(self._root, name, self._runner.host.ids, self._console.warn)

    @contextmanager
    def _provisioned(
        self, name: str, operation: str, *, replace: bool
    ) -> Iterator[tuple[Instance, dict[str, Any], Image]]:
        """Lock an instance that exists for an operation; yield it with its record and the image of the operation.

        replace: record another version of the image as the instance's own, once the block has succeeded. Raises
        StateError where the operation may not follow, or the image may not carry it out.
        """
        option_values.argument("replace", replace, option_values.flag)
        state = self._instance(name)
        with recorded_image.contract_first(self._runner, self._name, operation), self._checked_store():
            known = _existing(state)
        is_shared = operation != "deprovision" and not replace
        with (
            self._runner.image(lambda: recorded_image.named(self._runner, self._name, known)) as image,
            instances.locked(state, shared=is_shared),
        ):
            record = _existing(state)
            is_newer = self._check_image(state, record, image, operation, replace=replace)
            backend = self._checked_backend(state, record, replace=replace)
            if operation != "deprovision" and record["state"] != READY:
                raise instance_errors.not_ready(name, record, operation)
            yield state, record, image
            is_taken_over = is_newer or backend != record.get("backend")
            if is_taken_over and instances.read(state) is not None:
                more = {"image": image.reference, "digest": image.digest, "backend": backend}
                instances.write(state.directory, {**record, **more})

    def _check_image(
        self, state: Instance, record: Mapping[str, Any], image: Image, operation: str, *, replace: bool
    ) -> bool:
        """Tell whether an image is another version of the one of a record. Raises StateError where it may not be."""
        if record["digest"] == image.digest:
            return False
        if not (replace and ownership.is_named_like(record, image.reference)):
            with recorded_image.contract_first(self._runner, self._name, operation):
                raise instance_errors.other_image(state.name, record, image, operation)
        self._metadata(image, operation)
        return True

    def _checked_backend(self, state: Instance, record: Mapping[str, Any], *, replace: bool) -> str:
        """Return the backend's image for an instance. Raises StateError where it may not be used, or there is none."""
        if not (cloud := record["cloud"]):
            return ""
        earlier = str(record.get("backend"))
        configured = clouds.current(self._cloud_of(cloud).slot("cloud", ""))
        if configured is None:
            raise instance_errors.cloud_lost(state.name, cloud, earlier)
        if ownership.is_named_like(configured.record, earlier):
            return earlier
        backend = str(configured.record["image"])
        if not replace:
            raise instance_errors.other_backend(state.name, cloud, earlier, backend)
        return backend

    @contextmanager
    def _backend(self, cloud: str, target: Target, operation: str) -> Iterator[Target]:
        """Set up the backend of a cloud for the length of a block; yield the target with access to it.

        cloud: empty for an instance without a backend.
        """
        if not cloud:
            yield target
            return
        instance = target.instance.name
        operations = CloudOperations(self._runner, self._backend_operations, self._cloud_of(cloud), "BACKEND")
        purpose = {"instance": instance, "operation": operation, "binding": target.binding}
        interaction = f"{instance[:_LONGEST]}-{operation}-{os.urandom(4).hex()}"
        not_run = f"{operation} was not run for it, and the state of instance '{instance}' is as it was"
        with chain.set_up(
            operations, interaction, purpose, keep=self._keep_backend, if_failed=not_run
        ) as access:
            self._check_variables(access)
            yield Target(target.instance, target.image, access, target.binding)

    def _check_variables(self, access: BackendAccess) -> None:
        """Raise ContractError where a backend sets variables that are the contract's, or that run other code."""
        from tweed_shim.tweed import steering

        if names := [name for name in contract.PATTERN_VARIABLES if name in access.environment]:
            raise ContractError(instance_errors.reserved_variables(access.image, names))
        if refused := steering.steering(access.environment, allow=self._allow, groups=steering.CODE):
            raise ContractError(instance_errors.steering_variables(access.image, refused))


def _existing(state: Instance) -> dict[str, Any]:
    """Return the record of an instance. Raises StateError where there is no such instance."""
    record = instances.read(state)
    if record is None:
        raise instance_errors.unknown(state.name)
    return record


def _refuse_existing(state: Instance) -> None:
    if (record := instances.read(state)) is not None:
        raise instance_errors.exists(state.name, record, instances.users_of(state))
