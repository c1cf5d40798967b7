#!/bin/sh
# Gives a host that is about to boot what bundles expect of it. Neither citadel nor a bundle is installed.
set -eu
sh /task/expected.sh

# The units call the activator. What later parts of it do, a stand-in does in their place.
mkdir -p /opt/site/bin /opt/site/stand-in
install -m 0755 /task/program.py /opt/site/stand-in/citadel-activate
rm -f /opt/site/bin/citadel-activate /usr/local/bin/citadel-activate
cat >/opt/site/bin/citadel-activate <<'END'
#!/bin/sh
case $1 in gpu | monitor | preflight) exec /opt/site/stand-in/citadel-activate "$@" ;; esac
exec /usr/local/bin/citadel-activate "$@"
END
chmod 0755 /opt/site/bin/citadel-activate

install -m 0755 /task/program.py /opt/site/bin/redis-server
if [ -e /etc/systemd/system/redis-server.service ]; then
    printf '[Service]\nType=exec\nExecStart=/opt/site/bin/redis-server\n' >/etc/systemd/system/redis-server.service
fi

# How services behave; see program.py.
mkdir -p /srv/behave
