"""A lake and its verbs: what the command line does, for scripts and notebooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from lakecv import config, registry
from lakecv.api import detaching, replicating
from lakecv.api.damages import teller
from lakecv.api.driving import Drive, asked_for, site_named
from lakecv.api.examining import Check, examine
from lakecv.api.fetching import Fetched, fetch_dataset, open_folder
from lakecv.api.jobs import command_of, make_job, option_cards
from lakecv.api.keeping import Keeper
from lakecv.api.learnt import job_with_state, load_states
from lakecv.api.logs import RunLogs
from lakecv.api.looking import check_target, open_lazy, read_artifact, read_whole, write_new
from lakecv.api.notebook import default_watch
from lakecv.api.planning import plan_job
from lakecv.api.rates import known_rates
from lakecv.api.registering import Wanted, check_path, check_said, default_name, register
from lakecv.api.reporting import report_data
from lakecv.api.running import REPORT, Finished, Runs
from lakecv.api.sweeping import Wish as Sweeping
from lakecv.api.sweeping import sweep
from lakecv.api.values import Demo, ModelCard, PluginReport, Registered, Repair, Sweep, Verification
from lakecv.config import Profile
from lakecv.errors import InvalidInput, Kind, LakeCVError, NotFound
from lakecv.execution.workarea import Setup
from lakecv.job import Job, Scalar
from lakecv.lake_io.copies import Seen
from lakecv.lake_io.place import locate
from lakecv.plan import Plan, Progress, Run
from lakecv.planning.placement import choose_replica
from lakecv.ports import ReadHints, StorageElements
from lakecv.records import DID, Access, Dataset, Rule
from lakecv.site import Site

if TYPE_CHECKING:
    import xarray as xr

    from lakecv.report.data import ReportData

__all__ = ["Asked", "Lake"]


class Asked(TypedDict, total=False):
    """What may be said of a run, beside its model and its input; explained at :meth:`Lake.plan`."""

    site: str | None
    options: Mapping[str, Scalar] | None
    seed: int
    state: str | None
    scope: str | None
    to: str | None
    again: bool
    ignore_locality: bool


class Lake:
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

    def __init__(
        self, url: str | Path | None = None, *, progress: Callable[[Progress], None] | None = None, **overrides: Scalar,
    ) -> None:
        given = overrides if url is None else {**overrides, "lake": str(url)}
        self._settings = config.load(**given)
        self.url = self._settings.lake if "://" in self._settings.lake else str(Path(self._settings.lake).absolute())
        self._objects = registry.open_objects(self.url)
        self._catalog = registry.catalog(self._objects, self._settings.catalog)
        self._watch = progress or default_watch()
        self._enrich: Callable[[ReportData], ReportData] = lambda data: data
        self._runs = Runs(self.url, self._objects, self._catalog, self._watch, self._report_page, self._settings.deadline)

    @property
    def scope(self) -> str:
        """Where results go unless another scope is named: as set, else as the catalog says."""
        usual = dict(self._settings.origins).get("scope") == "default"
        return self._catalog.scope if usual and isinstance(self._catalog, StorageElements) else self._settings.scope

    def __repr__(self) -> str:
        return f"Lake({self.url!r})"

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

    def show(self, did: str) -> Dataset:
        """Look a dataset up; NotFound (``dataset-unknown``) with the nearest names."""
        return self._catalog.lookup(self._did(did))

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
        """Write one array to a file whose ending says the format (png, npy, csv); never overwrites."""
        from lakecv.report.export import export

        dataset = self.near_first(self.show(did))
        spec = dataset.cube.array(array)
        check_target(Path(to), self.url, dataset)
        export(read_whole(self.url, dataset, spec, teller(self._catalog, dataset)), spec, dataset.cube.axis, Path(to))
        return str(to)

    # --- runs ---------------------------------------------------------------------------------------------------------
    def plan(
        self, model: str, did: str, *, site: str | None = None, options: Mapping[str, Scalar] | None = None, seed: int = 0,
        state: str | None = None, scope: str | None = None, to: str | None = None, ignore_locality: bool = False,
    ) -> Plan:
        """Plan a run: nothing is computed, nothing written.

        Parameters
        ----------
        model : str
            A model, or a chain such as ``pca+kmeans``.
        did : str
            The input.
        site : str, optional
            Where: a site's name or the path of its profile, or ``auto`` for all that can do it; else the settings say.
        options : mapping, optional
            Of the models; in a chain ``pca.scaling`` names whose.
        seed : int
            Of every random choice.
        state : str, optional
            DID of a result of the same models whose state is applied instead of fitting.
        scope : str, optional
            Of the result; else the settings say.
        to : str, optional
            Storage element that the result goes to; else the one that most of the input is read from.
        ignore_locality : bool
            Do not prefer sites near the data.

        Raises
        ------
        Denied
            If the result may not fit there (kind ``quota-exceeded``).
        """
        dataset = self.show(did)
        job = self._job(model, dataset, options or {}, seed=seed, state=state, scope=scope)
        return replicating.with_room(self._catalog, self._plan(job, dataset, site, to, ignore_locality=ignore_locality))

    def run(
        self, model: str, did: str, *, site: str | None = None, options: Mapping[str, Scalar] | None = None, seed: int = 0,
        state: str | None = None, scope: str | None = None, to: str | None = None, again: bool = False,
        ignore_locality: bool = False,
    ) -> Run:
        """Run a model and publish its result; parameters as in :meth:`plan`.

        A job that is done already is found and nothing moves (``again`` forces a new result); one that was interrupted goes
        on where it was.  A run with failed blocks comes back with ``state`` FAILED and can be resumed.
        """
        run = self._begin(
            model, did, site=site, options=options, seed=seed, state=state, scope=scope, to=to, again=again, ignore_locality=ignore_locality,
        )
        return self._drive(run).to_end()

    def detach(self, model: str, did: str, **asked: Unpack[Asked]) -> detaching.Detached:
        """Begin a run as :meth:`run` does, and leave it to a process of its own, which goes on when this one has ended.

        Where it is done already, or somebody on this machine drives it, nothing is started.

        Raises
        ------
        LakeCVError
            What that process ended with, if it could not begin.
        """
        detaching.check()
        return self._drive(self._begin(model, did, **asked)).detached()

    def resume(self, run: str | None = None, *, site: str | None = None) -> Run:
        """Go on with a run (the newest unfinished one), where it went so far or at another site; what is committed stays so."""
        drive = self._drive(run or self._newest(unfinished=True))
        drive.known()
        if site is not None:
            self._go_by(drive.run, asked_for(site))
        return drive.to_end()

    def attach(self, run: str | None = None) -> Run:
        """Follow a run (the newest) that somebody else drives to its end, and return its record; Ctrl-C leaves the driver alone.

        Raises
        ------
        Unavailable
            If nobody seems to be at work on it (kind ``interrupted``).
        """
        return self._drive(run or self._newest(unfinished=False)).attended()

    def logs(self, run: str | None = None) -> RunLogs:
        """Gather the verdicts and damages of a run (the newest), and the logs of its driver and jobs that lie on this machine."""
        return self._drive(run or self._newest(unfinished=False)).logs()

    def runs(self) -> tuple[Run, ...]:
        """List the runs, oldest first."""
        return self._runs.all()

    def watch(self, run: str | None = None) -> Iterator[Progress]:
        """Follow a run (the newest) from any process: reads commit records only; ends when the run is done or failed."""
        yield from self._runs.follow(run or self._newest(unfinished=False))

    def report(self, name: str, to: str | Path | None = None) -> str:
        """Write the report of a result (DID or run id) to a file and return its path."""
        did = self._did(name) if ":" in name else self._runs.record(name).output
        dataset = self._catalog.lookup(did)
        path = Path(to) if to is not None else Path(f"{did.scope}.{did.name}.html")
        check_target(path, self.url, dataset)
        page = read_artifact(self.url, dataset, REPORT, teller(self._catalog, dataset))
        if to is None and path.exists() and path.read_bytes() == page:
            return str(path)
        write_new(path, page)
        return str(path)

    # --- about --------------------------------------------------------------------------------------------------------
    def sites(self) -> tuple[Site, ...]:
        """List the sites that have a profile."""
        return config.sites(self._settings)

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

    def site(self, name: str) -> Profile:
        """Find a site's profile by its name, or by the path of its file."""
        return config.profile(name, self._settings)

    def job_scripts(self, plan: Plan) -> dict[str, str]:
        """Write what would be submitted for a plan, byte for byte, by site; nothing for a site where nothing is."""
        sites = {share.site: site_named(share.site, plan.site, self._settings) for share in plan.shares}
        scripts = {share.site: registry.site(share.executor).job_script(sites[share.site]) for share in plan.shares}
        return {site: script for site, script in scripts.items() if script}

    @staticmethod
    def demo(folder: str | Path = "./lakecv-demo", *, progress: Callable[[Progress], None] | None = None) -> Demo:
        """Paint a small picture, scan it, cluster it, and say how well the pigments were found."""
        from lakecv.api.demonstrating import play, prepared, with_truth
        from lakecv.demo.paint import paint

        painting = paint()
        lake = Lake(prepared(Path(folder)), progress=progress, scope="demo")
        lake._enrich = with_truth(painting)
        return play(lake, painting, Path(folder))

    # --- wiring -------------------------------------------------------------------------------------------------------
    def near_first(self, dataset: Dataset) -> Dataset:
        """Put the replica first that this site reads fastest; says why where none can be read."""
        if len(dataset.replicas) == 1 and dataset.replicas[0].access is Access.READY:
            return dataset
        best, _ = choose_replica(config.site(self._settings.site, self._settings), dataset.replicas, dataset.nbytes, dataset.did)
        return replace(dataset, replicas=(best, *(each for each in dataset.replicas if each != best)))

    def teller(self, dataset: Dataset) -> Seen:
        """Make what tells the catalog of damage that is met while a dataset is read."""
        return teller(self._catalog, dataset)

    def _keeper(self) -> Keeper:
        return Keeper(self.url, self._objects, self._catalog, self._watch)

    def _did(self, text: str) -> DID:
        try:
            return DID.parse(text)
        except InvalidInput as err:
            if ":" in text or not text:
                raise
            own = DID(self.scope, text)  # says what is wrong with the name itself
            raise InvalidInput(f"{text!r} has no scope", Kind.DID_MALFORMED, f"write {own}") from err

    def _job(
        self, model: str, dataset: Dataset, options: Mapping[str, Scalar], *, seed: int, state: str | None, scope: str | None,
    ) -> Job:
        scope = scope or self.scope
        if state is None:
            return make_job(model, dataset, options=options, seed=seed, scope=scope)
        learnt = self.show(state)
        return job_with_state(self.url, self._catalog, learnt, model, dataset, options=options, seed=seed, scope=scope)

    def _plan(self, job: Job, dataset: Dataset, site: str | None, to: str | None, *, ignore_locality: bool) -> Plan:
        return plan_job(
            job, dataset, settings=self._settings, catalog=self._catalog, rates=known_rates(self._objects),
            site=asked_for(site or self._settings.site), to=to, ignore_locality=ignore_locality,
        )

    def _begin(
        self, model: str, did: str, *, site: str | None = None, options: Mapping[str, Scalar] | None = None, seed: int = 0,
        state: str | None = None, scope: str | None = None, to: str | None = None, again: bool = False, ignore_locality: bool = False,
    ) -> str:
        """Find the run of a job or claim a new one; returns its id."""
        dataset = self.show(did)
        job = self._job(model, dataset, options or {}, seed=seed, state=state, scope=scope)
        plan = self._plan(job, dataset, site, to, ignore_locality=ignore_locality)
        given = load_states(self.url, self.show(state), len(job.links)) if state else ()
        run = self._runs.begin(job, dataset, plan, again=again, command=command_of(job, plan, dataset, to), states=given)
        self._go_by(run, plan.site)
        return run

    def _go_by(self, run: str, site: str) -> None:
        """Have an unfinished run go on at the site that is asked for now, over the blocks that it has."""
        self._runs.go_by(run, site, lambda setup: plan_job(
            setup.plan.job, setup.dataset, settings=self._settings, catalog=self._catalog, rates=known_rates(self._objects), site=site,
            to=setup.plan.home, blocks=setup.plan.blocks,
        ))

    def _drive(self, run: str) -> Drive:
        return Drive(run, self._runs, self._settings, self._watch)

    def _newest(self, *, unfinished: bool) -> str:
        run = self._runs.newest(unfinished=unfinished)
        if run is None:
            what = "unfinished run" if unfinished else "run"
            raise NotFound(f"there is no {what}", Kind.RUN_UNKNOWN, "lakecv runs")
        return run

    def _report_page(self, setup: Setup, run: Run, finished: Finished) -> bytes:
        from lakecv.report.page import render

        home = registry.open_objects(locate(self.url, setup.home))
        seen = teller(self._catalog, setup.dataset)
        return render(self._enrich(report_data(self.url, home, setup, run, finished, seen=seen)))
