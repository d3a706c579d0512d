"""What is made of the kernel's lists of mappings."""

import os

from tests.bench.memory import by_mapping, profile
from tests.sandbox import procfs

SMAPS = """\
55d0c8a00000-55d0c8a21000 rw-p 00000000 00:00 0                          [heap]
Size:                132 kB
Rss:                 100 kB
Pss:                  90 kB
Pss_Dirty:            80 kB
VmFlags: rd wr mr mw me ac sd
7f5d1c000000-7f5d1c800000 rw-s 00000000 00:01 2049                       /dev/zero (deleted)
Pss:                4096 kB
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
        ("backlog", 4096 * 1024),
        ("anonymous", 512 * 1024),
        ("heap", 90 * 1024),
        ("lib with blank.so.1", 12 * 1024),
    ]


def test_a_living_process_has_a_line_and_one_that_ended_has_none() -> None:
    """All of what it takes is in the parts that are shown."""
    process = procfs.read(os.getpid())
    assert process is not None
    (line,) = profile([process, process.__class__(**{**vars(process), "pid": 2**22 + 1})]).splitlines()
    name, total_mb = line.partition(" MB: ")[0].rsplit(maxsplit=1)
    parts_mb = [float(part.rsplit(maxsplit=1)[1]) for part in line.partition(" MB: ")[2].split(", ")]
    assert name == process.comm
    assert abs(float(total_mb) - sum(parts_mb)) < 1
