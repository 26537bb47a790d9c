"""Values to JSON and back."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakecv import canonical
from lakecv.cube import ArraySpec, CubeSpec, Grid, Quantity, Role, SpectralAxis
from lakecv.errors import Corrupt
from lakecv.job import Job, Link
from lakecv.plan import Outcome

scalars = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.text())


@given(st.dictionaries(st.text(min_size=1), scalars), st.integers(0, 2**31))
def test_a_job_comes_back_as_it_was(options, seed):
    job = Job((Link("m", "1", tuple(sorted(options.items()))),), seed, (("a:b", "c"),), "s")
    back = canonical.loads(Job, canonical.dumps(job))
    assert back == job
    assert [type(value) for _, value in back.links[0].options] == [type(value) for _, value in job.links[0].options]


def test_a_cube_comes_back_as_it_was():
    spec = ArraySpec("data", Role.DATA, ("y", "x", "spectral"), (2, 3, 4), "float32", (2, 3, 4), limits=(0.0, 1.5))
    cube = CubeSpec(Grid(2, 3, (0.5, 0.5), "mm"), SpectralAxis(4, Quantity.ENERGY, "keV", 0.0, 0.1), (spec,))
    assert canonical.loads(CubeSpec, canonical.dumps(cube)) == cube


def test_a_none_that_is_not_the_default_is_kept():
    spec = ArraySpec("data", Role.DATA, ("y", "x"), (2, 3), "uint8", (2, 3), compressor=None)
    assert canonical.loads(ArraySpec, canonical.dumps(spec)).compressor is None


def test_not_a_number_has_a_form_that_json_knows():
    spec = ArraySpec("d", Role.DISTANCE, ("y", "x"), (2, 3), "float32", (2, 3), nodata=math.nan)
    text = canonical.dumps(spec)
    json.loads(text, parse_constant=pytest.fail)
    assert math.isnan(canonical.loads(ArraySpec, text).nodata)


def test_equal_values_have_equal_digests_and_others_have_not():
    one, two = Link("m", "1", (("k", 3),)), Link("m", "1", (("k", 4),))
    assert canonical.digest(one) == canonical.digest(Link("m", "1", (("k", 3),)))
    assert canonical.digest(one) != canonical.digest(two)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"task": 3}', '{"nonsense": 1}', "[" * 100_000, "null", "\x00"])
def test_damaged_records_are_corrupt_and_nothing_else(text):
    with pytest.raises(Corrupt):
        canonical.loads(Outcome, text)
