"""Five hundred random steps on whole lakes on a real Ceph RGW, compared with a model made of dictionaries."""

import pytest

from tests.stories.lake_machine import reached, take_steps


@pytest.mark.timeout(300)
def test_five_hundred_steps(ceph_server):
    with reached(ceph_server, ceph_server.bucket()) as machine:
        assert take_steps(machine, 500) >= 500
