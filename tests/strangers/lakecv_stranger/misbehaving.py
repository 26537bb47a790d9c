"""Models that break their word in ``apply``, each in one way."""

import threading

import numpy as np

from lakecv.sheet import Result
from lakecv_stranger.models import StrangeMean


class Raises(StrangeMean):
    name = "raises"

    def apply(self, sheets, state, options):
        raise ZeroDivisionError("a bug of a stranger")


class Hangs(StrangeMean):
    name = "hangs"

    def apply(self, sheets, state, options):
        threading.Event().wait()


class WrongShape(StrangeMean):
    name = "wrong-shape"

    def apply(self, sheets, state, options):
        return Result({"mean": super().apply(sheets, state, options).arrays["mean"][1:]})


class WrongDtype(StrangeMean):
    name = "wrong-dtype"

    def apply(self, sheets, state, options):
        return Result({"mean": super().apply(sheets, state, options).arrays["mean"].astype("float64")})


class ReturnsNaN(StrangeMean):
    name = "returns-nan"

    def apply(self, sheets, state, options):
        return Result({"mean": np.full_like(super().apply(sheets, state, options).arrays["mean"], np.nan)})


class ReturnsNone(StrangeMean):
    name = "returns-none"

    def apply(self, sheets, state, options):
        return None
