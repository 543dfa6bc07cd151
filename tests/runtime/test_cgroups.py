"""What a caller has of control groups, over trees made up like the kernel's; and what becomes of a run's limits."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from leftovers import work_directory
from tweed_shim.errors import HostError
from tweed_shim.idmap import IdMap, IdRange
from tweed_shim.runtime import cgroups, launch, leaving, spec
from tweed_shim.runtime.cgroups import Cgroups
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.request import DEFAULT_PIDS, Limits, Request

SOMEBODY = 65534
SLICE = "/user.slice/user-7.slice/user@7.service/app.slice"
SCOPE = f"{SLICE}/run-1.scope"
ALL = "cpu memory pids"


class Tree(NamedTuple):
    """A hierarchy of version 2 in a directory, and the file that tells the caller's place in it."""

    top: str
    own: str

    def group(
        self, path: str, *, mine: bool, pids: str = "", controllers: str = ALL, kind: str = "domain"
    ) -> None:
        directory = self.top + path
        os.makedirs(directory, exist_ok=True)
        texts = {
            "cgroup.procs": pids,
            "cgroup.controllers": controllers,
            "cgroup.subtree_control": "",
            "cgroup.type": kind,
        }
        for name, text in texts.items():
            with open(os.path.join(directory, name), "w", encoding="ascii") as file:
                file.write(text.replace(" ", "\n") if name == "cgroup.procs" else text)
        if mine:
            for name in ("", "cgroup.procs", "cgroup.subtree_control"):
                os.chown(os.path.join(directory, name), SOMEBODY, -1)

    def enter(self, path: str) -> None:
        with open(self.own, "w", encoding="ascii") as file:
            file.write(f"1:name=systemd:/elsewhere\n0::{path}\n")

    def seen(self) -> Cgroups:
        with _somebody():
            return cgroups.inspect(root=False, top=self.top, own=self.own)


