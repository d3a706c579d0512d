"""What a row of the bench under a quota says, and what is said where there is none."""

from pathlib import Path

import pytest

from tests.bench import quota

WITH = quota.Run(440.0, 12.0, 90.0, 30.0, {"tr-lifecycle": 12.0, "tr-collector": 8.0})
WITHOUT = quota.Run(400.0, 8.0, 0.0, 0.0, {})
OVER_TLS = quota.Run(450.0, 13.0, 150.0, 45.0, {})


def test_rows_stand_beside_their_yardsticks() -> None:
    rows = quota.rows_of("29%", 512, 0.29, [(50.0, 75.0)] * 3, [[WITH, WITHOUT]] * 3, [OVER_TLS] * 3)
    assert [(value, ratio, most) for _, value, _, ratio, most in rows] == [
        (50.0, None, None),
        (75.0, 1.5, 1.6),
        (90.0, None, 120.0),
        (150.0, None, None),
        (30.0, None, None),
        (45.0, None, None),
        (400.0, None, None),
        (40.0, None, 40.0),
        (8.0, None, None),
        (4.0, None, 50.0),
    ]


def test_the_least_share_is_held_to_the_layers_own_processor_time() -> None:
    rows = quota.rows_of("7%", 128, 0.1, [(50.0, 75.0)], [[WITH, WITHOUT]], [OVER_TLS])
    assert [most for *_, most in rows] == [None, 1.6, None, None, None, None, None, 300.0, None, 300.0]


def test_why_an_init_is_slowed_is_said_by_process_beside_the_bare_interpreter() -> None:
    assert quota.reason_of(0.25, 10.0, [(40.0, 75.0)], [WITH] * 3) == (
        "CPU of the layer's processes while the function began: 20.0 ms (tr-lifecycle 12.0, tr-collector 8.0), 80 ms"
        " on this share. The bare interpreter alone takes 10.0 ms of CPU, 40 ms on this share."
    )


def test_a_machine_that_forbids_quotas_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quota, "VERSIONS", {f"{tmp_path}/none": ("cpu.max",)})
    with pytest.raises(quota.ForbiddenError, match="none"), quota.group(0.1):
        pass


def test_a_folder_where_no_groups_of_version_2_are_limits_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of version 1 hang in an ordinary one, which takes any file."""
    monkeypatch.setattr(quota, "VERSIONS", {str(tmp_path): ("cpu.max",)})
    with pytest.raises(quota.ForbiddenError, match="no cgroups of version 2"), quota.group(0.1):
        pass
    assert not list(tmp_path.iterdir())
