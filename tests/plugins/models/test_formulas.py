import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lakecv_plugins.models.formulas import computed, names_in, renamed

from lakecv.errors import InvalidInput, Kind

NUMBERS = {"a": np.array([1.0, 2.5, -3.0, 0.0]), "b": np.array([4.0, -1.0, 0.5, 0.0])}


@pytest.mark.parametrize(("formula", "expected"), [
    ("(a - b) / (a + b)", lambda a, b: (a - b) / (a + b)),
    ("2 * a ** 2 - -b", lambda a, b: 2 * a**2 + b),
    ("sqrt(abs(a)) + max(a, b) * min(a, 1.5)", lambda a, b: np.sqrt(np.abs(a)) + np.maximum(a, b) * np.minimum(a, 1.5)),
    ("+exp(b) - log(a)", lambda a, b: np.exp(b) - np.log(a)),
])  # fmt: skip
def test_a_formula_is_what_numpy_computes(formula, expected):
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(computed(formula, NUMBERS), expected(**NUMBERS))


operands = st.sampled_from(["a", "b", "0.5", "3", "7e-3"])
formulas = st.recursive(operands, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner), max_leaves=12)


@given(formulas)
def test_any_arithmetic_is_what_python_computes_on_the_same_arrays(formula):
    with np.errstate(all="ignore"):
        expected = eval(formula, {"__builtins__": {}}, {**NUMBERS, "float": float})
    names = names_in(formula)
    if names:  # of numbers alone Python refuses a division by 0, and there is no array to fill
        np.testing.assert_array_equal(computed(formula, NUMBERS), np.broadcast_to(expected, 4))


@given(formulas)
def test_renaming_changes_names_and_not_values(formula):
    swapped = renamed(formula, {"a": "b", "b": "a"})
    if names_in(formula):
        np.testing.assert_array_equal(computed(swapped, {"a": NUMBERS["b"], "b": NUMBERS["a"]}), computed(formula, NUMBERS))


@pytest.mark.parametrize("formula", [
    "", "a +", "a.b", "a[0]", "a if b else 1", "a < b", "lambda: a", "[a]", "'text'", "True", "1j", "a @ b", "a // b", "a % b", "a, b",
    "sqrt(x=a)", "sqrt(*a)", "sqrt", "__import__('os')", "(a).__class__", "open(a)", "a := b", "min(a)", "sqrt(a, b)", "(" * 400 + "a" + ")" * 400,
    "-" * 100 + "a", "a" * 2000,
], ids=lambda formula: formula[:20])  # fmt: skip
def test_all_but_arithmetic_is_refused(formula):
    if formula == "sqrt":  # a name like any other: there is just no such band
        assert names_in(formula) == ("sqrt",)
        return
    with pytest.raises(InvalidInput) as caught:
        names_in(formula)
    assert caught.value.kind is Kind.OPTION_INVALID
    assert len(str(caught.value)) < 200


def test_what_is_given_is_not_changed():
    before = {name: values.copy() for name, values in NUMBERS.items()}
    computed("a", NUMBERS)[:] = 9.0
    assert all(np.array_equal(NUMBERS[name], values) for name, values in before.items())
