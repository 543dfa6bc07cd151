"""Build TOI packages for tests: component versions with a package, executors and their images."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from components import Local, image, with_image
from layouts import Files, build_layout
from tweed_shim.base.records import replace
from tweed_shim.ocm import descriptor_codec
from tweed_shim.ocm.component_descriptor import Resource
from tweed_shim.ocm.repository import Addition

PACKAGE_TYPE = "application/vnd.toi.ocm.software.package.v1+yaml"
EXECUTOR_TYPE = "application/vnd.toi.ocm.software.executor.v1+yaml"


def package(content: Any, *, name: str = "package", media_type: str = PACKAGE_TYPE) -> Local:
    """Return the resource of a package. content: plain data, or a text that is used as it is."""
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    return Local(name, text.encode(), media_type, "toiPackage")


def executor(content: Any, *, name: str = "executor") -> Local:
    """Return the resource of an executor specification."""
    return package(content, name=name, media_type=EXECUTOR_TYPE)._replace(type="toiExecutor")


def library(name: str, content: str) -> Local:
    return Local(name, content.encode(), "application/x-yaml", "yaml")


def executor_layout(directory: str, script: str, *, user: str = "", files: Files | None = None) -> str:
    """Write an OCI layout with an executor image whose program is a shell script, and return its path."""
    build_layout(
        directory,
        files={**(files or {}), "toi/run": f"#!/bin/sh\n{script}\n"},
        entrypoint=["/toi/run", "--standard"],
        user=user,
        compression="none",
    )
    return directory


def with_executor(addition: Addition, layout: str, *, name: str = "image") -> Addition:
    """Return a component version to which an executor image is added, as a local blob."""
    return with_image(addition, *image(name, layout))


def with_identity(addition: Addition, resource: str, identity: Mapping[str, str]) -> Addition:
    """Return a component version in which one resource has an extra identity."""
    return _changed(addition, resource, lambda each: replace(each, extra_identity=identity))


def with_global_access(addition: Addition, resource: str, access: Mapping[str, Any]) -> Addition:
    """Return a component version in which one local blob has a global access too."""
    return _changed(
        addition, resource, lambda each: replace(each, access={**each.access, "globalAccess": access})
    )


def _changed(addition: Addition, resource: str, change: Callable[[Resource], Resource]) -> Addition:
    resources: Sequence[Resource] = addition.descriptor.resources
    changed = tuple(change(each) if each.name == resource else each for each in resources)
    descriptor = replace(addition.descriptor, resources=changed)
    return Addition(descriptor, descriptor_codec.encode(descriptor), addition.blobs)


def make_component_archive(directory: str | os.PathLike[str], addition: Addition) -> str:
    """Write a component archive with one component version, and return its path."""
    blobs = os.path.join(directory, "blobs")
    os.makedirs(blobs)
    with open(os.path.join(directory, "component-descriptor.yaml"), "wb") as file:
        file.write(addition.text)
    for blob in addition.blobs:
        with open(os.path.join(blobs, blob.digest.replace(":", ".")), "wb") as file:
            file.writelines(blob.pieces())
    return os.fspath(directory)
