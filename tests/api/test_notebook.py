"""Progress in a real notebook kernel."""

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.filterwarnings("default")


def test_a_notebook_shows_one_line_that_ends_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (
        "import numpy as np, lakecv\n"
        "from lakecv.ports import ReadHints\n"
        "np.save('c.npy', np.arange(8 * 8 * 4, dtype='uint16').reshape(8, 8, 4))\n"
        "lake = lakecv.Lake('./lake')\n"
        "done = lake.register('c.npy', 'note:c', hints=ReadHints(dims='y,x,spectral'))\n"
        "lake.open('note:c')"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    shown = [output["data"].get("text/html", "") for output in notebook.cells[0].outputs if "data" in output]
    assert "<progress" in shown[0]
    assert 'value="512" max="512"' in shown[0]
    assert "xr-wrap" in shown[-1]
