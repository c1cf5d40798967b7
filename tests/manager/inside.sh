#!/bin/sh
# The part of ../boot/boot.sh that is the first process in the namespaces of the host: when it ends, they end.
#
# The host is the system as Debian ships it, with the program of the test at /task/test and nothing to do.
set -eu
system=$1 task=$2

# What systemd-nspawn notes about its containers is forgotten with this one.
mount -t tmpfs tmpfs /run
mkdir "$task/layers"
mount -t tmpfs tmpfs "$task/layers"
mkdir "$task/layers/upper" "$task/layers/work" "$task/layers/host"
host=$task/layers/host
mount -t overlay overlay -o "lowerdir=$system,upperdir=$task/layers/upper,workdir=$task/layers/work" "$host"

# Where the system is the one of this very machine, what its owner set up is none of our business.
rm -rf "$host/etc/systemd" "$host/usr/local/lib/systemd" "$host"/etc/rc?.d "$host/var/log/journal"
# Where there is none, systemd would wait for one.
[ -s "$host/etc/machine-id" ] || echo 0123456789abcdef0123456789abcdef >"$host/etc/machine-id"

ip link set lo up
(
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 \
        systemd-nspawn --quiet --directory="$host" --machine=citadel-test --register=no --keep-unit \
        --network-namespace-path=/proc/$$/ns/net --bind-ro="$task/test:/task/test" \
        --boot -- systemd.unit=multi-user.target || true
    touch "$task/ended"
) >>"$task/console" 2>&1 &
read -r _ || true
