#!/bin/sh
# Installs the bundle at /task/bundle on this host, which is about to boot, and whatever the bundle expects of a host.
#
# /task/lists/NAME is a list, one entry a line, fields between tabs: see install.rs, which writes them.
set -eu
tab=$(printf '\t')
lists=/task/lists

sh /task/expected.sh

while IFS=$tab read -r mode file target; do
    install -D -m "$mode" "/task/bundle/$file" "$target"
done <$lists/files
systemd-sysusers
while IFS=$tab read -r owner group target; do
    chown "$owner:$group" "$target"
done <$lists/owners

# Units appear when systemd starts, before it looks for any.
mkdir -p /etc/systemd/system-generators
cat >/etc/systemd/system-generators/bundle <<'END'
#!/bin/sh
while read -r unit; do
    ln -s "/task/bundle/units/$unit" "$1/$unit"
done </task/lists/units
while read -r target unit; do
    mkdir -p "$1/$target.wants"
    ln -s "../$unit" "$1/$target.wants/$unit"
done </task/lists/wanted
END
chmod 0755 /etc/systemd/system-generators/bundle
