"""A thousand random steps on whole lakes (memory, folder, moto), each compared with a model made of dictionaries."""

from tests.stories.lake_machine import InAFolder, LakeMachine, reached, take_steps


def test_six_hundred_steps_in_memory():
    assert take_steps(LakeMachine, 600) >= 600


def test_three_hundred_and_fifty_steps_in_a_folder():
    assert take_steps(InAFolder, 350) >= 350


def test_fifty_steps_on_moto(moto_server):
    with reached(moto_server, moto_server.bucket()) as machine:
        assert take_steps(machine, 50, 20) >= 50
