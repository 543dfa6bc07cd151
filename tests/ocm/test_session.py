"""Sessions: look-up along references, in further repositories, and without a version."""

from pathlib import Path

import pytest

from components import Local, component, make_archive
from tweed_shim.errors import ComponentError
from tweed_shim.ocm.ocmconfig import OcmConfiguration
from tweed_shim.ocm.session import Session

LIB = component("example.com/lib", "2.0.0", [Local("image", b"lib")])
MIDDLE = component("example.com/middle", "1.1.0", references=["example.com/lib:2.0.0"])
APP = component("example.com/app", "1.0.0", references=["example.com/middle:1.1.0", "example.com/lib:2.0.0"])


def test_a_chain_of_references_is_followed_to_a_resource(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", LIB, MIDDLE, APP)
    with Session() as session:
        start = session.component_version(f"{path}//example.com/app")
        owner, found = session.resource(start, {"name": "image"}, [{"name": "middle"}, {"name": "lib"}])
        assert str(owner) == "example.com/lib:2.0.0"
        assert found.name == "image"


def test_references_are_looked_up_in_further_repositories(tmp_path: Path) -> None:
    app = make_archive(tmp_path / "a", APP)
    lookups = [make_archive(tmp_path / "b", MIDDLE), make_archive(tmp_path / "c", LIB, file_format="tgz")]
    with Session(lookups=lookups) as session:
        start = session.component_version(f"{app}//example.com/app")
        assert [str(each) for each in session.closure([start])] == [
            "example.com/lib:2.0.0",
            "example.com/middle:1.1.0",
            "example.com/app:1.0.0",
        ]


def test_configured_resolvers_are_searched_by_prefix(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", LIB)

    def configured(prefix: str) -> OcmConfiguration:
        resolver = {"repository": {"type": "CommonTransportFormat", "filePath": path}, "prefix": prefix}
        return OcmConfiguration(({"type": "ocm.config.ocm.software", "resolvers": [resolver]},))

    with Session(configuration=configured("example.com")) as session:
        assert str(session.component_version("example.com/lib")) == "example.com/lib:2.0.0"
    with (
        Session(configuration=configured("other.example")) as session,
        pytest.raises(ComponentError, match=r"no repository was given for example\.com/lib"),
    ):
        session.component_version("example.com/lib")


def test_a_repository_is_named_by_its_configured_alias(tmp_path: Path) -> None:
    app, lib = make_archive(tmp_path / "a", MIDDLE, APP), make_archive(tmp_path / "b", LIB)
    kind = "CommonTransportFormat/v1"
    aliases = {"mine": {"type": kind, "filePath": app}, "libs": {"type": kind, "filePath": lib}}
    known = OcmConfiguration(({"type": "ocm.config.ocm.software/v1", "aliases": aliases},))
    with Session(configuration=known, lookups=["libs"]) as session:
        start = session.component_version("mine//example.com/app")
        assert str(start) == "example.com/app:1.0.0"
        assert str(session.component_version("example.com/app:1.0.0", repository="mine")) == str(start)
        assert str(session.follow(start, [{"name": "lib"}])) == "example.com/lib:2.0.0"


def test_a_missing_component_version_is_named_with_its_chain_of_references(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", MIDDLE, APP)
    with Session() as session:
        start = session.component_version(f"{path}//example.com/app")
        for attempt in (
            lambda: list(session.closure([start])),
            lambda: session.follow(start, [{"name": "middle"}, {"name": "lib"}]),
        ):
            with pytest.raises(ComponentError) as raised:
                attempt()
            assert "example.com/lib:2.0.0" in str(raised.value)
            assert "example.com/app:1.0.0 -> example.com/middle:1.1.0" in str(raised.value)


def test_the_error_of_a_reference_cycle_shows_the_whole_cycle(tmp_path: Path) -> None:
    one = component("example.com/one", "1.0.0", references=["example.com/two:1.0.0"])
    two = component("example.com/two", "1.0.0", references=["example.com/one:1.0.0"])
    path = make_archive(tmp_path / "a", one, two)
    with Session() as session:
        start = session.component_version(f"{path}//example.com/one")
        with pytest.raises(ComponentError) as raised:
            list(session.closure([start]))
    assert "example.com/one:1.0.0 -> example.com/two:1.0.0 -> example.com/one:1.0.0" in str(raised.value)


def test_the_error_of_an_unknown_reference_or_resource_lists_the_existing_ones(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", LIB, MIDDLE, APP)
    with Session() as session:
        start = session.component_version(f"{path}//example.com/app")
        with pytest.raises(
            ComponentError, match="no reference name=other; use one of these: name=middle, name=lib"
        ):
            session.follow(start, [{"name": "other"}])
        with pytest.raises(ComponentError, match="no resource name=other; use one of these: name=image"):
            session.resource(start, {"name": "other"}, [{"name": "lib"}])


def test_without_a_version_the_newest_is_used(tmp_path: Path) -> None:
    versions = ("1.9.0", "1.10.0", "1.10.0-rc.1", "0.2.3")
    path = make_archive(tmp_path / "a", *(component("example.com/app", each) for each in versions))
    with Session() as session:
        assert str(session.component_version(f"{path}//example.com/app")) == "example.com/app:1.10.0"
        constrained = session.component_version(f"{path}//example.com/app", constraint="<1.10")
        assert str(constrained) == "example.com/app:1.9.0"
        relative = session.component_version("example.com/app", path)
        assert str(relative) == "example.com/app:1.10.0"
        with pytest.raises(ComponentError, match=r"no version of example\.com/app meets '>2'"):
            session.component_version(f"{path}//example.com/app", constraint=">2")
        with pytest.raises(ComponentError, match=r"the component example\.com/other does not exist"):
            session.component_version(f"{path}//example.com/other")
