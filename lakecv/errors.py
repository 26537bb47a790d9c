"""The one tree of errors, grouped by what a handler does about them.

Every failure a user can meet is one of these, so that one place (the CLI) turns it into a line, a hint and an exit code.

LakeCVError
|- InvalidInput (ValueError)     2   what was given cannot be used; change it
|- NotFound (LookupError)        3   a name that means nothing here; nearest names in the hint
|- Conflict                      4   the name means something else already
|- Denied                        5   the right to do it is missing
|- Unavailable                   6   try again later; the ONLY class that is retried
|- Infeasible                    7   no plan can do it with these resources
|- Corrupt                       8   bytes are not what they were promised to be
|- PluginError                   9   a plugin is absent or breaks its contract
`- InternalError                70   a bug in lakecv
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Conflict",
    "Corrupt",
    "Denied",
    "Infeasible",
    "InternalError",
    "InvalidInput",
    "Kind",
    "LakeCVError",
    "NotFound",
    "PluginError",
    "Unavailable",
    "nearest",
]


class Kind(StrEnum):
    """What happened, for programs; members are only ever added."""

    UNSPECIFIED = "unspecified"
    # InvalidInput
    DID_MALFORMED = "did-malformed"
    PATH_MALFORMED = "path-malformed"
    COMMAND_UNKNOWN = "command-unknown"
    OPTION_UNKNOWN = "option-unknown"
    OPTION_INVALID = "option-invalid"
    AXIS_UNIT_UNKNOWN = "axis-unit-unknown"
    AXIS_MISMATCH = "axis-mismatch"
    AXIS_NOT_MONOTONIC = "axis-not-monotonic"
    CONFIG_INVALID = "config-invalid"
    DIMS_AMBIGUOUS = "dims-ambiguous"
    CUBE_AMBIGUOUS = "cube-ambiguous"
    DTYPE_UNSUPPORTED = "dtype-unsupported"
    SHAPE_INVALID = "shape-invalid"
    NOTHING_VALID = "nothing-valid"
    FORMAT_UNKNOWN = "format-unknown"
    NOT_A_FILE = "not-a-file"
    LINK_ESCAPES = "link-escapes"
    RECORD_NEWER = "record-newer"
    # NotFound
    PATH_UNKNOWN = "path-unknown"
    DATASET_UNKNOWN = "dataset-unknown"
    REPLICA_UNKNOWN = "replica-unknown"
    SITE_UNKNOWN = "site-unknown"
    MODEL_UNKNOWN = "model-unknown"
    PLUGIN_UNKNOWN = "plugin-unknown"
    RSE_UNKNOWN = "rse-unknown"
    SCOPE_UNKNOWN = "scope-unknown"
    RUN_UNKNOWN = "run-unknown"
    ARRAY_UNKNOWN = "array-unknown"
    OBJECT_UNKNOWN = "object-unknown"
    LABEL_UNKNOWN = "label-unknown"
    # Conflict
    DID_MEANS_SOMETHING_ELSE = "did-means-something-else"
    OUTPUT_EXISTS = "output-exists"
    PLAN_CHANGED = "plan-changed"
    INPUT_CHANGED = "input-changed"
    # Denied
    FORBIDDEN = "forbidden"
    STORE_FULL = "store-full"
    CLOCK_SKEW = "clock-skew"
    QUOTA_EXCEEDED = "quota-exceeded"
    TOKEN_EXPIRED = "token-expired"  # noqa: S105  (the name of a kind, not a secret)
    # Unavailable
    STORE_UNREACHABLE = "store-unreachable"
    CATALOG_TIMEOUT = "catalog-timeout"
    RSE_UNREACHABLE = "rse-unreachable"
    WORKER_LOST = "worker-lost"
    QUEUE_DOWN = "queue-down"
    INTERRUPTED = "interrupted"
    # Infeasible
    BLOCK_EXCEEDS_MEMORY = "block-exceeds-memory"
    NO_REPLICA_REACHABLE = "no-replica-reachable"
    STAGING_NEEDED = "staging-needed"
    PROTOCOL_UNKNOWN = "protocol-unknown"
    BATCH_SYSTEM_MISSING = "batch-system-missing"
    JOB_REFUSED = "job-refused"
    VERSIONS_DIFFER = "versions-differ"
    ADDRESS_UNUSABLE = "address-unusable"
    NO_SITE = "no-site"
    # Corrupt
    CHECKSUM_MISMATCH = "checksum-mismatch"
    SHORT_READ = "short-read"
    CODEC_FAILED = "codec-failed"
    FILE_MALFORMED = "file-malformed"
    OBJECT_MISSING = "object-missing"
    SOURCE_CHANGED = "source-changed"
    # PluginError
    MISSING_EXTRA = "missing-extra"
    CONTRACT_BROKEN = "contract-broken"
    LOAD_FAILED = "load-failed"
    # InternalError
    BUG = "bug"


class LakeCVError(Exception):
    """Root of every error that lakecv raises on purpose.

    ``str(error)`` says what was found and what was expected; ``hint`` says what to do, as a command where there is one.
    The extra facts have defaults, so that the error survives pickling on its way back from a worker.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, kind: Kind = Kind.UNSPECIFIED, hint: str = "") -> None:
        super().__init__(message, kind, hint)
        self.kind = Kind(kind)
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidInput(LakeCVError, ValueError):
    """What was given cannot be used as it is."""

    exit_code = 2


class NotFound(LakeCVError, LookupError):
    """A name that means nothing here."""

    exit_code = 3


class Conflict(LakeCVError):
    """The name already means something else; nothing was overwritten."""

    exit_code = 4


class Denied(LakeCVError):
    """The right to read or write is missing."""

    exit_code = 5


class Unavailable(LakeCVError):
    """Something outside did not answer; the only error that is retried."""

    exit_code = 6


class Infeasible(LakeCVError):
    """No plan can do this with the resources that were given."""

    exit_code = 7


class Corrupt(LakeCVError):
    """Bytes are not what was promised of them."""

    exit_code = 8


class PluginError(LakeCVError):
    """A plugin is not installed, does not load or breaks its contract."""

    exit_code = 9


class InternalError(LakeCVError):
    """A bug in lakecv itself."""

    exit_code = 70


def nearest(name: str, known: Iterable[str], what: str) -> str:
    """Write the hint for a name that is not known: the nearest spelling, else the list.

    Examples
    --------
    >>> nearest("kmean", ["kmeans", "pca"], "models")
    "did you mean 'kmeans'?"
    >>> nearest("zzz", ["kmeans", "pca"], "models")
    'models: kmeans, pca'
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"{what}: {', '.join(names[:12])}" if names else f"there are no {what} yet"
