"""A short soak: the same lives, in half a minute."""

import os

import pytest

from tests.faults.cell import NAME
from tests.faults.play import EXTENSIONS
from tests.sandbox import Renegotiate
from tests.soak.chance import DEADLY_ENDINGS, MILD, MILD_ENDINGS, SIGNALS, Chance, Of
from tests.soak.growth import Growth, Sample
from tests.soak.life import KINDS, Kind, live

SECONDS = 40.0
SEED = int(os.environ.get("SOAK_SEED", "3"))


@pytest.mark.e2e
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nothing_is_lost_and_nothing_grows(kind: Kind) -> None:
    """Whatever chance brings."""
    if not (EXTENSIONS / NAME).exists():
        pytest.fail("there is no built layer in build/layer: run make layer")
    life = live(kind, SEED, SECONDS * kind.share, lambda _count: None)
    if life.is_of_time:
        # What is too slow is so again; a machine is seldom busy with something else twice.
        print(f"lived once more: {life.problems}")
        life = live(kind, SEED, SECONDS * kind.share, lambda _count: None)
    assert life.problems == [], (f"seed {SEED}", "".join(life.printed[-60:]))
    assert len(life.measured.held_ms) > 10


def test_the_same_seed_brings_the_same() -> None:
    """So that a bad run can be had again."""
    one, same, other = Chance(5, kills=True), Chance(5, kills=True), Chance(6, kills=True)
    steps = [one.step(n) for n in range(500)]
    assert steps == [same.step(n) for n in range(500)]
    assert steps != [other.step(n) for n in range(500)]
    assert any(step.kills for step in steps)
    assert any(step.script for step in steps)
    assert any(step.listens is False for step in steps)
    assert {step.mishap for step in steps} > {"", *MILD}
    assert (one.ending, one.withheld, one.odd_answers) == (same.ending, same.withheld, same.odd_answers)
    assert {Chance(seed, kills=True).ending for seed in range(100)} == {*MILD_ENDINGS, *DEADLY_ENDINGS}


def test_one_signal_alone_may_be_in_trouble() -> None:
    """Its requests meet what the others do not."""
    chance = Chance(5, has_all=True, is_tls=True)
    scripts = [step.script for step in (chance.step(number) for number in range(2000)) if step.script]
    assert {script.signal for script in scripts if isinstance(script, Of)} == set(SIGNALS)
    assert any(Renegotiate() in script for script in scripts if isinstance(script, list))


def grown(*anonymous_mb: float) -> list[str]:
    """What is said of a process whose memory was so much, in turn."""
    samples = [Sample(int(mb * 1e6), 0, 8) for mb in anonymous_mb for _ in range(10)]
    return list(Growth({("tr-shipper", 1): samples}).problems())


def test_growth_is_one_whether_steady_or_in_a_step() -> None:
    """What goes again is none, nor what loading the log takes."""
    assert grown(6, 6.3, 6.6) == []
    assert grown(6, 14, 7.9) == []
    assert grown(6, 6.5, 7) != []
    assert grown(6, 8.1, 8.1) != []


def test_descriptors_that_pile_up_are_a_leak() -> None:
    """A few come and go with connections."""
    samples = [Sample(6_000_000, 0, 8 + number // 4) for number in range(60)]
    assert list(Growth({("tr-shipper", 1): samples}).problems()) != []


def test_processes_of_one_name_are_not_compared_with_one_another() -> None:
    """One that was killed has a successor, which has not loaded everything yet."""
    few, more = [Sample(6_000_000, 0, 8)] * 5, [Sample(16_000_000, 0, 8)] * 20
    assert list(Growth({("tr-shipper", 1): few, ("tr-shipper", 2): more}).problems()) == []
