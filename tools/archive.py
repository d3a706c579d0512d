"""A tree of files as a zip that is the same for the same tree, byte for byte, and back.

Owns order, times, permissions and compression of the archive's entries; knows nothing of what they hold.
"""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

# The earliest time a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)

# zlib's best: the zip is built once and fetched at every cold start.
COMPRESSION_LEVEL = 9

FILE_MODE = 0o644
EXECUTABLE_MODE = 0o755

# "Made by Unix": otherwise the permissions are not read.
UNIX = 3


def write(tree: Path, output: Path, is_executable: Callable[[str], bool]) -> None:
    """Packs every file below a directory.

    Args:
        tree: The directory; its own name does not appear in the zip.
        output: The zip; replaced only once it is complete.
        is_executable: Whether the entry of this name is to be mode 755; all others are 644.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = beside(output, "partial")
    names = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    with zipfile.ZipFile(partial, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = UNIX
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = EXECUTABLE_MODE if is_executable(name) else FILE_MODE
            entry.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(entry, (tree / name).read_bytes(), compresslevel=COMPRESSION_LEVEL)
    partial.replace(output)


def unpack(archive_path: Path, directory: Path) -> None:
    """Unpacks with permissions, as `unzip` does and zipfile's own extraction does not.

    Args:
        archive_path: The zip.
        directory: Where to; what was there is replaced once everything is unpacked.
    """
    partial = beside(directory, "partial")
    with zipfile.ZipFile(archive_path) as archive:
        for entry in archive.infolist():
            path = partial / entry.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(entry))
            path.chmod(stat.S_IMODE(entry.external_attr >> 16))
    if directory.exists():
        former = beside(directory, "former")
        directory.replace(former)
        partial.replace(directory)
        shutil.rmtree(former)
    else:
        partial.replace(directory)


def beside(path: Path, purpose: str) -> Path:
    """A name in the same directory that no other process uses."""
    return path.with_name(f"{path.name}.{purpose}-{os.getpid()}")
