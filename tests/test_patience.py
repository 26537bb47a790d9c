"""What is asked again, and what is not."""

import pytest
import stamina

from lakecv.errors import Corrupt, Denied, Unavailable
from lakecv.patience import PatientObjects
from lakecv.testing.fakes import MemoryObjects
from lakecv.testing.storage import StorageContract


class TestPatientObjects(StorageContract):
    @pytest.fixture
    def open_objects(self):
        inner = MemoryObjects()
        return lambda: PatientObjects(inner)


class Flaky(MemoryObjects):
    """Fails as often as it is told, then answers."""

    def __init__(self, failures, error=Unavailable):
        super().__init__()
        self.left, self.error, self.calls = failures, error, 0
        self._stored["a"] = b"1"

    def get(self, key):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error("not now")
        return super().get(key)


@pytest.fixture(autouse=True)
def no_pauses():
    with stamina.set_testing(True, attempts=3):
        yield


def test_a_store_that_answers_later_is_asked_again(capfd):
    store = Flaky(3)
    assert PatientObjects(store).get("a") == b"1"
    assert store.calls == 4
    assert capfd.readouterr().err == ""


def test_a_store_that_never_answers_is_given_up():
    store = Flaky(99)
    with pytest.raises(Unavailable, match="not now"):
        PatientObjects(store).get("a")
    assert store.calls == 4


@pytest.mark.parametrize("error", [Corrupt, Denied])
def test_what_asking_again_cannot_mend_is_not_asked_again(error):
    store = Flaky(1, error)
    with pytest.raises(error):
        PatientObjects(store).get("a")
    assert store.calls == 1
