"""A model that behaves, and things that are no models."""

from dataclasses import dataclass, field

from lakecv.cube import ArraySpec, Role
from lakecv.job import Input, StageKind, Workload
from lakecv.ports import Model
from lakecv.sheet import Result


@dataclass(frozen=True)
class Options:
    """Settings of the mean."""

    gain: float = field(default=1.0, metadata={"help": "factor on the mean"})


class StrangeMean:
    """Mean over the spectral axis."""

    name, version = "strange-mean", "1"
    Options = Options

    def inputs(self, options):
        return (Input("cube"),)

    def workload(self, specs, options):
        main = specs["cube"].main
        mean = ArraySpec("mean", Role.AUXILIARY, ("y", "x"), main.shape[:2], "float32", main.chunks[:2], unit=main.unit)
        return Workload((mean,), stages=(StageKind.MAP,), scratch_nbytes_per_pixel=16)

    def apply(self, sheets, state, options):
        mean = sheets["cube"].main.mean(axis=-1, dtype="float64") * options.gain
        return Result({"mean": mean.astype("float32")})

    def tables(self, state, tallies, options):
        return {}


class NoModel:
    """Has a name, and nothing else that a model has."""

    name = "no-model"


class FailsWhenMade:
    def __init__(self):
        raise ZeroDivisionError("a bug of a stranger")


_: Model = StrangeMean()
