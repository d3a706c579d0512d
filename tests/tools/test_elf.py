"""Compiled modules lose what only a debugger reads, and nothing else."""

import pytest

from tools import elf

CODE = b"code and data"


def shared_object(debug: bytes = b"", size: int = len(CODE)) -> bytes:
    """A file with one segment, which says it is `size` bytes long, and debugging data behind it."""
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
    return elf.HEADER.pack(*header) + segment + CODE + debug


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
