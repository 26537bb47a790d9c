"""A methods paragraph: what was computed from what, with which models, options and versions, so that a reader can repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakecv.citation import Reference
from lakecv.job import Link
from lakecv.plan import Run
from lakecv.records import Dataset

__all__ = ["Citation", "CitedModel"]

_SOFTWARE = "lakecv"


@dataclass(frozen=True, slots=True)
class CitedModel:
    """A model of a run, and where its method was published; nothing where the model does not say."""

    link: Link
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """A finished run with its result and its models, as it is written about."""

    run: Run
    output: Dataset
    models: tuple[CitedModel, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every publication once, the software last."""
        said = {each.key: each for model in self.models for each in model.references}
        return (*said.values(), self._software)

    @property
    def bibtex(self) -> str:
        """All references, as entries of a bibliography."""
        return "\n\n".join(each.bibtex for each in self.references)

    @property
    def text(self) -> str:
        """Write the paragraph, in plain text."""
        run, job = self.run, self.run.job
        inputs = _listed([f"{did} (sha256 {digest})" for did, digest in job.inputs])
        sentences = [
            f"{self.output.did} (sha256 {self.output.digest}) was computed from {inputs} with lakecv {self._version} on {(run.finished or run.created)[:10]}.",
            f"{_models(self.models)}.",
            f"The seed of every random choice was {job.seed}.",
        ]
        if job.selection is not None:
            sentences.insert(1, f"Of the input only a part was used: {_listed(job.selection.parts)}.")
        if job.state is not None:
            sentences.insert(-1, f"Nothing was fitted: the state learnt in {job.state[0]} (sha256 {job.state[1]}) was applied.")
        others = [f"{name} {version}" for name, version in run.versions if name != _SOFTWARE]
        if others:
            sentences.append(f"It ran on {_listed(others)}.")
        sentences.append(f"The record of the work is run {run.id}, job sha256 {job.digest}.")
        return " ".join(sentences)

    @property
    def _version(self) -> str:
        return dict(self.run.versions).get(_SOFTWARE, "(version not recorded)")

    @property
    def _software(self) -> Reference:
        return Reference(
            "lakecv", "misc", ("{The lakecv authors}",), "lakecv: spectral datacubes in a data lake", f"version {self._version}", int(self.run.created[:4]),
        )


def _models(models: Sequence[CitedModel]) -> str:
    """Name each model with its version, its references and every option, in the order in which they ran."""
    words = []
    for model in models:
        cited = f" ({'; '.join(each.short for each in model.references)})" if model.references else ""
        options = ", ".join(f"{name} = {value}" for name, value in model.link.options)
        words.append(f"{model.link.model} version {model.link.version}{cited} with {f'the options {options}' if options else 'no options'}")
    return f"The model was {words[0]}" if len(words) == 1 else f"The models were, each on the output of the one before, {'; then '.join(words)}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
