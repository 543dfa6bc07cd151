"""Run the operations of a pattern on an instance, and record what each of them changes.

The caller has locked the instance, and the binding of the operation if there is one; its backend is set up. Each
function here records the change before the image starts, so that an interrupted one is known, and the success as soon
as the image has ended with code 0.
"""

from collections.abc import Callable, Mapping

from tweed_shim.base.lean import json
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import EMPTY, Record
from tweed_shim.errors import ContractError
from tweed_shim.image.store import Image
from tweed_shim.runtime import runs
from tweed_shim.tweed import command_lines, contract, instance_errors, instances
from tweed_shim.tweed.chain import BackendAccess
from tweed_shim.tweed.contract import OPERATIONS
from tweed_shim.tweed.instances import BINDING, DEPROVISIONING, FAILED, PROVISIONING, READY, Instance
from tweed_shim.tweed.operation_runner import OperationCall, OperationRunner, import_for

NO_ACCESS = BackendAccess()


class Target(Record):
    """What an operation works on: an instance and perhaps a binding, the image, and its access to the backend."""

    instance: Instance
    image: Image
    access: BackendAccess = NO_ACCESS
    binding: str = ""


def call(operation: str, target: Target, documents: Mapping[str, bytes] = EMPTY) -> OperationCall:
    """Return the call of an operation. documents: the content of $INPUTS or $BINDING, by variable."""
    instance, access = target.instance, target.access
    row = OPERATIONS[operation]
    if not documents:
        # For a request that is only checked or shown.
        documents = dict.fromkeys(contract.documents(row), b"{}\n")
    return OperationCall(
        row,
        target.image,
        {**access.names, "instance": instance.name, "binding": target.binding},
        directories={"CREDSTORE": instance.credstore, "OUTPUTS": instance.outputs},
        documents=documents,
        environment=access.environment,
        backend_output=access.directory,
        ahead=access.ahead,
    )


def made_by(image: Image) -> dict[str, str]:
    """Return what a record says of the image that makes something, and when."""
    return {"image": image.reference, "digest": image.digest, "time": runs.timestamp()}


def provision(operations: OperationRunner, target: Target, inputs: bytes, more: Mapping[str, Any]) -> None:
    """Make the instance and run `provision`. inputs: as JSON. more: further fields of the instance's record."""
    instance = target.instance
    record = {**made_by(target.image), **more}
    remedy = (
        f"instance '{instance.name}' is failed, and all that was written is kept; end it with: "
        f"{command_lines.deprovision(record['image'], instance.name)}"
    )
    instances.create(instance, inputs)
    with instances.changing(
        instance.directory, started={**record, "state": PROVISIONING}, failed={**record, "state": FAILED}
    ) as finish:
        _run(
            operations,
            call("provision", target, {"INPUTS": inputs}),
            lambda _: finish({**record, "state": READY}),
            remedy=remedy,
        )


def bind(operations: OperationRunner, target: Target) -> dict[str, Any]:
    """Run `bind`, record the credentials that it prints, and return them."""
    instance, binding = target.instance, target.binding
    record = made_by(target.image)
    printed: dict[str, Any] = {}
    remedy = (
        f"binding '{binding}' is failed; before another try unbind it with: "
        f"{command_lines.unbind(target.image.reference, instance.name, binding)}"
    )

    def succeed(result: bytes) -> None:
        from tweed_shim.tweed import credentials

        try:
            printed.update(credentials.parse(result, image=target.image.reference))
        except ContractError as error:
            raise ContractError(f"{error}; {remedy}") from error
        finish({**record, "state": READY, "credentials": printed})

    with instances.changing(
        instance.binding(binding), started={**record, "state": BINDING}, failed={**record, "state": FAILED}
    ) as finish:
        _run(operations, call("bind", target), succeed, remedy=remedy, printed=printed)
    return printed


def unbind(operations: OperationRunner, target: Target, recorded: Mapping[str, Any]) -> None:
    """Run `unbind` and forget the binding. recorded: its record."""
    document = json.dumps(recorded.get("credentials", {})).encode() + b"\n"
    _run(
        operations,
        call("unbind", target, {"BINDING": document}),
        lambda _: instances.forget_binding(target.instance, target.binding),
        remedy=f"binding '{target.binding}' stays as it was",
    )


def deprovision(operations: OperationRunner, target: Target, recorded: Mapping[str, Any]) -> None:
    """Run `deprovision` and forget the instance with all that belongs to it. recorded: its record."""
    instance = target.instance
    remedy = (
        f"instance '{instance.name}' stays as it was; where no deprovision can succeed, give it up with: "
        f"tweed-shim instances forget {instance.name}"
    )

    def succeed(_: bytes) -> None:
        instances.forget(instance)
        finish(None)

    with instances.changing(
        instance.directory,
        before=recorded,
        started={**recorded, "state": DEPROVISIONING},
        failed=recorded,
    ) as finish:
        inputs = instances.inputs(instance)
        _run(operations, call("deprovision", target, {"INPUTS": inputs}), succeed, remedy=remedy)


def _run(
    operations: OperationRunner,
    operation: OperationCall,
    succeed: Callable[[bytes], None],
    *,
    remedy: str,
    printed: Mapping[str, Any] = EMPTY,
) -> None:
    """Run an operation, and record its success within the run.

    succeed: is called with the result. remedy: the state after a failure, and what to do. printed: what NotRecorded
    has, where the disk refuses the record.
    """

    def succeeded(result: bytes) -> None:
        try:
            succeed(result)
        except OSError as error:
            what = f"{operation.operation.name} of {operation.image.reference}"
            failure = instance_errors.not_recorded(what, remedy=remedy, error=error)
            failure.environment = dict(printed)
            raise failure from error

    def meanwhile() -> None:
        import_for(operation.operation)

    operations.run(operation, if_failed=remedy, meanwhile=meanwhile, succeeded=succeeded)
