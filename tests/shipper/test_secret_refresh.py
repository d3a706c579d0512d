"""Between shipments: what is due is fetched, and nobody waits for it but the last shipment, and now and then one."""

import math
import os
from collections.abc import Callable, Iterator

import pytest

from lifecycle.contract import wire
from lifecycle.contract.wire import Ship
from shipper.commands import Commands
from shipper.secret_refresh import SecretRefresh
from tests.shipper.support import Clock


class Vault:
    """A secret that is due until it is known.

    Attributes:
        answer: What happens while it is fetched; it is known afterwards.
    """

    def __init__(self) -> None:
        self.answer: Callable[[], None] = lambda: None
        self.is_known = False

    def due_in_s(self) -> float:
        """See `interfaces.Secret`."""
        return math.inf if self.is_known else 0.0

    def refresh(self) -> None:
        """Likewise."""
        self.answer()
        self.is_known = True


class Scene:
    """A supervisor's end of the pipe, a secret, and what was refused."""

    def __init__(self) -> None:
        self.pipe = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
        self.clock = Clock()
        self.commands = Commands(self.pipe[0], self.clock)
        self.vault = Vault()
        self.refused: list[Ship] = []
        self.refresh = SecretRefresh(
            self.commands, (self.vault,), lambda: self.vault.is_known, self.refused.append, self.clock
        )

    def send(self, until: int = 100, within_s: float = 1.0, *, is_final: bool = False) -> Ship:
        """A command to ship."""
        ship = Ship(since=0, skip=0, until=until, deadline=self.clock.now + within_s, is_final=is_final)
        wire.send(self.pipe[1], ship)
        return ship

    def sent_meanwhile(self, until: int, *, is_final: bool = False) -> Ship:
        """A command that comes while the secret is fetched."""
        ship = self.send(until, is_final=is_final)
        self.commands.look()
        return ship


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    for fd in scene.pipe:
        os.close(fd)


def test_what_is_due_is_fetched_before_anything_is_shipped(scene: Scene) -> None:
    """Then the shipment begins at once, and in all of its time."""
    ship = scene.send()
    assert scene.refresh.next() == ship
    assert scene.vault.is_known
    assert scene.commands.time_left_s() == 1.0


def test_what_comes_meanwhile_is_refused(scene: Scene) -> None:
    """No function waits for a secret; what comes when it is known is shipped."""
    refused = []

    def answer() -> None:
        refused.extend([scene.sent_meanwhile(1), scene.sent_meanwhile(2)])
        scene.send(3)

    scene.vault.answer = answer
    ship = scene.refresh.next()
    assert ship is not None
    assert (ship.until, scene.refused) == (3, refused)


def test_one_in_four_waits(scene: Scene) -> None:
    """A function that is always quicker than the answer would never have its secret."""
    came: list[Ship] = []
    scene.vault.answer = lambda: came.extend(scene.sent_meanwhile(number) for number in range(4))
    assert scene.refresh.next() == came[3]
    assert scene.refused == came[:3]


def test_the_last_shipment_waits_for_half_of_its_time(scene: Scene) -> None:
    """There is no later one; the other half is its own."""
    left_s = []

    def answer() -> None:
        scene.sent_meanwhile(1, is_final=True)
        left_s.append(scene.commands.time_left_s())

    scene.vault.answer = answer
    ship = scene.refresh.next()
    assert ship is not None
    assert (ship.is_final, left_s, scene.refused) == (True, [0.5], [])
    assert scene.commands.time_left_s() == 1.0


def test_something_else_to_do_is_not_kept_waiting(scene: Scene) -> None:
    """A restored snapshot's secrets are not those of before."""
    scene.vault.is_known = True
    wire.send(scene.pipe[1], wire.Restored(digest_key=b"k", instance_id="i"))
    assert scene.refresh.next() is None
    assert scene.commands.restored is not None
