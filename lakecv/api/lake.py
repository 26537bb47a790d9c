"""A lake and its verbs: what the command line does, for scripts and notebooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakecv import config, registry
from lakecv.annotation import About, Annotations
from lakecv.api import replicating
from lakecv.api.annotating import annotate, annotations_of, check_cluster
from lakecv.api.damages import teller
from lakecv.api.examining import Check, examine
from lakecv.api.fetching import Fetched, fetch_dataset, open_folder
from lakecv.api.jobs import option_cards
from lakecv.api.keeping import Keeper
from lakecv.api.looking import check_target, open_lazy, read_whole
from lakecv.api.registering import Wanted, check_path, check_said, default_name, register
from lakecv.api.selecting import Part
from lakecv.api.spectra import Spectrum, spectrum_of
from lakecv.api.sweeping import Wish as Sweeping
from lakecv.api.sweeping import sweep
from lakecv.api.values import Demo, ModelCard, PluginReport, Registered, Repair, Sweep, Verification
from lakecv.api.working import Asked, Working
from lakecv.config import Profile
from lakecv.cube import Role
from lakecv.errors import InvalidInput, Kind, LakeCVError
from lakecv.plan import Progress
from lakecv.ports import ReadHints
from lakecv.records import DID, Dataset, Rule
from lakecv.site import Site

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Asked", "Lake"]


class Lake(Working):
    """A data lake: a folder (or whatever a storage plugin opens) with its catalog.

    Parameters
    ----------
    url : str, optional
        Where the lake is; else the settings say.
    progress : callable, optional
        Given a :class:`lakecv.plan.Progress` a few times a second; None = shown on the screen in a notebook, else silent.
    **overrides
        Settings for this lake only, such as ``scope="museo"``.

    Examples
    --------
    >>> lake = Lake("./my-lake")  # doctest: +SKIP
    >>> lake.register("scan.npy", "museo:tavola")  # doctest: +SKIP
    >>> run = lake.run("pca+kmeans", "museo:tavola", options={"k": 6})  # doctest: +SKIP
    >>> lake.open(str(run.output)).labels.plot()  # doctest: +SKIP
    """

    # --- data ---------------------------------------------------------------------------------------------------------
    def register(
        self, path: str | Path, did: str | None = None, *, hints: ReadHints | None = None, title: str = "",
        in_place: bool = False, format: str | None = None,  # noqa: A002  (the word of the command line)
        rse: str | None = None, metadata: Mapping[str, str] | None = None,
    ) -> Registered:
        """Bring a file into the lake under a DID; the same content again is a no-op.

        Parameters
        ----------
        path : path
            A file, or the folder of a Zarr store.
        did : str, optional
            ``scope:name``; else ``<your scope>:<stem of the file>``.
        hints : ReadHints, optional
            What the file cannot tell.
        title : str
            Free text.
        in_place : bool
            Leave a Zarr store where it is and only catalog it.
        format : str, optional
            Name of a reader; else what the file looks like.
        rse : str, optional
            Storage element that the data go to, where the catalog has such; else the settings say.
        metadata : mapping, optional
            What the dataset is to be found by, beside what is measured; names of a-z, 0-9 and _.

        Raises
        ------
        InvalidInput, NotFound, Denied, Corrupt
            If the file cannot be used; nothing is left in the lake.
        Conflict
            If the DID names other content.
        """
        name = self._did(did) if did is not None else None
        source = check_path(str(path), self.url)
        name = name or DID(self.scope, default_name(source))
        said = tuple((check_said(key), str(value)) for key, value in (metadata or {}).items())
        wanted = Wanted(source, name, hints or ReadHints(), title, in_place, format, rse or self._settings.rse, said)
        clock = time.monotonic()

        def watch(done: int, total: int) -> None:
            self._watch(Progress("register", "samples", done, total, done, time.monotonic() - clock))

        return register(self.url, self._catalog, wanted, watch)

    def ls(self, scope: str | None = None) -> tuple[Dataset, ...]:
        """List the datasets, sorted by DID."""
        return tuple(self._catalog.datasets(scope))

    def search(self, *conditions: str, scope: str | None = None) -> tuple[Dataset, ...]:
        """List the datasets of which all conditions hold, such as ``channels>=200`` or ``model=pca+kmeans``, sorted by DID."""
        return replicating.find(self._catalog, scope, replicating.conditions_of(conditions))

    def unknown_facts(self, *conditions: str, scope: str | None = None) -> dict[str, str]:
        """Say why a search may have found nothing: names that are no fact of the first dataset, each with the nearest ones."""
        return replicating.unknown_facts(self._catalog, scope, replicating.conditions_of(conditions))

    def replicate(self, did: str, to: str, lifetime_seconds: float | None = None, *, wait: bool = False) -> Rule:
        """Ask for a copy by a rule of the catalog; the same rule again is a no-op.

        Parameters
        ----------
        did : str
            The dataset.
        to : str
            A storage element, or an expression of the catalog such as ``site=CNAF``.
        lifetime_seconds : float, optional
            How long the copy is kept; else it stays.
        wait : bool
            Come back when the copy is there.

        Raises
        ------
        InvalidInput
            If the lake's catalog has no rules (kind ``option-invalid``).
        Unavailable
            While waiting: the rule is stuck (``rse-unreachable``), or Ctrl-C (``interrupted``); it stays in either case.
        """
        rule = replicating.replicate(self._catalog, self._did(did), to, lifetime_seconds)
        return replicating.follow(self._catalog, rule, self._watch) if wait else rule

    def rules(self, did: str) -> tuple[Rule, ...]:
        """List the rules of a dataset, oldest first."""
        return replicating.rules_of(self._catalog, self._did(did))

    def open(self, did: str) -> xr.Dataset:
        """Open a dataset as lazy xarray; every object is checked when it is read."""
        dataset = self.near_first(self.show(did))
        return open_lazy(self.url, dataset, teller(self._catalog, dataset))

    def fetch(self, did: str, to: str | Path) -> Fetched:
        """Write a dataset into a new folder as the Zarr store that it is, every byte proven; all of it or nothing.

        Parameters
        ----------
        did : str
            The dataset.
        to : path
            A folder that does not exist yet, or an empty one.

        Raises
        ------
        Conflict
            If there is something (kind ``output-exists``).
        Corrupt, Unavailable, Denied
            If no replica gives the right bytes.
        """
        dataset = self.near_first(self.show(did))
        return fetch_dataset(self.url, dataset, Path(to), teller(self._catalog, dataset), self._watch)

    @staticmethod
    def open_folder(path: str | Path) -> xr.Dataset:
        """Open what ``fetch`` wrote, or what a plain ``rucio download`` gave; see :func:`lakecv.open_folder`."""
        return open_folder(path)

    def verify(self, did: str) -> Verification:
        """Read every object of a dataset and compare it with the manifest, and the records with each other."""
        return self._keeper().verify(self.show(did))

    def verify_all(self, scope: str | None = None) -> Iterator[Verification]:
        """Verify every dataset, one after the other; one that cannot be looked up is a finding, too."""
        return self._keeper().verify_all(scope)

    def repair(self, did: str, source: str | Path, *, format: str | None = None, dry_run: bool = False) -> Repair:  # noqa: A002  (the word of the command line)
        """Put right what :meth:`verify` proves missing or corrupt; whole objects are never touched.

        Parameters
        ----------
        did : str
            A dataset that lakecv wrote; one that was registered in place is only read.
        source : str or path
            Where the right bytes are: another dataset (such as what ``run(..., again=True)`` made), a folder or url that
            holds the objects under the same keys, or the original file, which is converted again and then removed.
        format : str, optional
            Name of a reader for the original file; else what the file looks like.
        dry_run : bool
            Only say what could be done.

        Raises
        ------
        Denied
            If the dataset lies where lakecv does not write (kind ``forbidden``).
        InvalidInput, NotFound
            If the source is the dataset itself, or nothing.
        """
        return self._keeper().repair(self.show(did), str(source), format, dry_run=dry_run)

    def gc(self, *, remove: bool = False, older_than_seconds: float = 86400.0, scope: str | None = None) -> Sweep:
        """Find what is left over (data that no dataset names, work of published runs) and, where asked, remove it.

        Parameters
        ----------
        remove : bool
            Without it nothing is removed.
        older_than_seconds : float
            What changed since is kept, as is what has no known age; 0 = any age, only where nobody else writes.
        scope : str, optional
            Whose leftovers; else those of your own scope.
        """
        wish = Sweeping(scope or self.scope, older_than_seconds, dry_run=not remove)
        return sweep(self.url, self._objects, self._catalog, wish, self._watch)

    def export(self, did: str, *, array: str, to: str | Path) -> str:
        """Write one array to a file whose ending says the format (png, npy, csv, tif, hdr, fits, h5); never overwrites."""
        from lakecv.report.export import export

        dataset = self.near_first(self.show(did))
        spec = dataset.cube.array(array)
        check_target(Path(to), self.url, dataset)
        names = annotations_of(self._catalog, dataset.did).names if spec.role is Role.LABELS else {}
        whole = read_whole(self.url, dataset, spec, teller(self._catalog, dataset))
        source = f"{dataset.did} sha256 {dataset.digest}"
        export(whole, spec, dataset.cube.axis, Path(to), grid=dataset.cube.grid, names=names, source=source)
        return str(to)

    def annotate(self, did: str, about: str, text: str, *, number: int | None = None) -> Annotations:
        """Say something of a dataset; nothing stored is rewritten, and what was said before is kept.

        Parameters
        ----------
        did : str
            The dataset.
        about : str
            ``cluster`` (its name; shown in the report, in exports), ``note`` or ``title``.
        text : str
            One line.
        number : int, optional
            Which cluster.

        Returns
        -------
        Annotations
            All that was said, and what holds.

        Raises
        ------
        InvalidInput
            If the text cannot be kept, or the dataset has no clusters (kind ``option-invalid``).
        NotFound
            If there is no such cluster (kind ``label-unknown``).
        Denied
            If one may not write in the catalog there.
        """
        if about not in tuple(About) or (about == About.CLUSTER) != (number is not None):
            raise InvalidInput(f"{about!r} cannot be annotated so", Kind.OPTION_INVALID, "say 'cluster' with a number, 'note' or 'title'")
        dataset = self.show(did)
        if number is not None:
            check_cluster(self.url, dataset, number, teller(self._catalog, dataset))
        return annotate(self._catalog, dataset.did, About(about), text, number=number, author=self.scope)

    def annotations(self, did: str) -> Annotations:
        """Gather what people said of a dataset: names of clusters, notes, a title."""
        return annotations_of(self._catalog, self.show(did).did)

    def spectrum(
        self, did: str, *, window: str | None = None, axis: Sequence[str] = (), mask: str | None = None, detector: str | None = None,
    ) -> Spectrum:
        """Mean and sum spectrum of a dataset or of a part of it, with its peaks; a part is named as in :meth:`plan`.

        Of a whole dataset nothing is read; of a part only the chunks that hold some of it.
        """
        dataset = self.near_first(self.show(did))
        part = Part(window, tuple(axis), mask and self._named(mask), detector)
        return spectrum_of(self.url, self._catalog, dataset, part, teller(self._catalog, dataset))

    # --- about --------------------------------------------------------------------------------------------------------
    def sites(self) -> tuple[Site, ...]:
        """List the sites that have a profile."""
        return config.sites(self._settings)

    def site(self, name: str) -> Profile:
        """Find a site's profile by its name, or by the path of its file."""
        return config.profile(name, self._settings)

    def models(self) -> tuple[ModelCard, ...]:
        """List the models that load, with their options."""
        cards = []
        for card in registry.plugins():
            if card.group == "lakecv.models":
                try:
                    model = registry.model(card.name)
                except LakeCVError:
                    continue  # `plugins` says why
                cards.append(ModelCard(card.name, model.version, card.distribution, option_cards(model)))
        return tuple(cards)

    def plugins(self, *, check: bool = False) -> tuple[PluginReport, ...]:
        """List what is plugged in and import none of it; with ``check`` try each by itself: one that fails hides no other."""
        cards = [(card, registry.problem(card) if check else None) for card in registry.plugins()]
        return tuple(
            PluginReport(card.group, card.name, card.distribution, card.version, None if problem is None else not problem, problem or "")
            for card, problem in cards
        )

    def doctor(self) -> tuple[Check, ...]:
        """Look at what decides whether commands work: the lake and its server, the plugins, settings of Dask from outside."""
        return examine(self.url, self._catalog, self._settings.rse)

    def config(self) -> tuple[config.Setting, ...]:
        """List the settings and where each comes from."""
        return tuple(config.show(self._settings))

    @staticmethod
    def demo(folder: str | Path = "./lakecv-demo", *, progress: Callable[[Progress], None] | None = None) -> Demo:
        """Paint a small picture, scan it, cluster it, and say how well the pigments were found."""
        from lakecv.api.demonstrating import play, prepared, with_truth
        from lakecv.demo.paint import paint

        painting = paint()
        lake = Lake(prepared(Path(folder)), progress=progress, scope="demo")
        lake._enrich = with_truth(painting)
        return play(lake, painting, Path(folder))

    def _keeper(self) -> Keeper:
        return Keeper(self.url, self._objects, self._catalog, self._watch)
