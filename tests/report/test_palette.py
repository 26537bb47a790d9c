"""Label colors: enough, distinct, legible as lines on the charts' white card."""

from itertools import combinations

from lakecv.report.palette import LABEL_COLORS


def _linear(color):
    channels = [value / 255 for value in bytes.fromhex(color[1:])]
    return [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]


def _luminance(color):
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), _linear(color), strict=True))


def test_twenty_labels_have_twenty_colors():
    assert len(set(LABEL_COLORS)) == len(LABEL_COLORS) == 20


def test_no_two_of_the_first_ten_colors_are_close():
    for one, other in combinations(LABEL_COLORS[:10], 2):
        assert sum((a - b) ** 2 for a, b in zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)) > 45**2


def test_every_color_can_be_seen_on_white():
    assert all(1.05 / (_luminance(color) + 0.05) > 1.8 for color in LABEL_COLORS)
