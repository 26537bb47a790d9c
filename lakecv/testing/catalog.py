"""The contract of a catalog, as tests that a plugin author inherits.

A catalog that passes gives a name to the first who asks, forgives a lost reply, and never changes what it has said::

    class TestMyCatalog(CatalogContract):
        @pytest.fixture
        def open_catalog(self, tmp_path): return lambda: MyCatalog(...)
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from lakecv.annotation import About, Annotation
from lakecv.cube import ArraySpec, CubeSpec, Grid, Quantity, Role, SpectralAxis
from lakecv.errors import Conflict, InvalidInput, Kind, NotFound
from lakecv.facts import Condition
from lakecv.ports import Annotates, CatalogBackend
from lakecv.records import DID, Claim, Dataset, Manifest, Replica, StoredObject

__all__ = ["CatalogContract", "a_claim", "a_dataset", "a_manifest", "a_saying"]

_WRITERS = 8


def a_claim(did: str = "museo:tavola", write_id: str = "w1") -> Claim:
    """Make a claim of a run."""
    return Claim(DID.parse(did), "0" * 64, write_id, "2026-01-01T00:00:00Z")


def a_dataset(did: str = "museo:tavola", digest: str = "a" * 64) -> Dataset:
    """Make a record that uses every sort of field: enums, nested values, tuples of pairs, absent values."""
    grid = Grid(120, 160, (0.5, 0.5), "mm", affine=(0.5, 0.0, 1.5, 0.0, -0.5, 2.0))
    axis = SpectralAxis(3, Quantity.ENERGY, "keV", values=(1.0, 1.5, 2.25), names=("Al", "Si", "S"))
    counts = ArraySpec("counts", Role.DATA, ("y", "x", "spectral"), (120, 160, 3), "uint16", (64, 64, 3), limits=(0.0, 7.5))
    mask = ArraySpec("mask", Role.MASK, ("y", "x"), (120, 160), "bool", (64, 64), nodata=1.0)
    return Dataset(
        DID.parse(did), CubeSpec(grid, axis, (counts, mask)), digest, "data/museo/tavola/w1",
        (Replica("local", "data/museo/tavola/w1"), Replica("far", "s3://bucket/x")), 12, 34_567, "2026-01-01T00:00:00Z",
        title="Tavola n° 3, «recto»", metadata=(("author", "Ada"),), arrays_at=(("counts", "a/b"),),
        parents=(("museo:scan", "b" * 64),), made_by="w1",
    )  # fmt: skip


def a_saying(text: str = "lead white", number: int | None = 3, *, did: str = "museo:tavola", second: int = 0, ident: str = "0a1b2c") -> Annotation:
    """Make an annotation: a cluster's name, or without a number a note."""
    about = About.NOTE if number is None else About.CLUSTER
    return Annotation(DID.parse(did), about, text, "user.ada", f"2026-01-01T00:00:{second:02d}.000000Z", ident, number)


def a_manifest() -> Manifest:
    """Make a manifest: what lies at the home of the records that :func:`a_dataset` makes."""
    data = tuple(StoredObject(key, 11, "1b2c03f2", "0a1b2c3d") for key in ("counts/c/0/0/0", "counts/zarr.json", "zarr.json"))
    return Manifest(data, (StoredObject("report.html", 5, "0000001f", "00000001"),))


