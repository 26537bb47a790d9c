"""Two sites with work areas of their own, over one lake: each a batch system's profile whose workers are in this process.

What a driver reads is counted by area, a site can be taken away, and an area can be put out of reach.
"""

from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from lakecv import registry
from lakecv.api import Lake
from lakecv.config.settings import config_folder
from lakecv.errors import Kind, Unavailable
from lakecv.execution import bench, worker
from lakecv.testing.sites import InlinePool

PROFILE = """
executor = "slurm"
near = {near}
max_workers = 2
{work}
[worker]
threads = 1
memory = "2GiB"
{more}
"""
PG, NA = "infn-pg", "infn-na"


def profiles(folder, *, work=True, near=(["local"], ["local"]), more=("", "")):
    """Write the profiles of both sites in place of those that came with lakecv; returns the urls of their work areas."""
    sites = config_folder() / "sites"
    sites.mkdir(parents=True, exist_ok=True)
    urls = {}
    for name, close, extra in zip((PG, NA), near, more, strict=True):
        urls[name] = f"{folder}/near-{name}"
        text = PROFILE.format(near=str(close).replace("'", '"'), work=f'work = "{urls[name]}"' if work else "", more=extra)
        (sites / f"{name}.toml").write_text(text)
    return urls


class Sites:
    """An executor whose pools run tasks in this process; ``seed`` shuffles them, ``ends`` says after how many tasks a site is gone."""

    def __init__(self, seed=None, ends=None):
        self.seed, self.ends, self.done = seed, dict(ends or {}), Counter()

    def job_script(self, _):
        return ""

    @contextmanager
    def pool(self, site, _, work, *__):
        yield _Pool(self, site.name, work)


class _Pool(InlinePool):
    def __init__(self, sites, name, work):
        super().__init__(work, sites.seed)
        self.sites, self.name = sites, name

    def outcomes(self, timeout_seconds):
        for outcome in super().outcomes(timeout_seconds):
            self.sites.done[self.name] += 1
            if self.sites.done[self.name] > self.sites.ends.get(self.name, 10**9):
                raise Unavailable(f"the scheduler of {self.name} is gone", Kind.WORKER_LOST)
            yield outcome


class Watched:
    """The object stores of a process: what was read where, as driver and as worker, and which urls are out of reach."""

    def __init__(self, monkeypatch):
        self.reads, self.nbytes, self.away, self.inside, self.ran = Counter(), Counter(), set(), 0, []
        self._open = registry.open_objects
        monkeypatch.setattr(registry, "open_objects", lambda url: _Objects(self, url, self._open(url)))
        monkeypatch.setattr(worker, "_STAGES", {kind: self._inside(stage) for kind, stage in worker._STAGES.items()})
        bench.open_bench.cache_clear()

    def _inside(self, stage):
        def run(bench, task):
            self.ran.append(task.key)
            self.inside += 1
            try:
                return stage(bench, task)
            finally:
                self.inside -= 1

        return run


class _Objects:
    """A store of which each read is counted."""

    def __init__(self, watched, url, objects):
        self._watched, self._url, self._objects = watched, str(url), objects

    def __getattr__(self, name):
        given = getattr(self._objects, name)
        if name not in {"get", "get_ranges", "put", "list", "head", "delete"}:
            return given

        def call(key="", *more):
            if any(url in self._url for url in self._watched.away):
                raise Unavailable(f"{self._url} does not answer", Kind.STORE_UNREACHABLE)
            found = given(key, *more)
            if name in {"get", "get_ranges"} and not self._watched.inside:
                self._watched.reads[self._url, key.split("/")[0]] += 1
                self._watched.nbytes[self._url, key] += len(found) if name == "get" else sum(map(len, found))
            return found

        return call


def digest(lake, run):
    """Digest of all the data of a result."""
    return lake.show(str(run.output)).digest


def committed(lake, urls):
    """Tasks that have a commit record, in the lake or near a site."""
    records = (path for place in (f"{lake.url}/work", *urls.values()) for path in Path(place).rglob("commits/**/*.json"))
    return {"/".join(path.with_suffix("").parts[-2:]) for path in records}


def left_near(urls):
    """Files that are left near sites."""
    return [path for url in urls.values() for path in Path(url).rglob("*") if path.is_file()]


def lake_of(folder, **settings):
    return Lake(folder, scope="two", **settings)
