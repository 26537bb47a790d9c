"""Real and mocked servers, each as one value: what a test needs to reach a bucket of its own, or a whole data lake."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import psutil

_DEPLOY = Path(__file__).parents[1] / "deploy" / "lake"
CEPH = (sys.executable, _DEPLOY / "ceph.py")
LAKE = (sys.executable, _DEPLOY / "lake.py")
# Taken when this is imported: each test then runs without it.
RUCIO_VENV = Path(os.environ.get("LAKECV_RUCIO_VENV") or _DEPLOY.parents[1] / ".venv-rucio").absolute()


@dataclass(frozen=True)
class S3Server:
    """An S3 endpoint on this machine and a key that may do everything there."""

    name: str
    endpoint: str
    key: str
    secret: str
    region: str = "us-east-1"

    def environment(self) -> dict[str, str]:
        """Variables by which any S3 client finds the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region, "AWS_EC2_METADATA_DISABLED": "true",
        }

    @classmethod
    def found(cls, name, lines):
        """Take the same from lines NAME=VALUE, as ceph.py writes them."""
        values = dict(line.split("=", 1) for line in lines.splitlines())
        return cls(name, *(values[f"AWS_{key}"] for key in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION")))

    def client(self):
        """Boto3 client, for what is done behind lakecv's back."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.key, aws_secret_access_key=self.secret,
            region_name=self.region, config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
        )

    def bucket(self) -> str:
        """Make a bucket of a new name."""
        name = f"lake-{token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def moto() -> Iterator[S3Server]:
    """Start moto's server on the loopback address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request hides what a failing test says

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Server("moto", f"http://{host}:{port}", "moto-key", "moto-secret")
    finally:
        server.stop()


@contextmanager
def ceph(folder) -> Iterator[S3Server]:
    """Start a real Ceph RGW in a new folder; its keys are those of the user who owns what tests make."""
    try:
        subprocess.run([*CEPH, "start", folder], check=True, timeout=110, stdout=subprocess.DEVNULL)
        yield S3Server.found("ceph", (Path(folder) / "lake.env").read_text())
    finally:
        subprocess.run([*CEPH, "stop", folder], check=True, timeout=60, stdout=subprocess.DEVNULL)


@dataclass(frozen=True)
class RealLake:
    """A running stack of deploy/lake/lake.py: Rucio with its storage elements INFN-PG (S3), INFN-NA (XRootD), CNAF (WebDAV)."""

    folder: Path
    values: Mapping[str, str]

    @classmethod
    def found(cls, folder):
        """Take what lake.py wrote."""
        lines = (Path(folder) / "lake.env").read_text().splitlines()
        return cls(Path(folder), dict(line.split("=", 1) for line in lines))

    def environment(self, account="ada") -> dict[str, str]:
        """Variables by which any client finds the lake as an account."""
        home = self.home(account)
        return {**self.values, "RUCIO_HOME": str(home), "X509_USER_PROXY": str(home / "proxy.pem")}

    def home(self, account) -> Path:
        """RUCIO_HOME of an account: etc/rucio.cfg, usercert.pem, userkey.pem, proxy.pem."""
        return self.folder / "clients" / account

    def client(self, account="ada"):
        """Plain Rucio client of an account, for what is done behind lakecv's back; leaves no settings behind."""
        from rucio.client import Client  # noqa: TID251
        from rucio.common.config import get_config  # noqa: TID251

        usual = os.environ.get("RUCIO_HOME")
        os.environ["RUCIO_HOME"] = str(self.home(account))
        get_config.cache_clear()
        try:
            return Client()
        finally:
            get_config.cache_clear()
            os.environ.pop("RUCIO_HOME")
            if usual is not None:
                os.environ["RUCIO_HOME"] = usual

    def token(self, account="ada", *, lifetime_s=3600, audience="rucio") -> str:
        """Signed OIDC token of an account."""
        options = ("--lifetime", str(lifetime_s), "--audience", audience)
        done = lake_command("token", self.folder, account, *options, check=True)
        return done.stdout.strip()

    @contextmanager
    def paused(self, server):
        """Nothing of one server moves: rucio (requests hang), transfers (rules stay as they are), nginx, xrootd, postgres."""
        first = psutil.Process(int((self.folder / "servers" / f"{server}.pid").read_text()))
        found = [first, *first.children(recursive=True)]
        for process in found:
            process.suspend()
        try:
            yield
        finally:
            for process in found:
                process.resume()

    @property
    def dav_folder(self) -> Path:
        """What CNAF holds, as files that a test may damage."""
        return self.folder / "servers" / "www" / "dav"

    @property
    def xrootd_folder(self) -> Path:
        """What INFN-NA holds, as files that a test may damage."""
        return self.folder / "servers" / "xrootd" / "data" / "lake"

    @property
    def s3(self) -> S3Server:
        """Its Ceph, and the user who owns the objects of INFN-PG."""
        return S3Server.found("ceph", (self.folder / "ceph" / "lake.env").read_text())

    @property
    def ca(self) -> str:
        """File of the authority that signed the certificates of its servers."""
        return self.values["LAKE_CA"]

    @property
    def rucio_url(self) -> str:
        """Rucio without TLS."""
        return self.values["LAKE_RUCIO_HOST"]

    @property
    def rucio_tls_url(self) -> str:
        """Rucio with TLS, where certificates of users are heeded."""
        return self.values["LAKE_RUCIO_TLS_HOST"]

    @property
    def dav_url(self) -> str:
        """WebDAV with TLS: the folder that CNAF lies in."""
        return self.values["LAKE_DAV_URL"]

    @property
    def dav_http_url(self) -> str:
        """WebDAV without TLS."""
        return self.values["LAKE_DAV_HTTP_URL"]

    @property
    def xrootd_url(self) -> str:
        """XRootD: the folder that INFN-NA lies in."""
        return self.values["LAKE_XROOTD_URL"]

    @property
    def xrootd_http_url(self) -> str:
        """XRootD's own HTTP, without TLS."""
        return self.values["LAKE_XROOTD_HTTP_URL"]

    @property
    def oidc_issuer(self) -> str:
        """Who signs the tokens."""
        return self.values["LAKE_OIDC_ISSUER"]


def lake_command(*arguments, check=False, **environment):
    """Run lake.py to its end."""
    return subprocess.run(
        [*LAKE, *arguments], env={**os.environ, "LAKECV_RUCIO_VENV": str(RUCIO_VENV), **environment},
        capture_output=True, text=True, timeout=110, check=check,
    )


@contextmanager
def lake(folder) -> Iterator[RealLake]:
    """Start a real data lake in a new folder."""
    try:
        done = lake_command("start", folder)
        assert done.returncode == 0, done.stderr
        yield RealLake.found(folder)
    finally:
        lake_command("stop", folder, check=True)
