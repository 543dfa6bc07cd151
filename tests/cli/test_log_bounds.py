"""The logs take a bounded part of the disk: the oldest are removed, by themselves, with `gc`, or by name."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from accounts import AS_ONE_USER, Account
from installed import Result, Shim, fresh_shim
from script_images import METADATA, ScriptImage
from tweed_shim import Shim as Api
from tweed_shim.errors import StateError

# metadata says as many KiB as the image's environment tells, its last word being its own; then it waits if told to.
NOISY = """
head -c ${KIB}k /dev/zero | tr '\\0' x >&2
echo "last words" >&2
[ -z "$WAIT" ] || { echo waiting >&2; exec sleep 1000; }
exit 3
"""
REMOVED = b"[the log was removed to make room]\n"


def noisy(script_image: ScriptImage, kib: int, *, wait: bool = False) -> str:
    return script_image(NOISY, env=[f"KIB={kib}", f"WAIT={'yes' if wait else ''}"])


def run(shim: Shim, image: str, limit: str) -> None:
    result = shim.run("exec", image, "metadata", env={"TWEED_SHIM_LOG_LIMIT": limit})
    assert result.code == 3, result


def done(result: Result) -> bytes:
    assert result.code == 0, result
    return result.out


def refusal(result: Result, code: int = 125) -> str:
    assert (result.code, result.out) == (code, b""), result
    return result.err.decode().splitlines()[-1]


def log(shim: Shim, number: int) -> bytes:
    return done(shim.run("logs", str(number)))


def used(shim: Shim) -> int:
    """What all logs take on disk, bytes."""
    logs = [
        os.path.join(path, name)
        for path, _, names in os.walk(os.path.join(shim.root, "runs"))
        for name in names
        if name.startswith("log")
    ]
    return sum(os.lstat(each).st_blocks * 512 for each in logs)


def numbers(shim: Shim) -> list[int]:
    return sorted(each["run"] for each in json.loads(done(shim.run("logs", "--json"))))


def test_the_oldest_logs_make_room_for_the_newest(shim: Shim, script_image: ScriptImage) -> None:
    image = noisy(script_image, 300)
    for _ in range(9):
        run(shim, image, "2m")
        assert used(shim) <= 2 << 20
    assert log(shim, 1) == REMOVED
    for number in (8, 9):
        assert len(log(shim, number)) == 300 * 1024 + len("last words\n")
    # Each has a record still.
    assert numbers(shim) == list(range(1, 10))


@AS_ONE_USER
def test_one_log_has_its_share_at_most_and_keeps_its_end(shim: Shim, script_image: ScriptImage) -> None:
    run(shim, noisy(script_image, 3000), "2m")
    output = log(shim, 1)
    assert 400 * 1024 < len(output) < 600 * 1024
    assert b"bytes are missing here" in output
    assert output.endswith(b"last words\n")


@AS_ONE_USER
def test_small_logs_stay_while_they_fit(shim: Shim, script_image: ScriptImage) -> None:
    image = noisy(script_image, 1)
    for _ in range(12):
        run(shim, image, "256k")
    assert all(log(shim, number).endswith(b"last words\n") for number in range(1, 13))


@AS_ONE_USER
def test_logs_of_running_runs_are_bounded_together(shim: Shim, script_image: ScriptImage) -> None:
    script = f'[ "$1" != metadata ] || {{ {METADATA}; exit; }}\n{NOISY}'
    image = script_image(script, env=["KIB=2000", "WAIT=yes"])
    # Run 1: all others would wait for it.
    done(shim.run("exec", image, "metadata"))
    env = {"TWEED_SHIM_LOG_LIMIT": "1m"}
    config = os.path.join(os.path.dirname(shim.root), "config.json")
    with open(config, "w", encoding="ascii") as file:
        file.write("{}")
    os.chmod(config, 0o644)
    running = [
        shim.start("exec", image, "configure", "--cloud", f"c{number}", "--config", config, env=env)
        for number in range(6)
    ]
    try:
        with ThreadPoolExecutor() as readers:
            for _ in readers.map(partial(read_until_waiting, on="stdout"), running):
                pass
        assert used(shim) <= (1 << 20) + len(running) * (64 << 10)
        assert numbers(shim) == list(range(1, 8))
    finally:
        for process in running:
            process.terminate()
            process.communicate()
    assert used(shim) <= (1 << 20) + len(running) * (64 << 10)
    assert all(log(shim, number).endswith(b"last words\nwaiting\n") for number in range(2, 8))


def read_until_waiting(process: "subprocess.Popen[bytes]", *, on: str = "stderr") -> None:
    stream = getattr(process, on)
    while stream.readline() != b"waiting\n":
        assert process.poll() is None


@AS_ONE_USER
def test_the_log_of_a_run_whose_shim_was_killed_counts_and_goes_too(
    shim: Shim, script_image: ScriptImage
) -> None:
    with shim.start("exec", noisy(script_image, 300, wait=True), "metadata") as process:
        read_until_waiting(process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert used(shim) >= 300 * 1024
    image = noisy(script_image, 300)
    for _ in range(4):
        run(shim, image, "1m")
        assert used(shim) <= 1 << 20
    assert log(shim, 1) == REMOVED


def test_logs_are_removed_by_name(shim: Shim, script_image: ScriptImage) -> None:
    image = noisy(script_image, 10)
    for _ in range(3):
        run(shim, image, "1g")
    with shim.start("exec", noisy(script_image, 10, wait=True), "metadata") as process:
        read_until_waiting(process)
        assert "there is no run '9'" in refusal(shim.run("logs", "rm", "1", "9"))
        assert "run 4 goes on" in refusal(shim.run("logs", "rm", "1", "4"))
        assert numbers(shim) == [1, 2, 3, 4]
        done(shim.run("logs", "rm", "1", "3"))
        assert numbers(shim) == [2, 4]
        assert "there is no run '1'" in refusal(shim.run("logs", "1"))
        done(shim.run("logs", "rm", "--all"))
        assert numbers(shim) == [4]
        process.terminate()
        process.communicate()
    run(shim, image, "1g")
    assert numbers(shim) == [4, 5]
    done(shim.run("logs", "rm", "--all"))
    assert numbers(shim) == []
    assert used(shim) == 0
    for wrong in (("rm",), ("rm", "--all", "1"), ("1", "2"), ("--all",), ("1", "--all")):
        assert "logs rm" in refusal(shim.run("logs", *wrong), 2)


def test_gc_frees_logs_of_runs_that_have_ended(shim: Shim, script_image: ScriptImage) -> None:
    image = noisy(script_image, 100)
    for _ in range(3):
        run(shim, image, "1g")
    with shim.start("exec", noisy(script_image, 100, wait=True), "metadata") as process:
        read_until_waiting(process)
        before = used(shim)
        would = json.loads(done(shim.run("gc", "--json", "--dry-run", "--keep-logs", "150k")))
        assert [(each["kind"], each["name"]) for each in would] == [("log", f"runs/{n}/log") for n in (1, 2)]
        assert all(each["size"] >= 100 * 1024 for each in would)
        assert used(shim) == before
        assert json.loads(done(shim.run("gc", "--json", "--keep-logs", "150k"))) == would
        assert log(shim, 3).endswith(b"last words\n")
        assert json.loads(done(shim.run("gc", "--json"))) == []
        assert [each["name"] for each in json.loads(done(shim.run("gc", "--json", "--keep-logs", "0")))] == [
            "runs/3/log"
        ]
        assert log(shim, 4).endswith(b"waiting\n")
        process.terminate()
        process.communicate()
    assert [log(shim, number) for number in (1, 2, 3)] == [REMOVED] * 3
    assert [each["name"] for each in json.loads(done(shim.run("gc", "--json", "--keep-logs", "0")))] == [
        "runs/4/log"
    ]
    assert json.loads(done(shim.run("gc", "--json", "--keep-logs", "0"))) == []
    assert numbers(shim) == [1, 2, 3, 4]


@AS_ONE_USER
def test_gc_keeps_small_logs_and_frees_large_ones_unasked(shim: Shim, script_image: ScriptImage) -> None:
    run(shim, noisy(script_image, 20 << 10), "1g")
    run(shim, noisy(script_image, 1), "1g")
    assert [each["name"] for each in json.loads(done(shim.run("gc", "--json")))] == ["runs/1/log"]
    assert log(shim, 2).endswith(b"last words\n")
    assert shim.run("gc", "--keep-logs", "many").code == 2


@AS_ONE_USER
@pytest.mark.parametrize("limit", ["0", "many", "1t", "-1"])
def test_an_invalid_log_limit_is_refused(shim: Shim, limit: str) -> None:
    line = refusal(shim.run("images", env={"TWEED_SHIM_LOG_LIMIT": limit}))
    assert line.startswith(f"tweed-shim: $TWEED_SHIM_LOG_LIMIT: '{limit}' is no size")


def test_the_api_removes_logs_and_has_the_limit_too(
    accounts: dict[str, Account], program: str, script_image: ScriptImage
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        for _ in range(5):
            run(shim, noisy(script_image, 300), "1g")
        api = Api(shim.root, log_limit=1 << 20)
        assert api.settings.log_limit == 1 << 20
        with pytest.raises(StateError, match="there is no run '6'"):
            api.remove_logs(["5", "6"])
        api.remove_logs(["5"])
        assert numbers(shim) == [1, 2, 3, 4]
        assert [each.name for each in api.gc(keep_logs=1000 << 10)] == ["runs/1/log"]
        api.remove_logs()
        assert numbers(shim) == []


@pytest.fixture
def small_disk(account: Account, program: str) -> Iterator[Shim]:
    """A shim whose store is on a disk of 16 MiB."""
    with fresh_shim(account, program) as fresh:
        directory = os.path.join(os.path.dirname(fresh.root), "disk")
        os.mkdir(directory)
        options = f"size=16m,mode=0700,uid={account.uid},gid={account.gid}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)
        try:
            yield fresh._replace(root=os.path.join(directory, "store"))
        finally:
            subprocess.run(["umount", directory], check=True)
            os.rmdir(directory)


def test_an_image_that_fills_the_disk_with_its_log_stops_no_other_run(
    small_disk: Shim, script_image: ScriptImage
) -> None:
    shim = small_disk
    quiet = script_image(
        """case $1 in metadata) printf "backend: tweed/v1\\nname: n\\nversion: v\\n" ;;
        configure) head -c 500000 > "$OUT_CONFIG/config" < /dev/zero ;; setup) echo "A: b" ;; esac"""
    )
    flood = script_image("yes >&2")
    done(shim.run("exec", quiet, "configure", stdin=b"{}"))
    done(shim.run("pull", flood))
    for number in range(3):
        assert "no space is left" in refusal(shim.run("exec", flood, "metadata"))
        done(shim.run("exec", quiet, "configure", stdin=b"{}"))
        done(shim.run("exec", quiet, "setup", "--interaction", f"i{number}"))
    # While it goes on, too: it leaves room to others.
    with ThreadPoolExecutor() as others:
        flooding = others.submit(shim.run, "exec", flood, "metadata")
        while not flooding.done():
            done(shim.run("exec", quiet, "configure", stdin=b"{}"))
    assert "no space is left" in refusal(flooding.result())


def test_where_others_filled_the_disk_a_log_is_cut_and_its_run_goes_on(
    small_disk: Shim, script_image: ScriptImage
) -> None:
    shim, image = small_disk, noisy(script_image, 3000)
    done(shim.run("pull", image))
    filling = os.path.join(os.path.dirname(shim.root), "filling")
    with open(filling, "wb") as file:
        about = os.statvfs(filling)
        file.write(bytes(about.f_bavail * about.f_frsize - (700 << 10)))
    run(shim, image, "1g")
    output = log(shim, 1)
    assert b"bytes are missing here" in output
    assert output.endswith(b"last words\n")
    assert len(output) < 200 << 10
