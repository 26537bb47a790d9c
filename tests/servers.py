"""Real and mocked S3 servers, as one value: what a test needs to reach a bucket of its own."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

CEPH = (sys.executable, Path(__file__).parents[1] / "deploy" / "lake" / "ceph.py")


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
