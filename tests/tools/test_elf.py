"""Compiled modules lose what only a debugger reads, and nothing else."""

import pytest

from tools import elf

CODE = b"code and data"


def shared_object(debug: bytes = b"", size: int = len(CODE)) -> bytes:
    """A file with one segment, which says it is `size` bytes long; behind it a section header and debugging data."""
    start = elf.HEADER.size + elf.PROGRAM_HEADER.size
    header = elf.Header(
        e_ident=elf.IDENT + bytes(10),
        e_type=3,
        e_machine=62,
        e_version=1,
        e_entry=0,
        e_phoff=elf.HEADER.size,
        e_shoff=start + len(CODE) if debug else 0,
        e_flags=0,
        e_ehsize=elf.HEADER.size,
        e_phentsize=elf.PROGRAM_HEADER.size,
        e_phnum=1,
        e_shentsize=64,
        e_shnum=1 if debug else 0,
        e_shstrndx=0,
    )
    segment = elf.PROGRAM_HEADER.pack(1, 5, start, start, start, size, size, 4096)
    sections = bytes(elf.SECTION_HEADER.size) if debug else b""
    return elf.HEADER.pack(*header) + segment + CODE + sections + debug


def test_what_lies_past_the_last_segment_goes() -> None:
    """Headers and segments stay as they are; section headers are no longer announced."""
    assert elf.stripped(shared_object(b"symbols")) == shared_object()


def test_nothing_to_strip_is_left_as_it_is() -> None:
    """Stripping twice is stripping once."""
    assert elf.stripped(shared_object()) == shared_object()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not ELF at all",
        b"\x7fELF\x01\x01" + bytes(100),
        shared_object()[: elf.HEADER.size + 10],
        shared_object(size=len(CODE) + 1),
    ],
    ids=["empty", "text", "32-bit", "cut short", "segment past the end"],
)
def test_what_could_not_be_loaded_is_refused(content: bytes) -> None:
    """A broken module is found when the layer is built."""
    with pytest.raises(elf.ElfError):
        elf.stripped(content)


def unwound(end: int = 0) -> bytes:
    """A file whose only segment is announced as the index of unwinding, with sections of that kind and of another."""
    start = elf.HEADER.size + elf.PROGRAM_HEADER.size
    names = b"\0.text\0.eh_frame\0"
    sections = [(0, 0, 0), (1, start, 4), (7, start + 4, end or len(CODE) - 4), (0, start + len(CODE), len(names))]
    table = b"".join(elf.SECTION_HEADER.pack(name, 1, 0, 0, at, size, 0, 0, 1, 0) for name, at, size in sections)
    header = elf.Header(*elf.HEADER.unpack_from(shared_object()))
    header = header._replace(e_shoff=start + len(CODE) + len(names), e_shnum=len(sections), e_shstrndx=3)
    segment = elf.PROGRAM_HEADER.pack(elf.PT_GNU_EH_FRAME, 4, start, start, start, len(CODE), len(CODE), 4)
    return elf.HEADER.pack(*header) + segment + CODE + names + table


def test_tables_of_unwinding_become_zeros_and_are_announced_no_more() -> None:
    """What is beside them stays where it was."""
    left = elf.without_unwinding(unwound())
    start = elf.HEADER.size + elf.PROGRAM_HEADER.size
    assert left[start : start + len(CODE)] == CODE[:4] + bytes(len(CODE) - 4)
    assert elf.PROGRAM_HEADER.unpack_from(left, elf.HEADER.size)[0] == elf.PT_NULL
    assert len(left) == len(unwound())
    assert elf.without_unwinding(shared_object()) == shared_object()


@pytest.mark.parametrize("content", [b"", unwound()[:-1], unwound(end=9_999)], ids=["empty", "cut short", "section"])
def test_sections_that_lead_outside_are_refused(content: bytes) -> None:
    """Likewise when the layer is built."""
    with pytest.raises(elf.ElfError):
        elf.without_unwinding(content)
