"""What every test gets: no network beyond this machine, no settings from outside, hypothesis without a clock."""

import os
import signal
import socket

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import moto

settings.register_profile("lakecv", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lakecv")

# In the background of a shell, or under nohup, these are ignored, also by what the tests start and then interrupt.
for _number, _usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

_LOCAL = {"127.0.0.1", "localhost", "::1"}
_SETTINGS = ("LAKECV_", "AWS_", "RUCIO_", "X509_", "BEARER_TOKEN", "LAKE_", "SITE_NAME", "XDG_RUNTIME_DIR")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Refuse to connect to anything but this machine."""
    usual = socket.socket.connect

    def connect(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in _LOCAL:
            raise RuntimeError(f"a test tried to reach {address}")
        return usual(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path_factory):
    """Start each test with an empty home and no variables of lakecv, a cloud or a grid."""
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(home))


@pytest.fixture(scope="session")
def moto_server():
    """One mocked S3 server per session; each test makes buckets of its own."""
    with moto() as server:
        yield server
