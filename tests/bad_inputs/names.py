"""Names and titles that nobody should be able to use, or that must do no harm."""

import zarr

from tests.bad_inputs.runs import misbehaving
from tests.bad_inputs.situation import cube


def in_upper_case(place):
    """The same name in other letters is there."""
    place.open().register(place.words["cube"], "museo:Tavola")
    return {"did": "museo:TAVOLA"}


def markup_in_the_title(place):
    """The title of the input is HTML; it is shown in a report."""
    misbehaving(place)

    def shown_as_text(_):
        place.here("run", "strange-mean", "museo:page")
        report = place.folder / "page.html"
        assert place.here("report", "museo:page.strange-mean.1", "--to", str(report)).code == 0
        assert "<script>alert" not in report.read_text()
        assert "&lt;script&gt;alert" in report.read_text()

    place.after.append(shown_as_text)


def escapes_in_a_unit(place):
    """A Zarr attribute that would clear the screen and change the window's title."""
    array = zarr.create_array(str(place.folder / "evil.zarr"), shape=(12, 10, 8), dtype="u2", dimension_names=("y", "x", "band"))
    array[...] = cube()
    array.attrs["units"] = "counts\x1b[2J\x1b]0;owned\x07\u202e"

    def nothing_obeyed(typed):
        shown = place.here("show", "museo:evil")
        assert shown.code == 0
        assert "counts" in shown.out
        assert not set("\x1b\x07\u202e") & set(shown.out + shown.err + typed.err)

    place.after.append(nothing_obeyed)
    return place.folder / "evil.zarr"
