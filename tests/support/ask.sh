#!/bin/sh
# Installs the bundle at /bundle on this (throwaway) machine, and keeps in /task/answers what its tools say of it.
#
# /task/NAME is a list, one entry a line, fields between tabs: see machine.rs, which writes them.
set -eu
tab=$(printf '\t')
mkdir /task/answers

# Keeps what a command prints, under a name; and how it ended, unless well.
ask() {
    name=/task/answers/$1
    shift
    "$@" >>"$name" 2>&1 || echo "exit status $?" >>"$name"
}

# What the manifest says the host has.
sed 's/^/u /' /task/users | systemd-sysusers - >/dev/null 2>&1
sed 's/^/g /' /task/groups | systemd-sysusers - >/dev/null 2>&1
while read -r unit; do
    [ -e "/usr/lib/systemd/system/$unit" ] && continue
    case $unit in
    *.service) printf '[Service]\nExecStart=/bin/true\n' ;;
    *) ;;
    esac >"/usr/lib/systemd/system/$unit"
done </task/required_units
while read -r program; do
    [ -e "$program" ] && continue
    mkdir -p "${program%/*}"
    printf '#!/bin/sh\n' >"$program"
    chmod 0755 "$program"
done </task/programs

xargs -r -a /task/sysusers cat | ask sysusers systemd-sysusers -
cp /etc/passwd /etc/group /task/answers/

while IFS=$tab read -r mode owner group file target; do
    install -D -m "$mode" -o "$owner" -g "$group" "/bundle/$file" "$target"
done </task/files
while IFS=$tab read -r target unit; do
    mkdir -p "/etc/systemd/system/$target.wants"
    ln -s "../$unit" "/etc/systemd/system/$target.wants/$unit"
done </task/wanted

# Twice: what is there already must not be in the way.
ask tmpfiles xargs -r -a /task/tmpfiles systemd-tmpfiles --create
ask tmpfiles xargs -r -a /task/tmpfiles systemd-tmpfiles --create
while read -r path; do
    ask paths stat --format "%n$tab%F$tab%a$tab%U$tab%G" "$path"
done </task/directories
while read -r path; do
    ask links readlink "$path"
done </task/links

cd /etc/systemd/system
ask verify xargs -r -a /task/units systemd-analyze verify
ask verify_direct xargs -r -a /task/units systemd-analyze verify --recursive-errors=no
ask security xargs -r -a /task/services systemd-analyze security --offline=true --no-pager
ask udev xargs -r -a /task/udev udevadm verify --no-summary

# Log rotation, first only read, then of a file in every folder that it names; here, not in the systemd folder.
cd /
while read -r file; do
    ask logrotate_debug logrotate --debug "$file"
done </task/logrotate
while read -r pattern; do
    name=$(basename "$pattern" | sed 's/\*/sample/g')
    for folder in ${pattern%/*}/; do
        [ -d "$folder" ] || { echo "no folder for $pattern" >>/task/answers/logrotate; continue; }
        echo "a line" >"$folder$name"
        chown --reference="$folder" "$folder$name"
        echo "$folder$name" >>/tmp/logs
    done
done </task/logs
while read -r file; do
    ask logrotate logrotate --force --state /tmp/logrotate.state "$file"
done </task/logrotate
if [ -e /tmp/logs ]; then
    while read -r log; do
        [ -e "$log.1" ] || [ -e "$log.1.gz" ] || echo "not rotated: $log" >>/task/answers/logrotate
    done </tmp/logs
fi
