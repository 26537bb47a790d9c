"""A catalog: two dictionaries that live as long as the process."""

from threading import Lock

from lakecv.errors import Conflict, Kind, NotFound, nearest
from lakecv.facts import facts_of
from lakecv.ports import CatalogPlugin
from lakecv.records import DID


class StrangeCatalog:
    def __init__(self, objects):
        self._lock, self._claims, self._datasets = Lock(), {}, {}

    def claim(self, claim):
        with self._lock:
            return self._claims.setdefault(claim.did, claim)

    def claims(self, scope, prefix):
        return iter([self._claims[did] for did in sorted(self._claims) if did.scope == scope and did.name.startswith(prefix)])

    def register(self, dataset, manifest):
        with self._lock:
            stored = self._datasets.setdefault(dataset.did, dataset)
        if stored.digest != dataset.digest:
            raise Conflict(f"{dataset.did} has other content", Kind.DID_MEANS_SOMETHING_ELSE, "choose another name")
        return stored

    def lookup(self, did):
        if did not in self._datasets:
            hint = nearest(str(did), map(str, self._datasets), "datasets")
            raise NotFound(f"there is no dataset {did}", Kind.DATASET_UNKNOWN, hint)
        return self._datasets[did]

    def search(self, scope=None, where=()):
        wanted = None if scope is None else DID(scope, "any").scope
        found = (did for did in sorted(self._datasets) if wanted in {None, did.scope})
        return (did for did in found if all(condition.holds(facts_of(self._datasets[did])) for condition in where))

    def datasets(self, scope=None):
        return (self._datasets[did] for did in self.search(scope))


_: CatalogPlugin = StrangeCatalog
