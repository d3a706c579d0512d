"""Compiled modules without what only a debugger reads.

The dynamic loader goes by the program headers alone (System V ABI, chapter 5). What lies in the file past the
last segment they name is debugging data, symbol tables and section headers; wheels are often built with them.
"""

import struct
from typing import NamedTuple

# e_ident: magic, 64-bit, little-endian. Both architectures of Lambda are.
IDENT = b"\x7fELF\x02\x01"

# ELF64 header, after e_ident: type, machine, version, entry, phoff, shoff, flags, ehsize, phentsize, phnum,
# shentsize, shnum, shstrndx.
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")

# ELF64 program header: type, flags, offset, vaddr, paddr, filesz, memsz, align.
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")


# ELF64 section header: name, type, flags, address, offset, size, link, info, address alignment, entry size.
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")

# Program headers: nothing, and where what unwinding reads is indexed.
PT_NULL, PT_GNU_EH_FRAME = 0, 0x6474E550

# How a stack is unwound through the module: for exceptions of C++, for ending a thread from within, for debuggers.
UNWINDING = (b".eh_frame", b".eh_frame_hdr")


class Header(NamedTuple):
    """The ELF header; the fields are named as in the specification."""

    e_ident: bytes
    e_type: int
    e_machine: int
    e_version: int
    e_entry: int
    e_phoff: int
    e_shoff: int
    e_flags: int
    e_ehsize: int
    e_phentsize: int
    e_phnum: int
    e_shentsize: int
    e_shnum: int
    e_shstrndx: int


class ElfError(Exception):
    """Not a shared object that Lambda could load."""


def machine(content: bytes) -> int:
    """What a program or shared object is for: e_machine; 0 if it is none that Lambda could load."""
    if not content.startswith(IDENT) or len(content) < HEADER.size:
        return 0
    return Header(*HEADER.unpack_from(content)).e_machine


def stripped(content: bytes) -> bytes:
    """A shared object reduced to what is loaded.

    Args:
        content: The file as it came.

    Returns:
        The same program headers and segments, no section headers and nothing after the last segment.

    Raises:
        ElfError: It is not 64-bit little-endian ELF, or its program headers lead outside of it.
    """
    if not content.startswith(IDENT) or len(content) < HEADER.size:
        raise ElfError(f"begins with {content[:6]!r}, expected {IDENT!r}")
    header = Header(*HEADER.unpack_from(content))
    end = header.e_phoff + header.e_phnum * header.e_phentsize
    if header.e_phentsize != PROGRAM_HEADER.size or end > len(content):
        raise ElfError(f"program headers of {header.e_phentsize} bytes up to {end}, file of {len(content)} bytes")
    for index in range(header.e_phnum):
        _, _, offset, _, _, size, _, _ = PROGRAM_HEADER.unpack_from(
            content, header.e_phoff + index * header.e_phentsize
        )
        end = max(end, offset + size)
    if end > len(content):
        raise ElfError(f"a segment ends at {end}, file of {len(content)} bytes")
    bare = header._replace(e_shoff=0, e_shnum=0, e_shstrndx=0)
    return HEADER.pack(*bare) + content[HEADER.size : end]


def without_unwinding(content: bytes) -> bytes:
    """A shared object written in C without the tables of how its functions are unwound, which become zeros.

    Neither it nor the interpreter throws, and our processes have one thread each. A third of a small module, of what
    is compressed, are those tables.

    Args:
        content: The file as it came: without section headers nothing is known of it, and it stays as it is.

    Raises:
        ElfError: Its section headers lead outside of it.
    """
    if not content.startswith(IDENT) or len(content) < HEADER.size:
        raise ElfError(f"begins with {content[:6]!r}, expected {IDENT!r}")
    header = Header(*HEADER.unpack_from(content))
    if not header.e_shnum:
        return content
    end = header.e_shoff + header.e_shnum * SECTION_HEADER.size
    if header.e_shentsize != SECTION_HEADER.size or end > len(content) or header.e_shstrndx >= header.e_shnum:
        raise ElfError(f"section headers of {header.e_shentsize} bytes up to {end}, file of {len(content)} bytes")
    sections = list(SECTION_HEADER.iter_unpack(content[header.e_shoff : end]))
    names = content[sections[header.e_shstrndx][4] :]
    left = bytearray(content)
    for name, _, _, _, offset, size, *_ in sections:
        if names[name:].partition(b"\0")[0] in UNWINDING:
            if offset + size > len(content):
                raise ElfError(f"a section ends at {offset + size}, file of {len(content)} bytes")
            left[offset : offset + size] = bytes(size)
    for index in range(header.e_phnum):
        at = header.e_phoff + index * header.e_phentsize
        if struct.unpack_from("<I", left, at) == (PT_GNU_EH_FRAME,):
            struct.pack_into("<I", left, at, PT_NULL)
    return bytes(left)