@contextmanager
def _somebody() -> Iterator[None]:
    """Be another user than root."""
    os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def tree() -> Iterator[Tree]:
    """A user's systemd, and a scope of it that holds this process alone."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of somebody else")
    with work_directory(mode=0o755) as directory:
        made = Tree(os.path.join(directory, "top"), os.path.join(directory, "own"))
        made.group("", mine=False, controllers=f"cpuset io {ALL}")
        os.unlink(os.path.join(made.top, "cgroup.type"))
        made.group(SLICE, mine=True)
        made.group(SCOPE, mine=True, pids=str(os.getpid()))
        made.enter(SCOPE)
        yield made


def test_root_has_the_whole_tree(tree: Tree) -> None:
    found = cgroups.inspect(root=True, top=tree.top, own=tree.own)
    assert (found.version, found.parent, found.for_all) == (2, "/", True)
    assert found.controllers >= {*ALL.split()}
    assert found.path("x") == "/tweed-shim-x"


def test_a_group_that_is_ours_alone_is_delegated(tree: Tree) -> None:
    found = tree.seen()
    assert (found.version, found.parent, found.for_all) == (2, SCOPE, False)
    assert found.controllers == {*ALL.split()}
    assert found.path("x") == f"{SCOPE}/tweed-shim-x"


def test_a_group_within_one_that_is_ours_is_left_where_it_is(tree: Tree) -> None:
    tree.group(SCOPE, mine=True)
    tree.group(f"{SCOPE}/inner", mine=False, pids=f"1 {os.getpid()}")
    tree.enter(f"{SCOPE}/inner")
    assert tree.seen().parent == SCOPE


def test_a_slice_is_systemds(tree: Tree) -> None:
    tree.group(SCOPE, mine=True, pids=f"1 {os.getpid()}")
    found = tree.seen()
    assert found.version == 0
    assert f"{SCOPE} has 1 other process in it" in found.fault


def test_children_of_ours_are_no_others(tree: Tree) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        os._exit(0)
    try:
        tree.group(SCOPE, mine=True, pids=f"{os.getpid()} {child}")
        assert tree.seen().parent == SCOPE
    finally:
        os.write(write, b".")
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


def test_the_top_of_a_container_is_ours_with_all_that_is_in_it(tree: Tree) -> None:
    tree.group("", mine=True, pids=f"1 {os.getpid()}")
    tree.enter("/")
    assert (tree.seen().version, tree.seen().parent) == (2, "/")
    found = cgroups.inspect(root=True, top=tree.top, own=tree.own)
    assert (found.version, found.parent, found.for_all) == (2, "/", True)


@pytest.mark.parametrize(
    ("mine", "kind", "own"),
    [
        (False, "domain", SCOPE),
        (True, "threaded", SCOPE),
        (True, "domain invalid", SCOPE),
        (True, "domain", "/../outside"),
        (True, "domain", "/gone"),
    ],
)
def test_a_group_that_cannot_be_used_is_none(tree: Tree, mine: bool, kind: str, own: str) -> None:
    for name in ("", "cgroup.procs", "cgroup.subtree_control"):
        os.chown(os.path.join(tree.top + SCOPE, name), 0, -1)
    tree.group(SCOPE, mine=mine, pids=str(os.getpid()), kind=kind)
    tree.enter(own)
    found = tree.seen()
    assert (found.version, found.controllers) == (0, frozenset())
    assert "does not belong to this user" in found.fault
    assert found.mend


def test_version_1_is_for_root_alone(tmp_path: Any) -> None:
    top, own = str(tmp_path), os.devnull
    assert cgroups.inspect(root=True, top=top, own=own).version == 0
    for name in ("cpu,cpuacct", "memory", "unified"):
        os.mkdir(os.path.join(top, name))
    found = cgroups.inspect(root=True, top=top, own=own)
    assert (found.version, found.for_all) == (1, True)
    assert found.controllers >= {"cpu", "memory"}
    assert "pids" not in found.controllers
    assert cgroups.inspect(root=False, top=top, own=own).version == 0


def test_room_is_made_by_stepping_aside_and_handing_the_controllers_on(tree: Tree) -> None:
    pid = os.getpid()
    found = tree.seen()
    tree.group(f"{SCOPE}/tweed-shim", mine=True)  # as the kernel makes the files of a new group
    cgroups.make_room(found, top=tree.top, own=tree.own)
    with open(f"{tree.top}{SCOPE}/tweed-shim/cgroup.procs", encoding="ascii") as file:
        assert file.read().startswith(str(pid))
    with open(f"{tree.top}{SCOPE}/cgroup.subtree_control", encoding="ascii") as file:
        assert file.read()[0] == "+"
    tree.group(SCOPE, mine=True)
    tree.enter(f"{SCOPE}/tweed-shim")
    assert tree.seen() == found
    cgroups.make_room(found, top=tree.top, own=tree.own)
    with open(f"{tree.top}{SCOPE}/cgroup.subtree_control", encoding="ascii") as file:
        assert file.read()[0] == "+"


def test_room_that_cannot_be_made_is_one_sentence(tree: Tree) -> None:
    found = tree.seen()
    os.unlink(f"{tree.top}{SCOPE}/cgroup.subtree_control")
    with pytest.raises(HostError, match=f"{SCOPE} cannot be shared out"):
        cgroups.make_room(found, top=tree.top, own=tree.own)


def test_expecting_moves_writes_to_one_hierarchy_that_is_there(tree: Tree, tmp_path: Any) -> None:
    os.mkdir(tmp_path / "7")
    (tmp_path / "7" / "cgroup").write_text(f"3:cpu,cpuacct:/gone\n2:name=systemd:/../up\n0::{SCOPE}\n")
    cgroups.expect_moves(7, top=tree.top, proc=str(tmp_path))
    with open(f"{tree.top}{SCOPE}/cgroup.procs", encoding="ascii") as file:
        assert file.read().startswith("7")
    cgroups.expect_moves(8, top=tree.top, proc=str(tmp_path))  # it has ended


def test_expecting_moves_leaves_a_process_where_it_is() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        path = f"/proc/{process.pid}/cgroup"
        before = Path(path).read_text()
        cgroups.expect_moves(process.pid)
        assert Path(path).read_text() == before
        assert process.stdin
        process.stdin.close()
        assert process.wait() == 0


# What becomes of the limits


RANGE = IdMap(
    "range", (IdRange(0, 7, 1), IdRange(1, 100000, 65536)), (IdRange(0, 7, 1), IdRange(1, 100000, 65536))
)


def generated(found: Cgroups, limits: Limits, ids: IdMap = RANGE) -> dict[str, Any]:
    host = Host(ids, found, 1024, frozenset(), "x86_64")
    request = Request("/image", ("/program",), (), 0, 0, (), "/", "/home", network="none", limits=limits)
    return spec.generate(request, host, scratch="/scratch", name="x")


def rlimits(config: dict[str, Any]) -> dict[str, int]:
    return {each["type"]: each["hard"] for each in config["process"]["rlimits"]}


def test_limits_are_below_the_delegated_group() -> None:
    config = generated(Cgroups(2, frozenset(ALL.split()), SCOPE), Limits(memory=64 << 20, cpus=0.5, pids=30))
    assert config["linux"]["cgroupsPath"] == f"{SCOPE}/tweed-shim-x"
    resources = config["linux"]["resources"]
    assert resources["memory"] == {"limit": 64 << 20, "swap": 64 << 20}
    assert resources["cpu"] == {"period": 100_000, "quota": 50_000}
    assert resources["pids"] == {"limit": 30}
    assert "RLIMIT_NPROC" not in rlimits(config)


@pytest.mark.parametrize(
    "found", [Cgroups(0), Cgroups(2, frozenset(ALL.split()), SCOPE), Cgroups(2, frozenset(), SCOPE)]
)
def test_nobody_steps_aside_for_the_default(found: Cgroups) -> None:
    config = generated(found, Limits())
    assert "cgroupsPath" not in config["linux"]
    assert "pids" not in config["linux"]["resources"]
    assert rlimits(config)["RLIMIT_NPROC"] == DEFAULT_PIDS


def test_without_the_controller_of_processes_the_kernel_counts_them_for_each_user() -> None:
    config = generated(Cgroups(2, frozenset({"memory"}), SCOPE), Limits(memory=64 << 20))
    assert "pids" not in config["linux"]["resources"]
    assert rlimits(config)["RLIMIT_NPROC"] == DEFAULT_PIDS


def test_root_has_a_group_for_every_run_and_the_default_where_it_can() -> None:
    for controllers, wanted in ((ALL, {"limit": DEFAULT_PIDS}), ("memory", None)):
        config = generated(Cgroups(2, frozenset(controllers.split()), for_all=True), Limits(), IdMap("host"))
        assert config["linux"]["cgroupsPath"] == "/tweed-shim-x"
        assert config["linux"]["resources"].get("pids") == wanted


@pytest.mark.parametrize(
    ("limits", "option"),
    [(Limits(memory=64 << 20), "memory"), (Limits(cpus=1), "cpus"), (Limits(pids=10), "pids")],
)
def test_a_limit_that_cannot_be_enforced_is_refused_with_reason_and_remedy(
    limits: Limits, option: str
) -> None:
    with pytest.raises(HostError) as refusal:
        generated(Cgroups(0, fault="the reason", mend="the remedy"), limits)
    assert str(refusal.value) == f"{option} cannot be enforced: the reason; leave it out, or the remedy"


def test_less_of_a_core_than_the_kernel_can_give_is_refused() -> None:
    found = Cgroups(2, frozenset(ALL.split()), SCOPE)
    with pytest.raises(HostError, match=r"cpus=.0\.001. cannot be enforced: .* below 0\.01"):
        generated(found, Limits(cpus=0.001))
    assert generated(found, Limits(cpus=0.01))["linux"]["resources"]["cpu"]["quota"] == 1000


def test_a_root_that_cannot_be_written_needs_the_control_group_of_devices() -> None:
    for found, refused in ((Cgroups(0), True), (Cgroups(2, frozenset(ALL.split()), for_all=True), False)):
        host = Host(IdMap("host"), found, 1024, frozenset(), "x86_64")
        request = Request("/image", ("/program",), (), 0, 0, (), "/", "/home", network="none", read_only=True)
        if refused:
            with pytest.raises(HostError, match="read_only is not safe here"):
                spec.generate(request, host, scratch="/scratch", name="x")
        else:
            assert spec.generate(request, host, scratch="/scratch", name="x")["root"]["readonly"]


# A host whose groups systemd manages


def beside_systemd(tree: Tree) -> Cgroups:
    return cgroups.inspect(root=True, top=tree.top, own=tree.own, systemd="/proc")


def test_roots_groups_keep_their_controllers_from_systemd(tree: Tree) -> None:
    found = beside_systemd(tree)
    assert (found.version, found.parent, found.for_all) == (2, "/", True)
    assert found.controllers >= {*ALL.split()}
    config = generated(found, Limits(memory=64 << 20, cpus=1), IdMap("host"))
    # A group that hands its controllers on is one from which the kernel lets nobody above take them.
    assert config["linux"]["cgroupsPath"] == "/tweed-shim-x/container"
    assert found.path("x") == "/tweed-shim-x"
    assert config["linux"]["resources"]["cpu"]["quota"] == 100_000


def test_a_group_is_removed_with_those_in_it(tree: Tree) -> None:
    group = os.path.join(tree.top, "tweed-shim-x")
    os.makedirs(os.path.join(group, "container", "inner"))
    os.mkdir(os.path.join(group, "other"))
    leaving.remove_cgroup(group)
    assert not os.path.exists(group)
    leaving.remove_cgroup(group)  # somebody else was quicker


@pytest.mark.parametrize("attribute", ["trusted.delegate", "user.delegate"])
def test_root_has_all_of_a_group_that_systemd_delegated(tree: Tree, attribute: str) -> None:
    os.setxattr(tree.top + SCOPE, attribute, b"1")
    found = beside_systemd(tree)
    assert (found.version, found.parent, found.for_all) == (2, SCOPE, True)
    assert found.controllers == {*ALL.split()}
    # After the shim has stepped aside it is in a group below the delegated one.
    tree.group(SCOPE, mine=True)
    tree.group(f"{SCOPE}/tweed-shim", mine=True, pids=str(os.getpid()))
    tree.enter(f"{SCOPE}/tweed-shim")
    assert beside_systemd(tree) == found


def test_a_delegated_group_with_others_in_it_is_not_taken(tree: Tree) -> None:
    tree.group(SCOPE, mine=True, pids=f"1 {os.getpid()}")
    os.setxattr(tree.top + SCOPE, "trusted.delegate", b"1")
    assert beside_systemd(tree).parent == "/"


def test_swap_that_the_kernel_cannot_limit_is_left_out(tree: Tree, tmp_path: Path) -> None:
    def memory(found: Cgroups) -> Any:
        return generated(found, Limits(memory=64 << 20), IdMap("host"))["linux"]["resources"]["memory"]

    Path(f"{tree.top}/user.slice/memory.max").touch()
    assert memory(cgroups.inspect(root=True, top=tree.top, own=tree.own)) == {"limit": 64 << 20}
    Path(f"{tree.top}/user.slice/memory.swap.max").touch()
    both = {"limit": 64 << 20, "swap": 64 << 20}
    assert memory(cgroups.inspect(root=True, top=tree.top, own=tree.own)) == both
    (tmp_path / "memory").mkdir()
    assert memory(cgroups.inspect(root=True, top=str(tmp_path), own=os.devnull)) == {"limit": 64 << 20}
    (tmp_path / "memory/memory.memsw.limit_in_bytes").touch()
    assert memory(cgroups.inspect(root=True, top=str(tmp_path), own=os.devnull)) == both


def test_a_host_without_swap_space_needs_no_limit_of_it(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    assert not cgroups.is_swapping(str(swaps))
    swaps.write_text("Filename Type Size Used Priority\n")
    assert not cgroups.is_swapping(str(swaps))
    swaps.write_text("Filename Type Size Used Priority\n/dev/sda2 partition 9 0 -2\n")
    assert cgroups.is_swapping(str(swaps))


def test_only_a_limit_that_was_asked_for_is_called_the_runs_own() -> None:
    assert "memory=" in launch._ended_for_memory(limited=True)
    assert "limit" not in launch._ended_for_memory(limited=False)
