"""An image's configuration (image-spec config.md; Docker's has the same fields)."""

from collections.abc import Mapping

from tweed_shim.image.reference import is_digest
from tweed_shim.lean import signal
from tweed_shim.lean.typing import TYPE_CHECKING, Any
from tweed_shim.letters import decimal
from tweed_shim.records import Record

if TYPE_CHECKING:
    from tweed_shim.image.documents import Document
    from tweed_shim.image.platforms import Platform


# The first or the last of the real-time signals, and the direction in which they are counted from there.
_RANGES = {"RTMIN+": (signal.SIGRTMIN, 1), "RTMAX-": (signal.SIGRTMAX, -1)}


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
    platform: "Platform | None"
    diff_ids: tuple[str, ...]


def parse(body: bytes, what: str) -> Configuration:
    """The configuration in a blob; `what` names it in errors. Raises ImageError."""
    from tweed_shim.image import documents, platforms

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
    number = stop_signal(named) if named else signal.SIGTERM
    if number is None:
        run.wrong("StopSignal", f"{named[:40]!r} is no signal")
    return int(number)


def stop_signal(text: str) -> int | None:
    """Return the number of the signal that a text names: `SIGQUIT`, `quit`, `3`, `SIGRTMIN+3`; None for no signal."""
    name = text.strip().upper().removeprefix("SIG")
    for prefix, (base, direction) in _RANGES.items():
        offset = decimal(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if offset is not None:
            return _checked_signal(int(base) + direction * offset, lowest=int(signal.SIGRTMIN))
    written = decimal(name)
    if written is not None:
        return _checked_signal(written)
    number = getattr(signal, f"SIG{name}", None) if name.isalnum() else None
    return _checked_signal(int(number)) if isinstance(number, int) else None


def _is_signal(value: object) -> bool:
    """Tell whether a value is the number of a signal."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= signal.SIGRTMAX


def _checked_signal(number: int, *, lowest: int = 1) -> int | None:
    return number if _is_signal(number) and number >= lowest else None


def is_record(value: object) -> bool:
    """Say whether these are the fields of an `ImageConfig` as JSON has them."""
    if not isinstance(value, dict) or not value.keys() <= {*ImageConfig.FIELDS}:
        return False
    return all(
        isinstance(each, list) and all(isinstance(part, str) for part in each)
        if isinstance(ImageConfig.DEFAULTS[name], tuple)
        else _is_signal(each)
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
