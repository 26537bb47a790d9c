"""Adding up what the tasks of a stage left: by a task where it lies, or by the driver; the same bits either way.

What lies near a site is added up there, so that one small object for each site and pass crosses the wide-area link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lakecv.canonical import digest
from lakecv.errors import Corrupt, Kind
from lakecv.execution.bench import Bench
from lakecv.execution.samples import Reading, pack_pick, picked
from lakecv.execution.stages import Done, grow_add, is_tally, pack_tallies, unpack_tallies
from lakecv.job import StageKind
from lakecv.numerics import exact
from lakecv.numerics.sampling import Pick
from lakecv.patience import many
from lakecv.plan import Outcome, Task
from lakecv.sheet import Array, Statistics

__all__ = ["Total", "as_ranges", "from_ranges", "kind_of", "merge_parts", "merge_task"]

_AT_ONCE = 16  # parts in memory: the statistics of a PCA may have 8 MB each


@dataclass(slots=True)
class Total:
    """The sum of parts of one stage: samples, statistics or tallies.  In any order, and in any groups, the same bits.

    ``pixels`` is how many a sample keeps.
    """

    kind: StageKind
    pixels: int = 0
    statistics: Statistics = field(default_factory=dict)
    pick: Pick | None = None

    def add_all(self, parts: Sequence[Outcome], read: Reading) -> None:
        """Add all parts there are, each of one task or of a merge; no more of them is read than is needed."""
        if self.kind is StageKind.SAMPLE:
            self.pick = picked(parts, read, self.pixels)
            return
        wanted = is_tally if self.kind is StageKind.MAP else None
        for start in range(0, len(parts), _AT_ONCE):
            for arrays in many(lambda part: read(part, wanted), parts[start : start + _AT_ONCE]):
                if self.kind is StageKind.REDUCE:
                    self.statistics = exact.add(self.statistics, arrays)
                else:
                    self.statistics = grow_add(self.statistics, unpack_tallies(arrays))

    def arrays(self) -> dict[str, Array]:
        """Give it the form of a part."""
        if self.kind is StageKind.SAMPLE:
            return {} if self.pick is None else pack_pick(self.pick)
        return dict(self.statistics) if self.kind is StageKind.REDUCE else pack_tallies(self.statistics)


def merge_task(like: Task, indices: Iterable[int]) -> Task:
    """Describe the merge of some tasks of a stage; its key follows from which they are, so that it is done once for them."""
    ranges = as_ranges(sorted(indices))
    return Task(
        like.work, f"{like.stage}-merge", StageKind.MERGE, like.link, int(digest(ranges)[:15], 16), like.window, array=like.stage,
        site=like.site, merges=ranges,
    )


def merge_parts(bench: Bench, task: Task) -> Done:
    """Add up, where they lie, what tasks of one stage left in this area."""
    outcomes = [*_records(bench, [f"{task.array}/{index:06d}" for index in from_ranges(task.merges)])]
    total = Total(kind_of(task.array), bench.chain[task.link].workload.sample_pixels)
    sizes: list[int] = []

    def read(part: Outcome, wanted: Callable[[str], bool] | None) -> dict[str, Array]:
        sizes.extend(piece.nbytes for piece in part.pieces if wanted is None or wanted(piece.name))
        return bench.area.arrays(part, wanted)

    total.add_all(outcomes, read)
    return Done(total.arrays(), sum(sizes))


def _records(bench: Bench, keys: Sequence[str]) -> Iterator[Outcome]:
    for key, found in zip(keys, many(bench.area.outcome, keys), strict=True):
        if found is None:
            raise Corrupt(f"{bench.area.url} has no commit record of {key} though it is to be merged", Kind.OBJECT_MISSING)
        yield found


def kind_of(stage: str) -> StageKind:
    """Read the kind of a stage from its name, such as ``0-reduce-003``."""
    return StageKind(stage.split("-")[1] if stage[0].isdigit() else stage)


def as_ranges(numbers: Sequence[int]) -> str:
    """Write rising numbers as ranges.

    Examples
    --------
    >>> as_ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def from_ranges(text: str) -> list[int]:
    """Read what :func:`as_ranges` writes."""
    ends = [tuple(map(int, part.split("-"))) for part in text.split(",") if part]
    return [number for each in ends for number in range(each[0], each[-1] + 1)]
