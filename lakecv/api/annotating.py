"""What people say of a dataset: how it is checked, kept by the catalog, and found again."""

from __future__ import annotations

import secrets

from lakecv.annotation import About, Annotation, Annotations, checked_text, moment_after
from lakecv.api.looking import read_whole
from lakecv.cube import Role
from lakecv.errors import InvalidInput, Kind, NotFound
from lakecv.lake_io.copies import Seen, ignore
from lakecv.ports import Annotates, CatalogBackend
from lakecv.records import DID, Dataset
from lakecv.report.pictures import no_data

__all__ = ["annotate", "annotations_of", "check_cluster"]

_CLUSTER_DIMS = {"cluster", "label"}


def annotations_of(catalog: CatalogBackend, did: DID) -> Annotations:
    """Gather what was said of a dataset; nothing where the catalog keeps no annotations."""
    return Annotations.of(did, catalog.annotations(did) if isinstance(catalog, Annotates) else ())


def annotate(catalog: CatalogBackend, did: DID, about: About, text: str, *, number: int | None, author: str) -> Annotations:
    """Say something of a dataset and return all that holds now.

    Raises
    ------
    InvalidInput
        If the text cannot be kept, or the catalog keeps no annotations (kind ``option-invalid``).
    """
    plain = checked_text(about, text)
    if not isinstance(catalog, Annotates):
        raise InvalidInput("the lake's catalog keeps no annotations", Kind.OPTION_INVALID, "lakecv plugins lists the catalogs")
    before = annotations_of(catalog, did)
    made = Annotation(did, about, plain, author, moment_after(before), secrets.token_hex(6), number)
    catalog.annotate(made)
    return Annotations.of(did, (*before.history, made))


def check_cluster(lake: str, dataset: Dataset, number: int, seen: Seen = ignore) -> None:
    """Refuse a cluster that a dataset has not.

    Raises
    ------
    InvalidInput
        If it has no label map (kind ``option-invalid``).
    NotFound
        If it has no cluster of this number (kind ``label-unknown``).
    """
    labels = next((spec for spec in dataset.cube.arrays if spec.role is Role.LABELS and spec.is_image), None)
    if labels is None:
        raise InvalidInput(
            f"{dataset.did} has no label map, so no clusters", Kind.OPTION_INVALID, f"lakecv annotate {dataset.did} note TEXT",
        )
    tables = [spec for spec in dataset.cube.arrays if not spec.is_image and spec.dims[0] in _CLUSTER_DIMS]
    if tables:
        count = tables[0].shape[0]
    else:
        values = read_whole(lake, dataset, labels, seen)
        present = values[values != no_data(labels, values)]
        count = int(present.max()) + 1 if present.size else 0
    if not 0 <= number < count:
        known = f"0 to {count - 1}" if count else "none"
        raise NotFound(f"{dataset.did} has no cluster {number}; it has {known}", Kind.LABEL_UNKNOWN, f"lakecv report {dataset.did} shows them")
