"""The examples of docs/planner.md give what the page says: it explains the functions that plan, so they are run."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "planner.md"


def test_every_example_of_the_page_gives_what_it_says():
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    test = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    said = []
    done = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert (done.failed, "".join(said)) == (0, "")
    assert done.attempted > 25
