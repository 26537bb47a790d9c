"""Formulas of bands: read into a tree, checked against a short list, and computed on arrays; nothing is ever executed.

A formula holds numbers, names, ``+ - * / **``, brackets and the functions of :data:`FUNCTIONS`; all else is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakecv.errors import InvalidInput, Kind, nearest

__all__ = ["FUNCTIONS", "computed", "names_in", "renamed"]

Values = NDArray[np.float64]

FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "sqrt": (1, np.sqrt), "log": (1, np.log), "exp": (1, np.exp), "abs": (1, np.abs), "min": (2, np.minimum), "max": (2, np.maximum),
}
_OPERATIONS: Mapping[type[ast.operator], Callable[..., Any]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power,
}
_LONGEST, _DEEPEST = 1000, 60
_HINT = f"numbers, bands, + - * / **, brackets, {', '.join(FUNCTIONS)}"


def names_in(formula: str) -> tuple[str, ...]:
    """Names of a formula, sorted, after all of it was checked.

    Raises
    ------
    InvalidInput
        If it is no formula, or holds anything but arithmetic (kind ``option-invalid``).

    Examples
    --------
    >>> names_in("(N - R) / (N + R)")
    ('N', 'R')
    """
    found: set[str] = set()
    _check(_tree(formula), formula, found, 0)
    return tuple(sorted(found))


def renamed(formula: str, names: Mapping[str, str]) -> str:
    """Put other names or numbers in the place of names.

    Examples
    --------
    >>> renamed("g * (N - R)", {"g": "2.5", "N": "c7", "R": "c3"})
    '2.5 * (c7 - c3)'
    """
    tree = _tree(formula)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names:
            node.id = names[node.id]
    return ast.unparse(tree)


def computed(formula: str, values: Mapping[str, Values]) -> Values:
    """Compute a formula in float64.

    Parameters
    ----------
    formula : str
        As :func:`names_in` accepts it.
    values : (n,) float64 by name
        Never written to.

    Returns
    -------
    (n,) float64
        Not finite where a division by 0, a root or a logarithm has no value.
    """
    tree = _tree(formula)
    _check(tree, formula, set(), 0)
    shape = np.broadcast_shapes(*(array.shape for array in values.values()))
    with np.errstate(all="ignore"):
        return np.array(np.broadcast_to(_value(tree, values), shape), np.float64)


def _tree(formula: str) -> ast.expr:
    if len(formula) > _LONGEST:
        raise InvalidInput(f"a formula of {len(formula)} letters is too long", Kind.OPTION_INVALID, f"at most {_LONGEST}")
    try:
        return ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as err:
        raise InvalidInput(f"'{_short(formula)}' is no formula", Kind.OPTION_INVALID, _HINT) from err


def _check(node: ast.AST, formula: str, found: set[str], depth: int) -> None:
    """Walk down the tree; what is not on the list ends it."""
    if depth > _DEEPEST:
        raise InvalidInput(f"'{_short(formula)}' is nested too deep", Kind.OPTION_INVALID, f"at most {_DEEPEST} brackets in each other")
    match node:
        case ast.BinOp(left, operation, right) if type(operation) in _OPERATIONS:
            parts: list[ast.AST] = [left, right]
        case ast.UnaryOp(ast.UAdd() | ast.USub(), operand):
            parts = [operand]
        case ast.Constant(value) if type(value) in {int, float}:
            parts = []
        case ast.Name(name):
            found.add(name)
            parts = []
        case ast.Call(ast.Name(name), arguments, []):
            _check_call(name, len(arguments), formula)
            parts = [*arguments]
        case _:
            raise InvalidInput(f"'{_short(formula)}' holds more than arithmetic", Kind.OPTION_INVALID, _HINT)
    for part in parts:
        _check(part, formula, found, depth + 1)


def _check_call(name: str, arguments: int, formula: str) -> None:
    if name not in FUNCTIONS:
        raise InvalidInput(f"'{_short(formula)}' calls '{name}'", Kind.OPTION_INVALID, nearest(name, FUNCTIONS, "functions"))
    if arguments != FUNCTIONS[name][0]:
        raise InvalidInput(f"'{name}' takes {FUNCTIONS[name][0]} values, not {arguments}", Kind.OPTION_INVALID, _HINT)


def _value(node: ast.AST, values: Mapping[str, Values]) -> Any:
    match node:
        case ast.BinOp(left, operation, right):
            return _OPERATIONS[type(operation)](_value(left, values), _value(right, values))
        case ast.UnaryOp(ast.USub(), operand):
            return np.negative(_value(operand, values))
        case ast.UnaryOp(_, operand):
            return _value(operand, values)
        case ast.Call(ast.Name(name), arguments):
            return FUNCTIONS[name][1](*(_value(argument, values) for argument in arguments))
        case ast.Name(name):
            return values[name]
        case ast.Constant(int() | float() as number):
            return np.float64(number)
    raise InvalidInput("a formula holds more than arithmetic", Kind.OPTION_INVALID, _HINT)


def _short(formula: str) -> str:
    return formula if len(formula) <= 60 else f"{formula[:57]}..."  # noqa: PLR2004  (one line of an error)
