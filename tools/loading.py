"""What a compiled module asks of the machine that loads it, read from its dynamic segment alone.

Holds every module against the Lambda runtimes that import it: the architecture and the name in its suffix, and
the C library of the Amazon Linux that the runtime is built on. Source: System V ABI, chapter 5; "Symbol
Versioning" of the Linux Standard Base; "Lambda runtimes", AWS Lambda developer guide.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.elf import HEADER, IDENT, PROGRAM_HEADER, ElfError, Header
from tools.target import Version, dotted

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_VERNEED, DT_VERNEEDNUM = 1, 5, 10, 0x6FFFFFFE, 0x6FFFFFFF

ENTRY = struct.Struct("<qQ")

# Elf64_Verneed: version, count, file, aux, next. Elf64_Vernaux: hash, flags, other, name, next.
VERNEED = struct.Struct("<HHIII")
VERNAUX = struct.Struct("<IHHII")

MACHINES = {"x86_64": 62, "aarch64": 183}

# The C library of Amazon Linux 2 and of Amazon Linux 2023, and the last Python whose runtime is on the former.
GLIBC_2, GLIBC_2023 = (2, 26), (2, 34)
LAST_ON_2 = (3, 11)

# Of the C library itself; anything else may not be there.
LIBRARIES = frozenset({"libc.so.6", "libpthread.so.0", "libm.so.6", "libdl.so.2", "librt.so.1"})
LOADERS = frozenset({"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"})

SUFFIX = re.compile(r"(?P<name>\w+)\.cpython-3(?P<minor>\d+)-(?P<architecture>\w+)-linux-gnu\.so")


@dataclass(frozen=True)
class Needs:
    """What a shared object needs.

    Attributes:
        machine: e_machine.
        libraries: By their sonames.
        glibc: The newest version of the C library that a symbol is wanted from; (0, 0) without any.
        strings: All names its dynamic symbols have, among others.
    """

    machine: int
    libraries: frozenset[str]
    glibc: tuple[int, int]
    strings: frozenset[str]


def needs(content: bytes) -> Needs:
    """Reads a shared object.

    Raises:
        ElfError: It is none.
    """
    if not content.startswith(IDENT) or len(content) < HEADER.size:
        raise ElfError(f"begins with {content[:6]!r}, expected {IDENT!r}")
    header = Header(*HEADER.unpack_from(content))
    try:
        return _read(content, header)
    except (struct.error, StopIteration, KeyError) as error:
        raise ElfError(f"its dynamic segment cannot be read: {error!r}") from error


def _read(content: bytes, header: Header) -> Needs:
    segments = [
        PROGRAM_HEADER.unpack_from(content, header.e_phoff + index * header.e_phentsize)
        for index in range(header.e_phnum)
    ]

    def offset_of(address: int) -> int:
        return next(
            int(offset + address - start)
            for kind, _, offset, start, _, size, _, _ in segments
            if kind == PT_LOAD and start <= address < start + size
        )

    _, _, at, _, _, size, _, _ = next(segment for segment in segments if segment[0] == PT_DYNAMIC)
    entries = list(ENTRY.iter_unpack(content[at : at + size - size % ENTRY.size]))
    values = dict(entries)
    start = offset_of(values[DT_STRTAB])
    table = content[start : start + values[DT_STRSZ]]

    def text(index: int) -> str:
        return table[index : table.index(b"\0", index)].decode("latin-1")

    wanted: list[str] = []
    if DT_VERNEED in values:
        wanted = [text(name) for name in _versions(content, offset_of(values[DT_VERNEED]), values[DT_VERNEEDNUM])]
    glibc = [tuple(map(int, name[6:].split(".")))[:2] for name in wanted if re.fullmatch(r"GLIBC_[\d.]+", name)]
    newest = max(glibc, default=(0, 0))
    return Needs(
        header.e_machine,
        frozenset(text(value) for tag, value in entries if tag == DT_NEEDED),
        (newest[0], newest[1]),
        frozenset(name.decode("latin-1") for name in table.split(b"\0")),
    )


def _versions(content: bytes, at: int, files: int) -> Iterator[int]:
    """Where in the string table the wanted versions' names lie."""
    for _ in range(files):
        _, count, _, first, following = VERNEED.unpack_from(content, at)
        aux = at + first
        for _ in range(count):
            _, _, _, name, step = VERNAUX.unpack_from(content, aux)
            yield name
            aux += step
        at += following


def complaints(path: Path) -> Iterator[str]:
    """Why the runtime that imports a compiled module could not load it; nothing if it could."""
    found = SUFFIX.fullmatch(path.name)
    if found is None:
        yield f"{path.name}: expected a name such as speedups.cpython-311-x86_64-linux-gnu.so"
        return
    version = (3, int(found["minor"]))
    try:
        asked = needs(path.read_bytes())
    except ElfError as error:
        yield f"{path.name}: {error}"
        return
    if asked.machine != MACHINES.get(found["architecture"]):
        yield f"{path.name}: for machine {asked.machine}, expected {MACHINES.get(found['architecture'])}"
    if asked.glibc > glibc_of(version):
        limit = dotted(glibc_of(version))
        yield f"{path.name}: wants glibc {dotted(asked.glibc)}, expected {limit} at most on Python {dotted(version)}"
    if strangers := asked.libraries - LIBRARIES - LOADERS:
        yield f"{path.name}: needs {', '.join(sorted(strangers))}, expected the C library alone"
    if f"PyInit_{found['name']}" not in asked.strings:
        yield f"{path.name}: has no PyInit_{found['name']}, expected the function that an import calls"


def glibc_of(version: Version) -> tuple[int, int]:
    """The C library of the Lambda runtime of a Python."""
    return GLIBC_2 if version <= LAST_ON_2 else GLIBC_2023
