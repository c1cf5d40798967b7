#!/bin/sh
# The part of host.sh that is the first process in the namespaces of the host: when it ends, they end.
set -eu
system=$1 task=$2

# What systemd-nspawn notes about its containers is forgotten with this one.
mount -t tmpfs tmpfs /run
mkdir "$task/layers"
mount -t tmpfs tmpfs "$task/layers"
mkdir "$task/layers/upper" "$task/layers/work" "$task/layers/host"
host=$task/layers/host
# Of a folder that is renamed, or a file whose mode changes, everything is to be found in the upper layer.
mount -t overlay overlay -o "lowerdir=$system,upperdir=$task/layers/upper,workdir=$task/layers/work" \
    -o redirect_dir=off,metacopy=off "$host"

# Where the system is the one of this very machine, what its owner set up is none of our business.
rm -rf "$host/etc/systemd" "$host/usr/local/lib/systemd" "$host"/etc/rc?.d "$host/var/log/journal"
# Where there is none, systemd would wait for one.
[ -s "$host/etc/machine-id" ] || echo 0123456789abcdef0123456789abcdef >"$host/etc/machine-id"
cp -R "$task/host" "$host/task"
mount --bind /proc "$host/proc"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 chroot "$host" /bin/sh /task/install.sh >"$task/console" 2>&1
umount "$host/proc"

ip link set lo up
while read -r address; do
    ip address add "$address" dev lo
done <"$task/addresses"

# Lists of devices and addresses that a service may use are programs that run in the kernel. The container gets no
# hierarchy of control groups but the unified one: with others, systemd has no such lists, or does not even start.
boot() {
    for part in payload supervisor; do
        [ ! -d "$(cat "$task/group")/$part" ] || find "$(cat "$task/group")/$part" -depth -type d -exec rmdir {} \;
    done
    set --
    while read -r bind; do
        set -- "$@" --bind-ro="$bind"
    done <"$task/binds"
    (
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 \
            systemd-nspawn --quiet --directory="$host" --machine=citadel-test --register=no --keep-unit \
            --network-namespace-path=/proc/$$/ns/net --capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON \
            --system-call-filter=bpf --bind-ro="$task/layers/upper:/task/upper" "$@" \
            --boot -- systemd.unit=multi-user.target || true
        touch "$task/ended"
    ) >>"$task/console" 2>&1 </dev/null &
}
while read -r _; do
    boot
done
