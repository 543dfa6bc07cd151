"""The images of bundles/, built as scripts/build-bundle builds them."""

import os
import subprocess
from collections.abc import Callable

import pytest

from accounts import open_to_all

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD_BUNDLE = os.path.join(PROJECT, "scripts", "build-bundle")
BUILD_COMPONENT = os.path.join(PROJECT, "scripts", "build-component")
TOI_DEMO = "//example.com/demo/greeter:1.0.0"


SampleImage = Callable[[str], str]


def build_sample(name: str, directory: str) -> str:
    """Build a folder of bundles/; returns the OCI image layout, which every user may read."""
    layout = os.path.join(directory, name)
    subprocess.run([BUILD_BUNDLE, name, layout], check=True)
    open_to_all(layout)
    return layout


@pytest.fixture(scope="session")
def sample_image(public_directory: str) -> SampleImage:
    """Return the OCI image layout of a folder of bundles/, which is built once."""
    built: dict[str, str] = {}

    def build(name: str) -> str:
        if name not in built:
            built[name] = build_sample(name, public_directory)
        return built[name]

    return build


@pytest.fixture(scope="session")
def demo_image(sample_image: SampleImage) -> str:
    """The layout of the backend that needs no server."""
    return sample_image("demo-backend")


@pytest.fixture(scope="session")
def redis_image(sample_image: SampleImage) -> str:
    """The layout of the Redis backend."""
    return sample_image("redis-backend")


@pytest.fixture(scope="session")
def demo_pattern(sample_image: SampleImage) -> str:
    """The layout of the pattern that needs no server."""
    return sample_image("demo-pattern")


@pytest.fixture(scope="session")
def redis_pattern(sample_image: SampleImage) -> str:
    """The layout of the Redis pattern."""
    return sample_image("redis-pattern")


@pytest.fixture(scope="session")
def postgres_image(sample_image: SampleImage) -> str:
    """The layout of the PostgreSQL backend."""
    return sample_image("postgres-backend")


@pytest.fixture(scope="session")
def postgres_pattern(sample_image: SampleImage) -> str:
    """The layout of the PostgreSQL pattern."""
    return sample_image("postgres-pattern")


@pytest.fixture(scope="session")
def toi_demo(public_directory: str) -> str:
    """The component version TOI_DEMO around the sample executor, in a transport archive; every user may read it."""
    archive = os.path.join(public_directory, "toi-demo.ctf")
    subprocess.run([BUILD_COMPONENT, "toi-demo", archive], check=True, stdout=subprocess.DEVNULL)
    open_to_all(archive)
    return f"{archive}{TOI_DEMO}"
