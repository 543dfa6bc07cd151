"""An image's configuration (image-spec config.md; Docker's has the same fields)."""

from collections.abc import Mapping

from tweed_shim import stop_signals
from tweed_shim.image import platforms
from tweed_shim.image.platforms import Platform
from tweed_shim.image.reference import is_digest
from tweed_shim.lean import signal
from tweed_shim.lean.typing import TYPE_CHECKING, Any
from tweed_shim.records import Record

if TYPE_CHECKING:
    from tweed_shim.image.documents import Document


class ImageConfig(Record):
    """What an image says about running it; empty where it says nothing. `env` holds NAME=value texts.

    architecture: what its programs are made for, as the image specification calls it. stop_signal: the number of what
    asks them to end.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    architecture: str = ""
    stop_signal: int = signal.SIGTERM


class Configuration(Record):
    """A whole configuration blob: how to run the image, what it is for, and its layers' digests uncompressed.

    platform is None where the blob names none.
    """

    run: ImageConfig
    platform: Platform | None
    diff_ids: tuple[str, ...]


def parse(body: bytes, what: str) -> Configuration:
    """The configuration in a blob; `what` names it in errors. Raises ImageError."""
    from tweed_shim.image import documents

    document = documents.parse(body, what)
    run = document.child("config")
    rootfs = document.child("rootfs")
    diff_ids = rootfs.texts("diff_ids")
    for number, diff_id in enumerate(diff_ids):
        if not (is_digest(diff_id) and diff_id.startswith("sha256:")):
            rootfs.wrong(f"diff_ids[{number}]", "is not a sha256 digest")
    platform = platforms.of_image(
        document.text("os", "linux"), document.text("architecture", ""), document.text("variant", "")
    )
    return Configuration(
        ImageConfig(
            entrypoint=run.texts("Entrypoint"),
            cmd=run.texts("Cmd"),
            env=run.texts("Env"),
            user=run.text("User", ""),
            working_dir=run.text("WorkingDir", ""),
            architecture=platform.architecture,
            stop_signal=_stop_signal(run),
        ),
        platform if platform.architecture else None,
        diff_ids,
    )


def _stop_signal(run: "Document") -> int:
    named = run.text("StopSignal", "")
    number = stop_signals.parse(named) if named else signal.SIGTERM
    if number is None:
        run.wrong("StopSignal", f"{named[:40]!r} is no signal")
    return int(number)


def is_record(value: object) -> bool:
    """Say whether these are the fields of an `ImageConfig` as JSON has them."""
    if not isinstance(value, dict) or not value.keys() <= {*ImageConfig.FIELDS}:
        return False
    return all(
        isinstance(each, list) and all(isinstance(part, str) for part in each)
        if isinstance(ImageConfig.DEFAULTS[name], tuple)
        else stop_signals.is_signal(each)
        if name == "stop_signal"
        else isinstance(each, str)
        for name, each in value.items()
    )


def from_record(fields: Mapping[str, Any]) -> ImageConfig:
    """The configuration that was kept of the fields of an `ImageConfig`, lists being tuples again."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return ImageConfig(**values)
