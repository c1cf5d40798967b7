#!/bin/sh
# Makes what bundles expect of a host: users, units, mounts, programs, GPUs.
#
# /task/lists/NAME is a list, one entry a line: see expected.rs, which writes them.
set -eu
lists=/task/lists

while read -r user; do
    echo "u $user - \"\" /home/$user"
done <$lists/users >/usr/lib/sysusers.d/host.conf
systemd-sysusers /usr/lib/sysusers.d/host.conf
mkdir -p /etc/systemd/system
while read -r unit; do
    printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n' >"/etc/systemd/system/$unit"
done <$lists/required_units
while read -r mount; do
    mkdir -p "$mount"
    echo "tmpfs $mount tmpfs mode=0755"
done <$lists/mounts >/etc/fstab
# What links of the bundle lead to, on file systems that are empty at each boot.
while read -r target; do
    echo "d $target 0755"
done <$lists/link_targets >/usr/lib/tmpfiles.d/host.conf

# GPUs without a driver: who may open a node hears that there is no device behind it.
cat >>/usr/lib/tmpfiles.d/host.conf <<'END'
c /dev/nvidia0 0666 root root - 195:0
c /dev/nvidia1 0666 root root - 195:1
c /dev/nvidiactl 0666 root root - 195:255
c /dev/nvidia-uvm 0666 root root - 510:0
c /dev/nvidia-uvm-tools 0666 root root - 510:1
END

while read -r program; do
    mkdir -p "${program%/*}"
    rm -f "$program"
    install -m 0755 /task/program.py "$program"
done <$lists/programs
# Folders that a service starts in and does not make itself.
while read -r directory; do
    mkdir -p "$directory"
done <$lists/working_directories
while read -r user; do
    mkdir -p "/home/$user"
    chown -R "$user:$user" "/home/$user"
done <$lists/users
