"""What is made of the kernel's lists of mappings."""

import os
from pathlib import Path

from tests.bench.memory import by_mapping, by_module, of_its_own, profile
from tests.sandbox import procfs

SMAPS = """\
55d0c8a00000-55d0c8a21000 rw-p 00000000 00:00 0                          [heap]
Size:                132 kB
Rss:                 100 kB
Pss:                  90 kB
Pss_Dirty:            80 kB
Private_Clean:         4 kB
Private_Dirty:        64 kB
VmFlags: rd wr mr mw me ac sd
7f5d1c000000-7f5d1c800000 rw-s 00000000 00:01 2049                       /dev/zero (deleted)
Pss:                4096 kB
7f5d1c800000-7f5d1d000000 rw-s 00000000 00:01 2050                       /memfd:tailrace-backlog (deleted)
Pss:                1024 kB
7f5d1d000000-7f5d1d100000 rw-p 00000000 00:00 0 
Pss:                 512 kB
7f5d1d100000-7f5d1d200000 r--p 00000000 fe:00 1234                       /usr/lib/x86_64/lib with blank.so.1
Pss:                   4 kB
7f5d1d200000-7f5d1d300000 r-xp 00100000 fe:00 1234                       /usr/lib/x86_64/lib with blank.so.1
Pss:                   8 kB
"""  # noqa: W291 - as the kernel writes it


def test_parts_of_a_mapping_are_added_up_and_the_largest_comes_first() -> None:
    found = by_mapping(SMAPS)
    assert list(found.items()) == [
        ("backlog", (4096 + 1024) * 1024),
        ("anonymous", 512 * 1024),
        ("heap", 90 * 1024),
        ("lib with blank.so.1", 12 * 1024),
    ]


def test_what_nobody_else_has_is_told_apart() -> None:
    assert of_its_own(SMAPS) == 68 * 1024


def test_a_module_is_told_by_what_it_allocates_itself(tmp_path: Path) -> None:
    """Also where a package's module is imported of it; what was loaded before is not counted."""
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").touch()
    (tmp_path / "house" / "large.py").write_text("kept = bytearray(1_000_000)\n")
    (tmp_path / "small.py").write_text("from house import large\n")
    (tmp_path / "before.py").write_text("kept = bytearray(2_000_000)\n")
    found = by_module(tmp_path, "import before, small", "import before")
    sizes = {name: (own, whole) for own, whole, name in found}
    assert (found[0][2], set(sizes)) == ("house.large", {"house.large", "house", "small"})
    assert 1_000_000 <= sizes["house.large"][0] < 1_100_000
    assert sizes["small"][0] < 100_000
    assert sizes["small"][1] >= 1_000_000


def test_a_living_process_has_a_line_and_one_that_ended_has_none() -> None:
    """All of what it takes is in the parts that are shown."""
    process = procfs.read(os.getpid())
    assert process is not None
    (line,) = profile([process, process.__class__(**{**vars(process), "pid": 2**22 + 1})]).splitlines()
    name, total_mb = line.partition(" MB, ")[0].rsplit(maxsplit=1)
    parts_mb = [float(part.rsplit(maxsplit=1)[1]) for part in line.partition(" its own: ")[2].split(", ")]
    assert name == process.comm
    assert abs(float(total_mb) - sum(parts_mb)) < 1
