#!/usr/bin/env bash
# Installs what lake.py and ceph.py beside this file start: Debian's (or Ubuntu's) packages of Ceph, PostgreSQL, XRootD and nginx, and
# the Rucio server in an environment of its own ($LAKECV_RUCIO_VENV, else .venv-rucio at the top of the repository; 250 MB).
#
#   install.sh          all
#   install.sh ceph     only what ceph.py needs: 97 packages, 64 MB to fetch
#
# Does nothing where it is there already.  A download that fails is tried three times.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${LAKECV_RUCIO_VENV:-$here/../../.venv-rucio}
ceph=(radosgw ceph-mon ceph-osd ceph-mgr ceph-common)
others=(postgresql xrootd-server xrootd-server-plugins xrootd-client nginx-extras libnginx-mod-http-dav-ext)

say() { echo "install.sh: $*" >&2; }

has_ceph() {
    local program
    for program in radosgw radosgw-admin ceph ceph-mon ceph-osd ceph-mgr ceph-authtool monmaptool; do
        command -v "$program" >/dev/null || return 1
    done
}

has_others() {
    local program module
    for program in xrootd xrdcp xrdfs nginx setpriv; do
        command -v "$program" >/dev/null || return 1
    done
    compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null || return 1
    for module in /usr/lib/nginx /usr/lib64/nginx /usr/share/nginx; do
        [ -e "$module/modules/ngx_http_dav_ext_module.so" ] && return 0
    done
    return 1
}

# Made whole: the file is copied there last, so a change of the versions makes it anew.
has_rucio() { [ -x "$venv/bin/gunicorn" ] && cmp -s "$here/rucio-constraints.txt" "$venv/rucio-constraints.txt"; }

get() {
    ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" </dev/null
}

# Debian starts what it installs.  No PostgreSQL and no nginx of ours: a rule for that lies there while apt-get works, unless there
# is one of somebody else's.
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
    echo "installing $* (once, a minute or two)"
    for try in 1 2 3; do
        if get update >"$log" 2>&1 && get install --no-install-recommends "$@" >>"$log" 2>&1 && "$check"; then
            return
        fi
        again "$try"
    done
    say "$* could not be installed; above is what apt-get said"
    exit 1
}

rucio() {
    local name python="" try
    for name in ${PYTHON:-python3.11 python3 python3.12 python3.13 python}; do
        "$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$name && break
    done
    [ -n "$python" ] || {
        say "Python >= 3.11 with venv is needed for the Rucio server; or say where: PYTHON=/path/to/python3.11"
        exit 1
    }
    echo "setting up the Rucio server in $venv (once, a minute)"
    rm -f "$venv/rucio-constraints.txt"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    for try in 1 2 3; do
        if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -c "$here/rucio-constraints.txt" \
            'rucio[postgresql]==41.5.1' gunicorn==27.0.1 >"$log" 2>&1; then
            cp "$here/rucio-constraints.txt" "$venv/rucio-constraints.txt"
            return
        fi
        again "$try"
    done
    say "the Rucio server could not be installed; above is what pip said"
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

case "${1:-all}" in
    all | ceph) ;;
    *) say "unknown: $1; it is 'ceph', or nothing for all" && exit 2 ;;
esac
as_root=() ruled="" log=""
# A package that was unpacked and not configured has its programs too: they work, so it counts as installed.
if has_ceph && { [ "${1:-all}" = ceph ] || { has_others && has_rucio; }; }; then
    exit 0
fi
log=$(mktemp)
trap cleanup EXIT
has_ceph || packages has_ceph "${ceph[@]}"
[ "${1:-all}" = all ] || exit 0
has_others || packages has_others "${others[@]}"
has_rucio || rucio
