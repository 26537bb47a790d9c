#!/usr/bin/env bash
# Installs the Debian (or Ubuntu) packages of a real Ceph RGW, for ceph.py beside this file: 97 packages, 64 MB to fetch.
# Does nothing where the programs are there already.  A download that fails is tried three times.
set -euo pipefail

packages=(radosgw ceph-mon ceph-osd ceph-mgr ceph-common)

complete() {
    local program
    for program in radosgw radosgw-admin ceph ceph-mon ceph-osd ceph-mgr ceph-authtool monmaptool; do
        command -v "$program" >/dev/null || return 1
    done
}

# A ceph package that was unpacked and not configured has its programs too: they work, so it counts as installed.
complete && exit 0

command -v apt-get >/dev/null || {
    echo "install.sh: no apt-get here: install Ceph's mon, osd, mgr, radosgw and ceph-common (16 or newer) by other means" >&2
    exit 1
}
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "install.sh: needs root or sudo: run as root: apt-get install --no-install-recommends ${packages[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi

get() {
    ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" </dev/null
}

echo "installing ${packages[*]} (once, a minute or two)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2 3; do
    if get update >"$log" 2>&1 && get install --no-install-recommends "${packages[@]}" >>"$log" 2>&1 && complete; then
        exit 0
    fi
    tail -n 5 "$log" >&2
    [ "$try" -lt 3 ] || break
    echo "install.sh: trying again" >&2
    sleep 5
done
echo "install.sh: ${packages[*]} could not be installed; above is what apt-get said" >&2
exit 1
