"""Settings of one Slurm: which nodes there are, where they listen, and the text of slurm.conf and gres.conf.

Several such Slurms may run on one machine: each has its own ports, key and folder, and a name made of the folder.
"""

# ruff: noqa: INP001  (it lies beside the script that imports it)
from __future__ import annotations

import hashlib
import os
import pwd
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["GRES", "NODES", "SITES", "Node", "cluster_name", "slurm_conf"]

SITES = {"infn-pg": ("pg1", "pg2"), "infn-na": ("na1", "na2"), "gpu": ("gpu1",)}  # partitions and their nodes
NODES = tuple(name for names in SITES.values() for name in names)

# SlurmdTimeout, MessageTimeout: a lost node is seen after 12 s, after 26 s with the usual 10 s for a message; with less, a node that
# is only slow on a busy machine would seem lost too. A node that is back before that: its job is missed after 20 s.
# MinJobAge: how long a job that has ended is told of; there is no accounting to ask later.
# The daemons run in the foreground, so their logs say each line twice.
CONF = """\
ClusterName={cluster}
SlurmctldHost={host}({router})
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={servers}/munge.sock
SlurmctldPort={port}
{bound}StateSaveLocation={servers}/slurmctld
SlurmdSpoolDir={servers}/%n
SlurmctldPidFile={servers}/slurmctld.own.pid
SlurmdPidFile={servers}/%n.own.pid
SlurmctldLogFile={logs}/slurmctld.log
SlurmdLogFile={logs}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
JobRequeue=0
MinJobAge=120
KillWait=5
ReturnToService=2
SlurmdTimeout=5
SlurmctldTimeout=5
MessageTimeout=3
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
GresTypes=gpu
"""
# A device that is everywhere stands for the GPU: jobs that ask for one get CUDA_VISIBLE_DEVICES=0 and nothing behind it.
GRES = "NodeName=gpu1 Name=gpu File=/dev/null\n"


@dataclass(frozen=True)
class Node:
    """Where one slurmd listens, and in which network namespace it and its jobs run (empty: in that of this machine)."""

    name: str
    site: str
    address: str
    port: int
    netns: str = ""

    def line(self, host: str) -> str:
        """Its line in slurm.conf."""
        gres = " Gres=gpu:1" if self.site == "gpu" else ""
        where = f"NodeHostname={host} NodeAddr={self.address} Port={self.port}"
        return f"NodeName={self.name} {where} CPUs=4 RealMemory=8000 Feature={self.site}{gres} State=UNKNOWN\n"


def cluster_name(folder: Path) -> str:
    """Tell the Slurm of a folder from all others: jobs carry it in their environment."""
    return f"lakecv-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def slurm_conf(folder: Path, nodes: Sequence[Node], router: str, port: int) -> str:
    """Write slurm.conf; the controller answers at an address that all nodes can reach."""
    host = socket.gethostname().partition(".")[0]  # slurmctld starts only where this is the host's name
    # Slurm listens on all addresses, or on that of the host's name alone; whoever has not the key is refused in any case
    bound = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\n" if _resolved() == router else ""
    head = CONF.format(
        cluster=cluster_name(folder), host=host, router=router, user=pwd.getpwuid(os.geteuid()).pw_name, port=port, bound=bound,
        servers=folder / "servers", logs=folder / "log",
    )
    partitions = [
        f"PartitionName={site} Nodes={','.join(names)}{' Default=YES' if site == 'infn-pg' else ''} MaxTime=INFINITE State=UP\n"
        for site, names in SITES.items()
    ]
    return head + "".join([node.line(host) for node in nodes] + partitions)


def _resolved() -> str:
    """Address of this host's name; empty if it has none."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""
