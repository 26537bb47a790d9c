"""A hundred random steps on whole lakes on a real Rucio, compared with a model and with what a plain client sees."""

import pytest

from tests.stories.lake_machine import take_steps
from tests.stories.rucio_machine import standing_on


@pytest.mark.timeout(300)
def test_a_hundred_steps(real_lake):
    with standing_on(real_lake) as machine:
        assert take_steps(machine, 100, 52) >= 100
