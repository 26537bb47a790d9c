"""docs/cli.md is what the commands say of themselves."""

from pathlib import Path

from lakecv.cli.failures import EXIT_CODES
from lakecv.cli.reference import markdown

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_that_of_these_commands():
    assert PAGE.read_text() == markdown(), "run: python -m lakecv.cli.reference > docs/cli.md"


def test_every_option_of_the_brief_is_on_the_page():
    words = (
        "--title --in-place --format --dims --shape --order --path --axis --pixel-size --detector --mask --scope --site --dry-run "
        "--set --seed --state --again --to --array --folder --lake --debug --version --json --install-completion"
    )
    assert [word for word in words.split() if f"`{word}" not in markdown()] == []


def test_every_class_of_error_has_its_exit_code_on_the_page():
    from lakecv.errors import LakeCVError

    assert {kind.exit_code for kind in LakeCVError.__subclasses__()} <= {code for code, _ in EXIT_CODES}
