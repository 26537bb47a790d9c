"""Sixty random steps on whole lakes on a Rucio server in memory, compared with a model and with what a plain client sees."""

from tests.stories.lake_machine import take_steps
from tests.stories.rucio_machine import OnFakeRucio


def test_sixty_steps():
    assert take_steps(OnFakeRucio, 60, 30) >= 60
