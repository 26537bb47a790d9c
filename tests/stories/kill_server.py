"""A fork server for the kill loop: forks a driver for each line it is given, so that a kill costs milliseconds.

It imports everything once and starts no thread and opens no store, so that what it forks is clean; servers and keys are in
the environment, which the children inherit.  Protocol, by lines: ``LAKE LOG SEED`` in, the child's pid out; when the child
has ended, its exit status out (-9 = killed).
"""

import os
import sys
import traceback

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")

import lakecv_plugins.models.kmeans
import lakecv_plugins.models.pca
import lakecv_plugins.storage.file
import lakecv_plugins.storage.s3  # noqa: F401

from lakecv import registry
from lakecv.api import Lake
from lakecv.execution import worker
from lakecv.report import page
from lakecv.testing.sites import InlineSite

OPTIONS = {"k": 3, "components": 3, "pca.scaling": "sqrt", "restarts": 1}


def logged(stage, log):
    """Note each task when its computation begins, so that a second computation shows."""

    def run(bench, task):
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as file:
            file.write(f"{bench.setup.run} {task.key}\n")
        return stage(bench, task)

    return run


def drive(lake, log, seed):
    registry.site = lambda _: InlineSite(seed)
    page.render = lambda _: b"<html></html>"  # a second of drawing, in which no kill could find anything
    worker._STAGES = {kind: logged(stage, log) for kind, stage in worker._STAGES.items()}
    run = Lake(lake, max_workers=2, scope="kill").run("pca+kmeans", "kill:cube", options=OPTIONS)
    assert run.state == "done", run


def serve():
    for line in sys.stdin:
        lake, log, seed = line.split()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                drive(lake, log, int(seed))
                code = 0
            except BaseException:  # noqa: BLE001  (the parent reads the exit status)
                traceback.print_exc()
            finally:
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
