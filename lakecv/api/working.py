"""The verbs of a lake that compute: plan, run, detach, resume, attach, watch, logs, report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from lakecv import registry
from lakecv.api import detaching, replicating
from lakecv.api.annotating import annotations_of
from lakecv.api.citing import cite, run_of
from lakecv.api.comparing import Comparison, compare, comparison_picture
from lakecv.api.damages import teller
from lakecv.api.driving import Drive, asked_for, site_named
from lakecv.api.jobs import command_of, make_job
from lakecv.api.learnt import job_with_state, load_states
from lakecv.api.logs import RunLogs
from lakecv.api.looking import check_target, read_artifact, write_new
from lakecv.api.opened import Opened
from lakecv.api.planning import plan_job
from lakecv.api.rates import known_rates
from lakecv.api.running import REPORT
from lakecv.api.selecting import Part, Selected, select
from lakecv.errors import Kind, NotFound
from lakecv.job import Job, Scalar
from lakecv.lake_io.place import is_run
from lakecv.plan import Plan, Progress, Run
from lakecv.records import Dataset
from lakecv.report.methods import Citation
from lakecv.report.naming import named

__all__ = ["Asked", "Working"]


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
    window: str | None
    axis: Sequence[str]
    mask: str | None
    detector: str | None


class Working(Opened):
    """A lake on whose data models are run."""

    def plan(
        self, model: str, did: str, *, site: str | None = None, options: Mapping[str, Scalar] | None = None, seed: int = 0,
        state: str | None = None, scope: str | None = None, to: str | None = None, ignore_locality: bool = False,
        window: str | None = None, axis: Sequence[str] = (), mask: str | None = None, detector: str | None = None,
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
        window : str, optional
            Rows and columns that are read, ``y0:y1,x0:x1``, ends not included; the result has that size.
        axis : sequence of str
            Ranges of the spectral axis that are read, such as ``1.5:20keV`` or ``10:200ch``; one that begins with ``!`` is left out.
        mask : str, optional
            ``DID#array``, ``file#array`` or a file of the image's shape: pixels that are 0 there are left out of everything and have
            no data in the result; ``DID#labels=2,5`` uses those with one of these values.
        detector : str, optional
            Array that is read in place of the main one.

        Raises
        ------
        InvalidInput
            If what is to be read names nothing of the dataset.
        Denied
            If the result may not fit there (kind ``quota-exceeded``).
        """
        dataset = self.show(did)
        selected = self._selected(Part(window, tuple(axis), mask, detector), dataset)
        job = self._job(model, dataset, options or {}, selected, seed=seed, state=state, scope=scope)
        return replicating.with_room(self._catalog, self._plan(job, dataset, site, to, ignore_locality=ignore_locality))

    def run(
        self, model: str, did: str, *, site: str | None = None, options: Mapping[str, Scalar] | None = None, seed: int = 0,
        state: str | None = None, scope: str | None = None, to: str | None = None, again: bool = False,
        ignore_locality: bool = False, window: str | None = None, axis: Sequence[str] = (), mask: str | None = None, detector: str | None = None,
    ) -> Run:
        """Run a model and publish its result; parameters as in :meth:`plan`.

        A job that is done already is found and nothing moves (``again`` forces a new result); one that was interrupted goes
        on where it was.  A run with failed blocks comes back with ``state`` FAILED and can be resumed.
        """
        run = self._begin(
            model, did, site=site, options=options, seed=seed, state=state, scope=scope, to=to, again=again, ignore_locality=ignore_locality,
            window=window, axis=axis, mask=mask, detector=detector,
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
        """Write the report of a result (DID or run id) to a file and return its path.

        The stored report is as the run left it; in the file, clusters have the names that were given to them since, and notes
        and title stand in a section of their own.
        """
        did = self._did(name) if ":" in name else self._runs.record(name).output
        dataset = self._catalog.lookup(did)
        path = Path(to) if to is not None else Path(f"{did.scope}.{did.name}.html")
        check_target(path, self.url, dataset)
        said = annotations_of(self._catalog, did)
        page = named(read_artifact(self.url, dataset, REPORT, teller(self._catalog, dataset)), said)
        if to is None and path.exists() and path.read_bytes() == page:
            return str(path)
        write_new(path, page)
        return str(path)

    def compare(
        self, result: str, truth: str, *, background: str = "0", above: float | None = None, picture: str | Path | None = None,
    ) -> Comparison:
        """Say how far a result agrees with a ground truth or another result; labels are matched one to one.

        Parameters
        ----------
        result, truth : str
            A run, or ``DID#array`` or ``file#array``: a label map, or abundances, of which the largest is the label.
        background : str
            Value that means no label in a map that is no result of lakecv; ``none`` = every value is a label.
        above : float, optional
            Leave out pixels whose largest abundance is not above it.
        picture : path, optional
            PNG to write: truth, result in its colors, and where they differ.

        Raises
        ------
        InvalidInput, NotFound
            If they cannot be compared.
        Conflict
            If the picture exists (kind ``output-exists``).
        """
        found = compare(self.url, self._catalog, self._named(result), self._named(truth), background=background, above=above)
        if picture is not None:
            write_new(Path(picture), comparison_picture(found))
        return found

    def cite(self, name: str) -> Citation:
        """Say how a result (DID or run id) is written about: ``text``, ``references``, ``bibtex``.

        Raises
        ------
        NotFound
            If no run made it, or the run has not finished (kind ``run-unknown``).
        """
        run = run_of(self._catalog.lookup(self._did(name))) if ":" in name else name
        return cite(self._catalog, self._runs.record(run))

    def job_scripts(self, plan: Plan) -> dict[str, str]:
        """Write what would be submitted for a plan, byte for byte, by site; nothing for a site where nothing is."""
        sites = {share.site: site_named(share.site, plan.site, self._settings) for share in plan.shares}
        scripts = {share.site: registry.site(share.executor).job_script(sites[share.site]) for share in plan.shares}
        return {site: script for site, script in scripts.items() if script}

    def _job(
        self, model: str, dataset: Dataset, options: Mapping[str, Scalar], selected: Selected, *, seed: int, state: str | None,
        scope: str | None,
    ) -> Job:
        scope = scope or self.scope
        if state is None:
            job = make_job(model, dataset, options=options, seed=seed, scope=scope, selection=selected.selection)
        else:
            job = job_with_state(
                self.url, self._catalog, self.show(state), model, dataset, options=options, seed=seed, scope=scope, selection=selected.selection,
            )
        source = selected.source
        return job if source is None else replace(job, inputs=(*job.inputs, (str(source.did), source.digest)))

    def _selected(self, part: Part, dataset: Dataset) -> Selected:
        """Hold what is asked for against a dataset; a mask may be the labels of a run's result."""
        return select(replace(part, mask=part.mask and self._named(part.mask)), dataset, self.url, self._catalog)

    def _named(self, text: str) -> str:
        """Name the result of a run in the run's place."""
        name = re.split("[#=]", text, maxsplit=1)[0]
        return f"{self._runs.record(name).output}{text.removeprefix(name)}" if is_run(name) else text

    def _plan(self, job: Job, dataset: Dataset, site: str | None, to: str | None, *, ignore_locality: bool) -> Plan:
        return plan_job(
            job, dataset, settings=self._settings, catalog=self._catalog, rates=known_rates(self._objects),
            site=asked_for(site or self._settings.site), to=to, ignore_locality=ignore_locality,
        )

    def _begin(
        self, model: str, did: str, *, site: str | None = None, options: Mapping[str, Scalar] | None = None, seed: int = 0,
        state: str | None = None, scope: str | None = None, to: str | None = None, again: bool = False, ignore_locality: bool = False,
        window: str | None = None, axis: Sequence[str] = (), mask: str | None = None, detector: str | None = None,
    ) -> str:
        """Find the run of a job or claim a new one; returns its id."""
        dataset = self.show(did)
        selected = self._selected(Part(window, tuple(axis), mask, detector), dataset)
        job = self._job(model, dataset, options or {}, selected, seed=seed, state=state, scope=scope)
        plan = self._plan(job, dataset, site, to, ignore_locality=ignore_locality)
        learnt = load_states(self.url, self.show(state), len(job.links)) if state else ()
        given = {**dict(selected.given), **{f"{number}-given": each for number, each in enumerate(learnt)}}
        run = self._runs.begin(job, dataset, plan, again=again, command=command_of(job, plan, dataset, to), given=given)
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
