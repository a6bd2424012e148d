"""A real ext4 file system in a file: with files, with blocks that a test may overwrite, and with a judge of its own (e2fsck)."""

import dataclasses
import pathlib
import random
import re
import shutil
import subprocess

BLOCK_BYTES = 4096
TOOL_SECONDS_MAX = 60


@dataclasses.dataclass(frozen=True)
class Ext4:
    path: pathlib.Path
    # Blocks of the file /reserved: whatever they hold, the file system is sound.
    reserved: list[int]


def make(directory: pathlib.Path, mib: int) -> Ext4:
    """Makes an image of `mib` MiB; a quarter of it is /reserved."""
    content, path = directory / "content", directory / "base.img"
    (content / "notes").mkdir(parents=True)
    for number in range(24):
        (content / "notes" / f"page-{number:02}.txt").write_text(f"This is page {number} of the notes.\n" * (number * 40 + 1))
    (content / "movie.bin").write_bytes(random.Random(42).randbytes((mib << 20) // 16))
    (content / "reserved").write_bytes(random.Random(7).randbytes((mib << 20) // 4))
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK_BYTES), "-d", str(content), str(path), f"{mib}M")
    shutil.rmtree(content)
    reserved = list(physical_blocks(tool("debugfs", "-R", "ex -l /reserved", str(path))))
    expected = (mib << 20) // 4 // BLOCK_BYTES
    if len(reserved) != expected:
        raise RuntimeError(f"/reserved has {len(reserved)} blocks, not {expected}")
    return Ext4(path, reserved)


def physical_blocks(table: str):
    """Reads the table of `debugfs ex -l`: level, entries, logical first - last, physical first - last, length."""
    for line in table.splitlines():
        if " - " in line:
            first, last, length = map(int, re.findall(r"\d+", line)[-3:])
            if last - first + 1 != length:
                raise RuntimeError(f"a line that does not add up: {line}")
            yield from range(first, last + 1)


def check(path: pathlib.Path) -> tuple[int, str]:
    """`e2fsck -fn`: its exit status, 0 = clean, and its last line."""
    run = subprocess.run(["e2fsck", "-fn", str(path)], capture_output=True, text=True, timeout=TOOL_SECONDS_MAX)
    return run.returncode, (run.stdout.splitlines() or [run.stderr])[-1].replace(f"{path}: ", "")


def tool(*command: str) -> str:
    run = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS_MAX)
    if run.returncode != 0:
        raise RuntimeError(f"{command[0]}: status {run.returncode}: {run.stderr.strip()}")
    return run.stdout
