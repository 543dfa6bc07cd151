"""Parts of config.json: core dumps, the OOM score, no programs in /dev, masked thermal counters."""

import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from installed import Shim
from run_requests import program_request
from script_images import METADATA, ScriptImage
from tweed_shim.host.userns import IdMap
from tweed_shim.runtime import host, spec
from tweed_shim.runtime.cgroups import Cgroups
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.request import Mount

SHOW = f"""
{{ grep 'core file' /proc/self/limits
  echo "score $(cat /proc/self/oom_score_adj)"
  echo -17 2> /dev/null > /proc/self/oom_score_adj && echo "score lowered"
  cp /bin/true /dev/program && /dev/program && echo "program in /dev"; }} >&2
{METADATA}
"""
HARD_CORE = resource.getrlimit(resource.RLIMIT_CORE)[1]


def called_by(shim: Shim, image: str, *caller: str) -> str:
    """Return what an image writes to stderr when the shim is started by another program, as choom(1) or prlimit(1)."""
    done = subprocess.run(
        [*caller, *shim.command("exec", image, "metadata")],
        env=shim.environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        user=shim.account.uid,
        group=shim.account.gid,
        extra_groups=[],
        check=False,
    )
    assert done.returncode == 0, done
    return done.stderr.decode()


@pytest.mark.parametrize(
    ("limit", "inside"), [("0", 0), ("unlimited", 1)] if HARD_CORE == resource.RLIM_INFINITY else [("0", 0)]
)
def test_a_crash_starts_no_handler_on_the_host(
    confined_shim: Shim, script_image: ScriptImage, limit: str, inside: int
) -> None:
    said = called_by(confined_shim, script_image(SHOW), "prlimit", f"--core={limit}:{limit}")
    [line] = [line.split() for line in said.splitlines() if "core file" in line]
    assert line[4:6] == [str(inside), str(inside)]


@pytest.mark.parametrize("score", ["0", "500"])
def test_an_oom_score_that_is_not_negative_is_inherited_and_cannot_be_lowered(
    confined_shim: Shim, script_image: ScriptImage, score: str
) -> None:
    said = called_by(confined_shim, script_image(SHOW), "choom", "--adjust", score, "--")
    assert f"score {score}\n" in said
    assert "score lowered" not in said


def test_no_program_in_dev_is_started(confined_shim: Shim, script_image: ScriptImage) -> None:
    said = called_by(confined_shim, script_image(SHOW), "env")
    assert "/dev/program: Permission denied" in said
    assert "program in /dev" not in said


def generated(**of_host: Any) -> dict[str, Any]:
    found = Host(IdMap("host"), Cgroups(0), 1024, frozenset(), "x86_64", **of_host)
    request = program_request("/image", ("/program",), found, network="none")
    return spec.generate(request, found, bundle="/bundle", name="x")


@pytest.mark.parametrize(("caller", "inside"), [(-1000, 0), (-1, 0), (0, None), (500, None)])
def test_a_negative_oom_score_of_the_caller_is_not_inherited(caller: int, inside: int | None) -> None:
    assert generated(oom_score_adj=caller)["process"].get("oomScoreAdj") == inside


def test_the_thermal_counters_of_every_processor_are_masked(tmp_path: Path) -> None:
    assert host._thermal_throttles(str(tmp_path)) == ()
    (tmp_path / "cpu0" / "thermal_throttle").mkdir(parents=True)
    (tmp_path / "possible").write_text("0-2,5,8-9\n")
    found = host._thermal_throttles(str(tmp_path))
    assert found == tuple(f"{tmp_path}/cpu{number}/thermal_throttle" for number in (0, 1, 2, 5, 8, 9))
    assert set(found) <= set(generated(thermal_throttles=found)["linux"]["maskedPaths"])


def test_what_is_for_the_containers_user_is_bound_from_the_bundle() -> None:
    here = Host(IdMap("host"), Cgroups(0), 1024, frozenset(), "x86_64")
    mounts = (
        Mount("/source", "/plain"),
        Mount("/source", "/readable", for_user=True),
        Mount("/source", "/writable", writable=True, for_user=True),
    )
    request = program_request("/rootfs", ("/bin/true",), here, mounts=mounts)
    config = spec.generate(request, here, bundle="/bundle", name="name")
    sources = {each["destination"]: each["source"] for each in config["mounts"]}
    found = [sources[mount.destination] for mount in mounts]
    assert found == ["/source", "/bundle/readable-1", "/source"]
