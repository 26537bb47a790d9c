"""The contract of a storage, as tests that a plugin author inherits.

A storage that passes creates and never overwrites, shows an object whole or not at all, and notices a short read::

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def open_objects(self, tmp_path): return lambda: MyStorage().objects(f"mine://{tmp_path}")
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from lakecv.errors import Conflict, Corrupt, InvalidInput, Kind, NotFound
from lakecv.ports import ObjectInfo, ObjectIO

__all__ = ["ODD_KEYS", "UNSAFE_KEYS", "StorageContract"]

UNSAFE_KEYS = ("", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\nb", "a\\b", "a\0b")
"""Keys that could lead out of the url or mean two things; refused everywhere."""
ODD_KEYS = ("a b", "a:b", "é", "a#1", "a?b", "a*", "%2e%2e", "a~", "a$b")
"""Keys with letters that some store, shell or url changes; nothing is written under them."""

_WRITERS = 8
_LARGE = b"spectrum" * (1 << 20)


class StorageContract:
    """Inherit, and give the fixture ``open_objects``: each call opens the same, at first empty, place."""

    @pytest.fixture
    def open_objects(self) -> Callable[[], ObjectIO]:
        """Return a function that opens the place under test."""
        raise NotImplementedError

    @pytest.fixture
    def objects(self, open_objects: Callable[[], ObjectIO]) -> ObjectIO:
        """Open the place."""
        return open_objects()

    def test_it_is_an_object_io_with_a_url(self, objects: ObjectIO) -> None:
        """The protocol is kept."""
        assert isinstance(objects, ObjectIO)
        assert "://" in objects.url

    @pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)), _LARGE], ids=["empty", "zero", "bytes", "8MiB"])
    def test_what_is_put_is_got(self, objects: ObjectIO, data: bytes) -> None:
        """Any bytes of any size come back."""
        objects.put("a/b.c", data)
        assert objects.get("a/b.c") == data
        assert objects.head("a/b.c") == ObjectInfo("a/b.c", len(data))

    def test_another_open_sees_the_same_bytes(self, open_objects: Callable[[], ObjectIO], objects: ObjectIO) -> None:
        """An object belongs to the url, not to the handle."""
        other = open_objects()
        objects.put("a", b"1")
        assert other.get("a") == b"1"

    def test_nothing_is_overwritten(self, objects: ObjectIO) -> None:
        """The second put is a Conflict and changes nothing, even with the same bytes."""
        objects.put("a", b"first")
        for data in (b"second", b"first", _LARGE):
            with pytest.raises(Conflict) as caught:
                objects.put("a", data)
            assert caught.value.kind is Kind.OUTPUT_EXISTS
        assert objects.get("a") == b"first"

    def test_of_racing_writers_one_wins(self, open_objects: Callable[[], ObjectIO]) -> None:
        """However close they come, one put succeeds and its bytes stay."""
        barrier = Barrier(_WRITERS)

        def write(number: int) -> int | None:
            objects = open_objects()
            barrier.wait(10)
            try:
                objects.put("race/winner", b"%d" % number * 1000)
            except Conflict:
                return None
            return number

        with ThreadPoolExecutor(_WRITERS) as pool:
            winners = [number for number in pool.map(write, range(_WRITERS)) if number is not None]
        assert len(winners) == 1
        assert open_objects().get("race/winner") == b"%d" % winners[0] * 1000
        assert [info.key for info in open_objects().list()] == ["race/winner"]

    def test_an_object_is_seen_whole_or_not_at_all(self, open_objects: Callable[[], ObjectIO]) -> None:
        """A reader beside the writer sees no size but the last one."""
        seen, done = set(), Event()

        def read() -> None:
            objects = open_objects()
            while not done.is_set():
                info = objects.head("a")
                seen.add(info.nbytes if info else None)
                seen.update(info.nbytes for info in objects.list())

        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(read)
            open_objects().put("a", _LARGE)
            done.set()
            reader.result(10)
        assert seen <= {None, len(_LARGE)}

    def test_an_absent_object_is_not_found(self, objects: ObjectIO) -> None:
        """Before anything is written too."""
        assert objects.head("a/b") is None
        for read in (lambda: objects.get("a/b"), lambda: objects.get_ranges("a/b", [(0, 1)])):
            with pytest.raises(NotFound) as caught:
                read()
            assert caught.value.kind is Kind.OBJECT_UNKNOWN

    def test_a_folder_is_no_object(self, objects: ObjectIO) -> None:
        """What only has objects below it cannot be read."""
        objects.put("a/b", b"1")
        assert objects.head("a") is None
        with pytest.raises(NotFound):
            objects.get("a")

    def test_ranges_come_back_in_the_order_asked(self, objects: ObjectIO) -> None:
        """Far, near, overlapping, empty, whole and suffix."""
        objects.put("a", _LARGE)
        size = len(_LARGE)
        ranges = [(size - 8, size), (0, 3), (2, 9), (5, 5), (size, size), (0, size), (3 << 20, (3 << 20) + 7)]
        assert objects.get_ranges("a", ranges) == [_LARGE[start:stop] for start, stop in ranges]
        assert objects.get_ranges("a", []) == []

    @pytest.mark.parametrize("past", [(0, 5), (3, 5), (4, 5), (7, 9)])
    def test_a_range_past_the_end_is_a_short_read(self, objects: ObjectIO, past: tuple[int, int]) -> None:
        """Never fewer bytes than asked for."""
        objects.put("a", b"1234")
        with pytest.raises(Corrupt) as caught:
            objects.get_ranges("a", [(0, 2), past])
        assert caught.value.kind is Kind.SHORT_READ

    def test_a_listing_is_sorted_and_goes_by_folders(self, objects: ObjectIO) -> None:
        """The folder ``a`` holds neither ``ab/c`` nor the object ``a.b``."""
        for key in ("ab/c", "a/c", "a.b", "a/b/d", "a-/c", "a/b.c"):
            objects.put(key, key.encode())
        assert [info.key for info in objects.list()] == sorted(("ab/c", "a/c", "a.b", "a/b/d", "a-/c", "a/b.c"))
        assert list(objects.list("a")) == [ObjectInfo(key, len(key)) for key in ("a/b.c", "a/b/d", "a/c")]
        assert list(objects.list("a/")) == list(objects.list("a"))
        assert [info.key for info in objects.list("a/b")] == ["a/b/d"]

    def test_an_empty_folder_lists_nothing(self, objects: ObjectIO) -> None:
        """Neither does one that was never written, nor an object taken for a folder."""
        assert list(objects.list()) == list(objects.list("a")) == []
        objects.put("a", b"1")
        assert list(objects.list("a")) == []

    def test_a_deleted_object_is_gone_and_may_be_deleted_again(self, objects: ObjectIO) -> None:
        """Its name is free again; its neighbours stay."""
        objects.put("a/b", b"1")
        objects.put("a/c", b"1")
        for _ in range(2):
            objects.delete("a/b")
        assert [info.key for info in objects.list()] == ["a/c"]
        objects.put("a/b", b"2")
        assert objects.get("a/b") == b"2"

    @pytest.mark.parametrize("key", [*UNSAFE_KEYS, *ODD_KEYS], ids=repr)
    def test_nothing_is_written_under_an_odd_key(self, objects: ObjectIO, key: str) -> None:
        """The error comes before the bytes."""
        writes: tuple[Callable[[], None], ...] = (lambda: objects.put(key, b"1"), lambda: objects.delete(key))
        for write in writes:
            with pytest.raises(InvalidInput) as caught:
                write()
            assert caught.value.kind is Kind.PATH_MALFORMED
        assert list(objects.list()) == []

    @pytest.mark.parametrize("key", UNSAFE_KEYS, ids=repr)
    def test_nothing_is_read_under_an_unsafe_key(self, objects: ObjectIO, key: str) -> None:
        """No key leads out of the url."""
        objects.put("a/b", b"1")
        for read in (objects.get, objects.head, lambda key: objects.get_ranges(key, [(0, 1)])):
            with pytest.raises(InvalidInput):
                read(key)

    def test_no_listing_leads_out(self, objects: ObjectIO) -> None:
        """A prefix keeps the rules of a key."""
        for prefix in ("..", "../a", "a/../..", "a//b", "/a"):
            with pytest.raises(InvalidInput):
                list(objects.list(prefix))
