"""The tree of errors: shape, exit codes, pickling."""

import pickle  # noqa: TID251  (how errors come back from workers)

import pytest

from lakecv import errors
from lakecv.errors import Kind, LakeCVError

EXIT_CODES = {
    "InvalidInput": 2, "NotFound": 3, "Conflict": 4, "Denied": 5, "Unavailable": 6, "Infeasible": 7, "Corrupt": 8,
    "PluginError": 9, "InternalError": 70,
}
CLASSES = [getattr(errors, name) for name in EXIT_CODES]


def test_the_tree_has_one_root_and_one_level():
    assert {cls.__name__: cls.exit_code for cls in LakeCVError.__subclasses__()} == EXIT_CODES


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_the_way_back_from_a_worker(cls):
    error = pickle.loads(pickle.dumps(cls("found 2, expected 3", Kind.CHECKSUM_MISMATCH, "do this")))
    assert (str(error), error.kind, error.hint, error.exit_code) == (
        "found 2, expected 3", "checksum-mismatch", "do this", cls.exit_code,
    )


def test_the_hint_is_a_note_too():
    assert errors.NotFound("x", hint="lakecv ls").__notes__ == ["hint: lakecv ls"]


def test_builtin_handlers_still_work():
    assert issubclass(errors.InvalidInput, ValueError)
    assert issubclass(errors.NotFound, LookupError)


def test_the_drawing_in_the_docstring_is_the_tree():
    for name, code in EXIT_CODES.items():
        assert any(name in line and f" {code} " in line for line in errors.__doc__.splitlines())
