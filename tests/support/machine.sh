#!/bin/sh
# Starts ask.sh on a throwaway machine: `machine.sh SYSTEM BUNDLE TASK`, in a mount namespace of its own.
#
# SYSTEM is the root folder of an installed Debian. It is only read: whatever is written goes to memory, and is gone
# with the namespace. BUNDLE is seen as /bundle, TASK as /task.
set -eu
system=$1 bundle=$2 task=$3

mkdir "$task/layers"
mount -t tmpfs tmpfs "$task/layers"
mkdir "$task/layers/upper" "$task/layers/work" "$task/layers/root"
root=$task/layers/root
mount -t overlay overlay -o "lowerdir=$system,upperdir=$task/layers/upper,workdir=$task/layers/work" "$root"

mkdir "$root/bundle" "$root/task"
mount --bind -o ro "$bundle" "$root/bundle"
mount --bind "$task" "$root/task"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
# Where the system is the one of this very machine, what its owner set up is none of our business.
rm -rf "$root/etc/systemd/system"

exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 SYSTEMD_COLORS=0 SYSTEMD_LOG_COLOR=0 \
    chroot "$root" /bin/sh /task/ask.sh
