"""Some environments and their backend, for some minutes: what is wrong with breaker or jitter shows here."""

import msgspec
import pytest

from tests.fleet.backend import Trouble
from tests.fleet.rivals import RIVALS
from tests.fleet.summary import MOST_ASKED, Summary, summary_of
from tests.fleet.world import BURSTS, POISSON, REGULAR, Scenario, World

# Five minutes without a backend that could take twice what comes.
DOWN_S, BACK_S = 120.0, 420.0
OUTAGE = Scenario("outage", environments=150, duration_s=840, troubles=(Trouble(DOWN_S, BACK_S),))


def played(scenario: Scenario) -> Summary:
    """What comes of a scenario."""
    world = World(scenario)
    world.play()
    return summary_of(world, 0.0)


@pytest.fixture(scope="module")
def outage() -> Summary:
    """What comes of the outage."""
    return played(OUTAGE)


def test_everything_arrives_soon_after_an_outage(outage: Summary) -> None:
    """As soon as each environment has been invoked, which takes some of them minutes, when a try was due."""
    assert outage.delivered > 3000
    assert (outage.lost, outage.uncounted, outage.stranded, outage.kills) == (0, 0, 0, 0)
    assert outage.last_s is not None
    assert outage.last_s < 360


def test_breaker_has_hardly_anything_held_for_a_backend_that_is_gone(outage: Summary) -> None:
    """Two holds of half a second each at most, the second one short; ten invocations come in that time."""
    assert outage.in_vain_s < 0.8 * OUTAGE.environments


def test_backend_that_is_gone_or_back_is_not_asked_for_more_than_it_has(outage: Summary) -> None:
    """From the moment that it is gone."""
    assert max(outage.asked) <= MOST_ASKED * OUTAGE.requests_s


@pytest.mark.parametrize("hangs", [False, True])
def test_same_seed_is_the_same_life(*, hangs: bool) -> None:
    scenario = msgspec.structs.replace(
        OUTAGE, environments=20, duration_s=300, troubles=(Trouble(60.0, 150.0, hangs=hangs),)
    )
    assert played(scenario) == played(scenario)
    assert played(scenario).asked != played(msgspec.structs.replace(scenario, seed=2)).asked


def test_environment_that_is_asked_to_wait_is_invoked_as_often_as_any() -> None:
    """It is let go in the middle of an invocation, when its shipment ends without a delivery."""
    limit = Trouble(60.0, 300.0, capacity=0.25, is_limit=True, retry_after_s=30.0)
    scenario = msgspec.structs.replace(OUTAGE, environments=50, duration_s=600, troubles=(limit,))
    summary = played(scenario)
    assert summary.invocations > 0.8 * scenario.environments * scenario.duration_s / scenario.gap_s
    assert (summary.lost, summary.uncounted, summary.stranded) == (0, 0, 0)


def test_jitter_keeps_those_apart_that_began_together() -> None:
    """Invoked all at once every thirty seconds, for twenty, and the backend comes back while they try again."""
    back_s = 62
    scenario = Scenario(
        "together",
        environments=100,
        duration_s=75,
        run_s=20.0,
        capacity=1000.0,
        troubles=(Trouble(0.0, back_s),),
        begins_within_s=0.001,
        traffic=REGULAR,
    )
    world = World(scenario)
    world.play()
    assert sum(world.backend.asked[back_s:]) >= scenario.environments
    assert max(world.backend.asked[back_s:]) < 0.9 * scenario.environments
    dull = World(scenario, draw=lambda: 0.999)
    dull.play()
    assert max(dull.backend.asked[back_s:]) == scenario.environments


@pytest.mark.parametrize("capacity", [0.0, 0.2])
def test_environments_that_begin_together_are_served(capacity: float) -> None:
    """A deploy, to a backend that is in trouble for a minute."""
    scenario = msgspec.structs.replace(
        OUTAGE, duration_s=400, begins_within_s=1.0, troubles=(Trouble(0.0, 60.0, capacity=capacity),)
    )
    summary = played(scenario)
    assert (summary.lost, summary.uncounted, summary.stranded) == (0, 0, 0)


@pytest.mark.parametrize("traffic", [POISSON, REGULAR, BURSTS])
def test_however_invocations_come_they_are_as_many(traffic: str) -> None:
    """And with those who only send at the end of each, an hour is soon played."""
    world = World(Scenario("calm", policy="fixed 300 ms", environments=100, traffic=traffic))
    world.play()
    assert sum(world.figures.made) == pytest.approx(100 * 3600 / 30, rel=0.1)


@pytest.mark.parametrize("policy", RIVALS)
def test_what_others_do_is_counted_likewise(policy: str) -> None:
    summary = played(msgspec.structs.replace(OUTAGE, policy=policy, environments=50))
    assert summary.uncounted == 0
    assert (summary.lost > 0) == (policy == "three tries, then drop")
    assert summary.in_vain_s > 10 * summary.scenario.environments
