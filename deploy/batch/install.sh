#!/usr/bin/env bash
# Installs what slurm.py (and, on request, htcondor.py) beside this file start: Debian's (or Ubuntu's) packages.
#
#   install.sh            Slurm and munge: 12 s
#   install.sh htcondor   what `htcondor.py build` needs: mmdebstrap
#
# Does nothing where it is there already.  A download that fails is tried three times.
set -euo pipefail

slurm=(slurmctld slurmd slurm-client munge)
htcondor=(mmdebstrap)

say() { echo "install.sh: $*" >&2; }

has() { # PROGRAM...
    local program
    for program in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || return 1
    done
}

has_slurm() { has munged slurmctld slurmd sbatch squeue scontrol sinfo scancel; }

has_htcondor() { has mmdebstrap; }

get() {
    ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" </dev/null
}

# Debian starts what it installs.  No slurmd of ours: a rule for that lies there while apt-get works, unless there is one of
# somebody else's.
no_services() {
    local rule=/usr/sbin/policy-rc.d
    [ -e "$rule" ] && return
    printf '#!/bin/sh\nexit 101\n' | ${as_root[@]+"${as_root[@]}"} tee "$rule" >/dev/null
    ${as_root[@]+"${as_root[@]}"} chmod 755 "$rule"
    ruled=$rule
}

packages() { # NAME-OF-CHECK PACKAGE...
    local check=$1 try
    shift
    command -v apt-get >/dev/null || {
        say "no apt-get here: install by other means what these packages hold: $*"
        exit 1
    }
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            say "needs root or sudo: run as root: apt-get install --no-install-recommends $*"
            exit 1
        }
        as_root=(sudo)
    fi
    no_services
    echo "installing $* (once, less than a minute)"
    for try in 1 2 3; do
        if get update >"$log" 2>&1 && get install --no-install-recommends "$@" >>"$log" 2>&1 && "$check"; then
            return
        fi
        again "$try"
    done
    say "$* could not be installed; above is what apt-get said"
    exit 1
}

again() { # HOW-OFTEN
    tail -n 5 "$log" >&2
    [ "$1" -lt 3 ] || return 0
    say "trying again"
    sleep 5
}

cleanup() {
    rm -f "$log"
    [ -z "$ruled" ] || ${as_root[@]+"${as_root[@]}"} rm -f "$ruled"
}

case "${1:-slurm}" in
    slurm) check=has_slurm wanted=("${slurm[@]}") ;;
    htcondor) check=has_htcondor wanted=("${htcondor[@]}") ;;
    *) say "unknown: $1; it is 'htcondor', or nothing for Slurm" && exit 2 ;;
esac
as_root=() ruled="" log=""
"$check" && exit 0
log=$(mktemp)
trap cleanup EXIT
packages "$check" "${wanted[@]}"