class CatalogContract:
    """Inherit, and give the fixture ``open_catalog``: each call opens the same, at first empty, catalog."""

    many = 80
    """Datasets, enough that a catalog which keeps an index for its listings makes one; fewer do where it keeps none."""

    @pytest.fixture
    def open_catalog(self) -> Callable[[], CatalogBackend]:
        """Return a function that opens the catalog under test."""
        raise NotImplementedError

    @pytest.fixture
    def catalog(self, open_catalog: Callable[[], CatalogBackend]) -> CatalogBackend:
        """Open the catalog."""
        return open_catalog()

    def dataset(self, did: str = "museo:tavola", digest: str = "a" * 64) -> Dataset:
        """Make a record; override it where the catalog decides on homes and replicas."""
        return a_dataset(did, digest)

    def test_it_is_a_catalog(self, catalog: CatalogBackend) -> None:
        """The protocol is kept."""
        assert isinstance(catalog, CatalogBackend)

    def test_a_free_name_is_claimed(self, catalog: CatalogBackend) -> None:
        """The claim that holds is one's own."""
        assert catalog.claim(a_claim()) == a_claim()

    def test_a_lost_reply_is_no_conflict(self, open_catalog: Callable[[], CatalogBackend]) -> None:
        """Whoever asks again with the same write id has it."""
        open_catalog().claim(a_claim())
        assert open_catalog().claim(a_claim()).write_id == "w1"

    def test_the_second_comer_learns_who_holds_the_name(self, catalog: CatalogBackend) -> None:
        """Whatever their job."""
        catalog.claim(a_claim())
        assert catalog.claim(a_claim(write_id="w2")) == a_claim()

    def test_of_racing_claims_one_wins(self, open_catalog: Callable[[], CatalogBackend]) -> None:
        """All are told the same winner."""
        barrier = Barrier(_WRITERS)

        def ask(number: int) -> str:
            catalog = open_catalog()
            barrier.wait(10)
            return catalog.claim(a_claim(write_id=f"w{number}")).write_id

        with ThreadPoolExecutor(_WRITERS) as pool:
            assert len(set(pool.map(ask, range(_WRITERS)))) == 1

    def test_claims_are_listed_by_scope_and_start_of_name(self, catalog: CatalogBackend) -> None:
        """Sorted, and whether or not the dataset came."""
        for did in ("museo:tavola.kmeans.2", "museo:tavola.kmeans.1", "museo:tavola.pca.1", "museum:tavola.kmeans.1"):
            catalog.claim(a_claim(did))
        found = [str(claim.did) for claim in catalog.claims("museo", "tavola.kmeans.")]
        assert found == ["museo:tavola.kmeans.1", "museo:tavola.kmeans.2"]
        assert list(catalog.claims("nobody", "")) == []

    def test_a_claim_is_not_yet_a_dataset(self, catalog: CatalogBackend) -> None:
        """Nobody sees it by looking for data."""
        catalog.claim(a_claim())
        assert list(catalog.search()) == []
        with pytest.raises(NotFound):
            catalog.lookup(DID("museo", "tavola"))

    def test_what_is_registered_is_found_field_by_field(self, open_catalog: Callable[[], CatalogBackend]) -> None:
        """By any handle."""
        assert open_catalog().register(self.dataset(), a_manifest()) == self.dataset()
        assert open_catalog().lookup(DID("museo", "tavola")) == self.dataset()

    def test_the_same_content_again_is_a_no_op(self, catalog: CatalogBackend) -> None:
        """The record that holds comes back, as it was."""
        catalog.register(self.dataset(), a_manifest())
        assert catalog.register(replace(self.dataset(), created="2027-01-01T00:00:00Z"), a_manifest()) == self.dataset()
        assert [str(did) for did in catalog.search()] == ["museo:tavola"]

    def test_other_content_under_one_name_is_a_conflict(self, catalog: CatalogBackend) -> None:
        """The first record stays."""
        catalog.register(self.dataset(), a_manifest())
        with pytest.raises(Conflict) as caught:
            catalog.register(self.dataset(digest="f" * 64), a_manifest())
        assert caught.value.kind is Kind.DID_MEANS_SOMETHING_ELSE
        assert caught.value.hint
        assert catalog.lookup(DID("museo", "tavola")) == self.dataset()

    def test_an_unknown_name_tells_the_nearest(self, catalog: CatalogBackend) -> None:
        """Among those that exist."""
        catalog.register(self.dataset(), a_manifest())
        with pytest.raises(NotFound, match="museo:tavolo") as caught:
            catalog.lookup(DID("museo", "tavolo"))
        assert caught.value.kind is Kind.DATASET_UNKNOWN
        assert "museo:tavola" in caught.value.hint

    def test_a_search_is_sorted_and_keeps_to_its_scope(self, catalog: CatalogBackend) -> None:
        """The scope ``a`` is not the scope ``ab``; a name may look like a document."""
        dids = ["ab:x", "a:y", "a:x.json", "a:dataset.json", "a:claim.json", "a:x"]
        for did in dids:
            catalog.register(self.dataset(did), a_manifest())
        assert list(catalog.search()) == sorted(map(DID.parse, dids))
        assert list(catalog.search("ab")) == [DID("ab", "x")]
        assert list(catalog.search("nobody")) == []

    @pytest.mark.parametrize(
        ("conditions", "found"),
        [
            (("channels=3",), ["museo:tavola"]), (("channels>2", "quantity=energy", "author=Ada"), ["museo:tavola"]),
            (("channels>=4",), []), (("author!=Ada",), []), (("axis_first<=1.0", "axis_last<2.5"), ["museo:tavola"]),
            (("author>5",), []), (("nobody=1",), []),
        ],
    )  # fmt: skip
    def test_a_search_finds_what_all_conditions_hold_of(
        self, catalog: CatalogBackend, conditions: tuple[str, ...], found: list[str],
    ) -> None:
        """Numbers are compared as numbers; a fact of another type, or none, fits no condition."""
        catalog.register(self.dataset(), a_manifest())
        catalog.claim(a_claim("museo:claimed"))
        where = [Condition.parse(text) for text in conditions]
        assert [str(did) for did in catalog.search("museo", where)] == found
        assert [str(did) for did in catalog.search(None, where)] == found
        assert list(catalog.search("museum", where)) == []

    def test_a_scope_is_a_scope(self, catalog: CatalogBackend) -> None:
        """No scope leads elsewhere."""
        with pytest.raises(InvalidInput):
            list(catalog.search("../a"))
        with pytest.raises(InvalidInput):
            list(catalog.datasets("../a"))

    def test_datasets_are_listed_as_a_lookup_gives_them(self, catalog: CatalogBackend) -> None:
        """Sorted, of one scope or all; a claim is none."""
        dids = ["ab:x", "a:y", "a:x.json", "a:dataset.json", "a:claim.json", "a:x"]
        made = {did: catalog.register(self.dataset(did), a_manifest()) for did in dids}
        catalog.claim(a_claim("a:claimed"))
        assert list(catalog.datasets()) == [made[str(did)] for did in sorted(map(DID.parse, dids))]
        assert list(catalog.datasets("ab")) == [made["ab:x"]]
        assert list(catalog.datasets("nobody")) == []

    def test_a_listing_of_many_datasets_is_never_stale(self, open_catalog: Callable[[], CatalogBackend]) -> None:
        """By any handle, however often it is asked; the scopes do not mix."""
        made = [open_catalog().register(self.dataset(f"museo:t-{number:03d}"), a_manifest()) for number in range(self.many)]
        for number in range(3):
            assert list(open_catalog().datasets()) == made
            assert list(open_catalog().datasets("museum")) == []
            made = [open_catalog().register(self.dataset(f"museo:a-{9 - number}"), a_manifest()), *made]

    def test_a_listing_holds_what_was_registered_before_it_began(self, open_catalog: Callable[[], CatalogBackend]) -> None:
        """And of what is registered meanwhile nothing that is not so."""
        made: list[Dataset] = []
        wanted = [self.dataset(f"museo:t-{number:03d}") for number in range(self.many)]

        def look(_: int) -> bool:
            before = list(made)
            seen = list(open_catalog().datasets())
            return {str(each.did) for each in before} <= {str(each.did) for each in seen} and all(each in wanted for each in seen)

        with ThreadPoolExecutor(_WRITERS) as pool:
            looks = [pool.submit(look, number) for number in range(2)]
            for dataset in wanted:
                made.append(open_catalog().register(dataset, a_manifest()))
                if len(looks) < _WRITERS and all(each.done() for each in looks):
                    looks.append(pool.submit(look, 0))
            assert all(each.result() for each in looks)
        assert list(open_catalog().datasets()) == wanted

    # --- what people say; of a catalog that keeps it ------------------------------------------------------------------
    @pytest.fixture
    def annotated(self, open_catalog: Callable[[], CatalogBackend]) -> Callable[[], Annotates]:
        """Return a function that opens the catalog, in which one dataset is; skips where it keeps no annotations."""

        def opened() -> Annotates:
            catalog = open_catalog()
            if not isinstance(catalog, Annotates):
                pytest.skip("this catalog keeps no annotations")
            return catalog

        opened()
        open_catalog().register(self.dataset(), a_manifest())
        return opened

    def test_what_is_said_is_found_by_any_handle_oldest_first(self, annotated: Callable[[], Annotates]) -> None:
        """Letter by letter, whatever the letters, and whoever came first to the catalog."""
        said = [a_saying("«piombo» & 'x' <b> %_*?", second=1), a_saying('seen: 鉛白 \\ "q"', None, second=2, ident="ff"), a_saying("bianco", second=3)]
        for each in reversed(said):
            annotated().annotate(each)
        assert list(annotated().annotations(DID("museo", "tavola"))) == said

    def test_the_same_saying_again_is_a_no_op(self, annotated: Callable[[], Annotates]) -> None:
        """As where a reply was lost."""
        for _ in range(2):
            annotated().annotate(a_saying())
        assert list(annotated().annotations(DID("museo", "tavola"))) == [a_saying()]

    def test_of_sayings_at_the_same_time_none_is_lost(self, annotated: Callable[[], Annotates]) -> None:
        """Even of one cluster, in the same microsecond."""
        barrier = Barrier(_WRITERS)

        def say(number: int) -> None:
            catalog = annotated()
            barrier.wait(10)
            catalog.annotate(a_saying(f"name {number}", ident=f"{number:06x}"))

        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(say, range(_WRITERS)))
        assert [each.text for each in annotated().annotations(DID("museo", "tavola"))] == [f"name {number}" for number in range(_WRITERS)]

    def test_sayings_of_one_dataset_are_not_those_of_another(
        self, annotated: Callable[[], Annotates], open_catalog: Callable[[], CatalogBackend],
    ) -> None:
        """However much alike their names are."""
        for did in ("museo:tavola.2", "museo:tavola_2", "museum:tavola"):
            open_catalog().register(self.dataset(did), a_manifest())
            annotated().annotate(a_saying(did, did=did))
        assert list(annotated().annotations(DID("museo", "tavola"))) == []
        assert [each.text for each in annotated().annotations(DID("museo", "tavola.2"))] == ["museo:tavola.2"]

    def test_what_is_said_changes_no_record_and_is_no_dataset(
        self, annotated: Callable[[], Annotates], open_catalog: Callable[[], CatalogBackend],
    ) -> None:
        """Nobody who looks for data or claims meets it."""
        claims = list(open_catalog().claims("museo", ""))
        annotated().annotate(a_saying())
        assert open_catalog().lookup(DID("museo", "tavola")) == self.dataset()
        assert list(open_catalog().datasets()) == [self.dataset()]
        assert list(open_catalog().search()) == [DID("museo", "tavola")]
        assert list(open_catalog().claims("museo", "")) == claims
