"""The fixtures that several files of this folder ask for."""

from pathlib import Path

import pytest

from elf_programs import elf


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A small root file system, and beside it a file that no path inside may lead to."""
    (tmp_path / "secret").write_text("the host's")
    root = tmp_path / "rootfs"
    for directory in ("bin", "etc", "usr/local/bin", "app"):
        (root / directory).mkdir(parents=True)
    (root / "etc/motd").write_text("the image's")
    (root / "bin/sh").write_bytes(elf())
    (root / "bin/sh").chmod(0o755)
    return root
