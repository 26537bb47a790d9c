"""Lakes in buckets that cannot be used: wrong names, keys, places and servers."""

import http.server
import threading
from functools import partial

from lakecv_plugins.storage.s3 import _known

_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
_ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>no</Message>{}</Error>'
_MORE = {"AuthorizationHeaderMalformed": "<Region>eu-south-1</Region>"}


def lake(place, url, endpoint="http://127.0.0.1:9", key="canary-key", secret="canary-secret"):
    """Name a lake by a url, with keys that must not be repeated."""
    for name, value in zip(_VARIABLES, (endpoint, key, secret, "us-east-1"), strict=True):
        place.patch.setenv(name, value)
    place.patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    _known.cache_clear()
    place.type = partial(_typed, place, url)

    def says_no_key(typed):
        assert "canary" not in typed.out + typed.err

    place.after.append(says_no_key)
    return {"url": url}


def _typed(place, url, *words):
    usual, place.lake = place.lake, url
    try:
        return place.here(*words)
    finally:
        place.lake = usual
        _known.cache_clear()


def mocked(place, url):
    """On moto's server."""
    server = place.fixture("moto_server")
    return lake(place, url, server.endpoint, server.key, server.secret)


def answers(place, status, code):
    """On a server that answers every request with one of the errors that real servers gave."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = _ANSWER.format(code, _MORE.get(code, "")).encode()
            self.send_response(int(status))
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def stop(_):
        server.shutdown()
        server.server_close()
        thread.join()

    made = lake(place, "s3://bucket/lake", f"http://127.0.0.1:{server.server_port}")
    place.after.append(stop)
    return made


def endpoint(place, url):
    """At an endpoint as it stands in somebody's configuration."""
    return lake(place, "s3://bucket/lake", url)


def no_keys(place):
    """Without keys."""
    made = lake(place, "s3://bucket/lake")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        place.patch.delenv(name)
    return made


def readable_keys(place):
    """With keys in a file that everybody may read."""
    made = no_keys(place)
    keys = place.folder / "credentials"
    keys.write_text("[museo]\naws_access_key_id = canary-key\naws_secret_access_key = canary-secret\n")
    keys.chmod(0o644)
    place.patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    place.patch.setenv("AWS_PROFILE", "museo")
    return made
