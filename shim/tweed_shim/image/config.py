"""An image's configuration (image-spec config.md; Docker's has the same fields)."""

from collections.abc import Mapping

from tweed_shim.image import documents
from tweed_shim.image.platforms import Platform
from tweed_shim.image.reference import is_digest
from tweed_shim.lean.typing import Any
from tweed_shim.records import Record


class ImageConfig(Record):
    """What an image says about running it; empty where it says nothing. `env` holds NAME=value texts.

    architecture: what its programs are made for, as the image specification calls it.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    architecture: str = ""


class Configuration(Record):
    """A whole configuration blob: how to run the image, what it is for, and its layers' digests uncompressed.

    platform is None where the blob names none.
    """

    run: ImageConfig
    platform: Platform | None
    diff_ids: tuple[str, ...]


def parse(body: bytes, what: str) -> Configuration:
    """The configuration in a blob; `what` names it in errors. Raises ImageError."""
    document = documents.parse(body, what)
    run = document.child("config")
    rootfs = document.child("rootfs")
    diff_ids = rootfs.texts("diff_ids")
    for number, diff_id in enumerate(diff_ids):
        if not (is_digest(diff_id) and diff_id.startswith("sha256:")):
            rootfs.wrong(f"diff_ids[{number}]", "is not a sha256 digest")
    architecture = document.text("architecture", "")
    platform = Platform(document.text("os", "linux"), architecture, document.text("variant", ""))
    return Configuration(
        ImageConfig(
            entrypoint=run.texts("Entrypoint"),
            cmd=run.texts("Cmd"),
            env=run.texts("Env"),
            user=run.text("User", ""),
            working_dir=run.text("WorkingDir", ""),
            architecture=architecture,
        ),
        platform if architecture else None,
        diff_ids,
    )


def is_record(value: object) -> bool:
    """Say whether these are the fields of an `ImageConfig` as JSON has them."""
    if not isinstance(value, dict) or not value.keys() <= {*ImageConfig.FIELDS}:
        return False
    return all(
        isinstance(each, list) and all(isinstance(part, str) for part in each)
        if isinstance(ImageConfig.DEFAULTS[name], tuple)
        else isinstance(each, str)
        for name, each in value.items()
    )


def from_record(fields: Mapping[str, Any]) -> ImageConfig:
    """The configuration that was kept of the fields of an `ImageConfig`, lists being tuples again."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return ImageConfig(**values)
