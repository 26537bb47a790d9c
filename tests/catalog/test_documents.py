"""The documents catalog over four stores, and what only documents have."""

from uuid import uuid4

import pytest
from lakecv_catalog.codec import FORMAT
from lakecv_catalog.documents import DocumentCatalog
from lakecv_plugins.storage.file import FileStorage
from lakecv_plugins.storage.memory import MemoryStorage
from lakecv_plugins.storage.s3 import S3Storage, _known

from lakecv.canonical import seal
from lakecv.errors import Corrupt, InvalidInput, Kind
from lakecv.records import DID
from lakecv.testing.catalog import CatalogContract, a_claim, a_dataset, a_manifest
from lakecv.testing.fakes import MemoryObjects


class TestInAFolder(CatalogContract):
    @pytest.fixture
    def open_catalog(self, tmp_path):
        return lambda: DocumentCatalog(FileStorage().objects(str(tmp_path)))


class TestInMemory(CatalogContract):
    @pytest.fixture
    def open_catalog(self):
        url = f"memory://{uuid4()}/lake"
        return lambda: DocumentCatalog(MemoryStorage().objects(url))


class TestInABucket(CatalogContract):
    @pytest.fixture
    def open_catalog(self, moto_server, monkeypatch):
        for name, value in moto_server.environment().items():
            monkeypatch.setenv(name, value)
        _known.cache_clear()
        bucket = moto_server.bucket()
        yield lambda: DocumentCatalog(S3Storage().objects(f"s3://{bucket}/lake"))
        _known.cache_clear()

    def test_a_second_listing_reads_the_snapshot_alone(self, open_catalog, monkeypatch):
        made = [open_catalog().register(a_dataset(f"museo:t-{number:03d}"), a_manifest()) for number in range(66)]
        assert list(open_catalog().datasets()) == made
        catalog = open_catalog()
        monkeypatch.setattr(catalog, "_document", None)
        assert list(catalog.datasets()) == made


class TestInTheFake(CatalogContract):
    @pytest.fixture
    def open_catalog(self):
        objects = MemoryObjects()
        return lambda: DocumentCatalog(objects)


class Counting(MemoryObjects):
    calls = 0

    def __getattribute__(self, name):
        if name in {"get", "put", "head", "list", "delete"}:
            object.__setattr__(self, "calls", self.calls + 1)
        return object.__getattribute__(self, name)


def test_every_call_but_a_listing_touches_a_fixed_number_of_objects():
    objects = Counting()
    catalog = DocumentCatalog(objects)
    for number in range(50):
        catalog.register(a_dataset(f"museo:tavola-{number}"), a_manifest())
    objects.calls = 0
    catalog.lookup(DID("museo", "tavola-7"))
    catalog.register(a_dataset("museo:tavola-7"), a_manifest())
    catalog.claim(a_claim("museo:tavola-7"))
    assert objects.calls == 1 + 2 + 1


def test_what_is_no_document_is_not_in_the_catalog():
    objects = MemoryObjects()
    objects.put("catalog/museo/README", b"")
    objects.put("catalog/museo/tavola/notes/dataset.json", b"")
    assert list(DocumentCatalog(objects).search()) == []


def test_a_record_of_a_newer_lakecv_says_so():
    objects = MemoryObjects()
    objects.put("catalog/museo/tavola/dataset.json", seal(b'{"format": "lakecv-dataset-2", "shape": "unheard of"}'))
    with pytest.raises(InvalidInput, match=f"lakecv-dataset-2; this lakecv reads {FORMAT}") as caught:
        DocumentCatalog(objects).lookup(DID("museo", "tavola"))
    assert caught.value.kind is Kind.RECORD_NEWER
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"\xff", b'{"format": 1}', b'{"format": "zarr"}', b'{"format": "lakecv-dataset-1"}', b"[" * 100_000,
     b'{"format": "lakecv-dataset-1", "did": {"scope": "../x", "name": "y"}}'],
)  # fmt: skip
def test_a_damaged_record_is_corrupt(document):
    objects = MemoryObjects()
    sealed = [("tavola", seal(document), Kind.FILE_MALFORMED)] if document.startswith(b"{") else []
    for name, data, kind in (*sealed, ("copia", document, Kind.CHECKSUM_MISMATCH)):
        objects.put(f"catalog/museo/{name}/dataset.json", data)
        with pytest.raises(Corrupt) as caught:
            DocumentCatalog(objects).lookup(DID("museo", name))
        assert caught.value.kind is kind
