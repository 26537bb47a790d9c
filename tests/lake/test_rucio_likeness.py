"""The fake Rucio server says what the real one says: the same scripts of the plain client, the same results and errors."""

from secrets import token_hex

import pytest

from tests.rucio_scripts import SCRIPTS, Run
from tests.rucio_server import FakeRucio, client_of


@pytest.fixture(scope="module")
def reals(real_lake):
    return {account: real_lake.client(account) for account in ("root", "ada", "bob")}


@pytest.fixture(scope="module")
def fake(reals):
    """The fake with what deploy/lake/rucio_setup.py puts into the real one."""
    with FakeRucio() as server:
        for name in ("root", "ada", "bob"):
            server.add_account(name, admin=name == "root", sign_url=name != "root")
        server.add_scope("user.ada", "ada")
        server.add_scope("user.bob", "bob")
        for rse in reals["root"].list_rses():
            name = rse["rse"]
            attributes = reals["root"].list_rse_attributes(name)
            del attributes[name]
            server.add_rse(name, rse_type=rse["rse_type"], protocols=reals["root"].get_protocols(name), **attributes)
            server.set_availability(name, read=rse["availability_read"], write=rse["availability_write"])
        for account in ("root", "ada"):
            for name, nbytes in reals["root"].get_local_account_limits(account).items():
                server.set_quota(account, name, nbytes)
        yield server


@pytest.fixture(scope="module")
def fakes(fake, tmp_path_factory):
    homes = tmp_path_factory.mktemp("homes")
    return {account: client_of(fake.home(homes, account)) for account in ("root", "ada", "bob")}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_the_fake_says_what_the_real_server_says(fakes, reals, script):
    tag = f"t{token_hex(4)}"
    said = [Run(**clients, tag=tag) for clients in (fakes, reals)]
    for run in said:
        script(run)
    assert said[0].said == said[1].said
    assert len(said[0].said) > 1
