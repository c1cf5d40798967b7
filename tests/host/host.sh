#!/bin/sh
# Makes a throwaway host: `host.sh SYSTEM TASK`. It lives until standard input ends, for whatever reason that does; each
# line of standard input boots it.
#
# SYSTEM is the root folder of an installed Debian, and only read. TASK has this script and `inside.sh`; `host`, which the
# host sees as /task, with a script `install.sh` for it; and the lists `addresses`, that the host gets, and `binds`, what it
# sees of this machine. The host's mounts and processes are in namespaces that end with it; its control groups and TASK are
# removed here.
set -eu
system=$1 task=$2

# An interrupt ends whoever holds the other end of standard input, and that ends the host.
trap '' INT TERM HUP

# A control group in each hierarchy that systemd follows processes in: two hosts must not meet in one.
groups=
while IFS=: read -r _ hierarchy path; do
    case $hierarchy in
    '') root=/sys/fs/cgroup/unified && [ -d "$root" ] || root=/sys/fs/cgroup ;;
    name=systemd) root=/sys/fs/cgroup/systemd ;;
    *) continue ;;
    esac
    group=$root/${path#/}/citadel-test-$$
    mkdir "$group"
    groups="$groups $group"
    # Where the first process of the host is found.
    [ -n "$hierarchy" ] || echo "$group" >"$task/group"
done </proc/self/cgroup

(
    for group in $groups; do
        echo 0 >"$group/cgroup.procs"
    done
    exec unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc \
        sh "$task/inside.sh" "$system" "$task"
) || true

for group in $groups; do
    find "$group" -depth -type d -exec rmdir {} \;
done
rm -rf --one-file-system "$task"
