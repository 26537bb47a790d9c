"""The methods paragraph on the command line."""

from dataclasses import replace


def test_the_paragraph_names_what_it_takes_to_repeat_the_work(lakecv):
    done = lakecv("cite", "r-0001")
    for text in (
        "user.anna:tavola.pca-kmeans.1 (sha256 " + "ab" * 32, "from museo:tavola (sha256 " + "ab" * 32, "lakecv 0.1.0", "2999-01-02",
        "pca version 1 with the options n = 8; then kmeans version 1 (Lloyd 1982) with the options k = auto, tolerance = 0.0001",
        "seed of every random choice was 0", "numpy 2.4.0", "run r-0001",
    ):  # fmt: skip
        assert text in done.out
    assert "Lloyd, S. P. (1982). Least squares quantization in PCM. IEEE Transactions, 28, 129-137." in done.out
    assert "\n  The lakecv authors (2026). lakecv" in done.out
    assert done.err.strip() == "note: the model 'pca' names no references, or is not installed here"


def test_bibtex_is_printed_alone(lakecv):
    out = lakecv("cite", "r-0001", "--bibtex").out
    assert out.startswith("@article{lloyd1982,\n  author = {Lloyd, S. P.},\n  title = {{Least squares quantization in PCM}},\n")
    assert "  pages = {129--137}\n}\n\n@misc{lakecv," in out
    assert out.endswith("}\n")
    assert "next:" not in out


def test_a_state_that_was_applied_is_named(lakecv, lake):
    found = lake.answers["cite"]
    job = replace(found.run.job, state=("museo:altra.kmeans.1", "cd" * 32))
    lake.answers["cite"] = replace(found, run=replace(found.run, job=job))
    assert f"the state learnt in museo:altra.kmeans.1 (sha256 {'cd' * 32}) was applied" in lakecv("cite", "r-0001").out
