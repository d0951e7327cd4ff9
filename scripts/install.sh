#!/bin/sh
# Installs jamesd's programs and systemd units on this machine, or below DESTDIR
# for an image or a package. It starts nothing.
#
#   scripts/install.sh [--from DIR] [server] [agent]
#
# --from DIR   where the built programs are (default: the folder of this script,
#              then bin/ beside it)
# server       jamesd and jamesd-ctl, jamesd.service, /etc/jamesd
# agent        jamesc, jamesc.service, /etc/jamesc
# Without a part, both. DESTDIR (default none) and PREFIX (default /usr/local)
# come from the environment. A configuration that is there is kept.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=$(dirname -- "$here")
DESTDIR=${DESTDIR:-} PREFIX=${PREFIX:-/usr/local}
from='' parts=''

die() { echo "install.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }

while [ $# -gt 0 ]; do
  case $1 in
    --from) [ $# -ge 2 ] || die "--from needs a folder"; from=$2; shift ;;
    server | agent) parts="$parts $1" ;;
    -h | --help) usage; exit 0 ;;
    *) die "$1: not known; see install.sh --help" ;;
  esac
  shift
done
[ -n "$parts" ] || parts='server agent'
if [ -z "$from" ]; then
  for dir in "$here" "$top/bin"; do
    if [ -x "$dir/jamesc" ] || [ -x "$dir/jamesd" ]; then from=$dir; break; fi
  done
fi
[ -n "$from" ] || die "no built programs found; run 'make build' first or say --from DIR"

live() { [ -z "$DESTDIR" ]; }
if live && [ "$(id -u)" != 0 ]; then
  die "installing into $PREFIX needs root; run it with sudo, or set DESTDIR"
fi

# program NAME puts a program in place of a running one: a new file is renamed
# over the old, as a running file cannot be written.
program() {
  [ -x "$from/$1" ] || die "there is no $1 in $from"
  mkdir -p "$DESTDIR$PREFIX/bin"
  install -m 0755 "$from/$1" "$DESTDIR$PREFIX/bin/.$1.new"
  mv -f "$DESTDIR$PREFIX/bin/.$1.new" "$DESTDIR$PREFIX/bin/$1"
  echo "installed $PREFIX/bin/$1"
}

# unit NAME installs a unit with the place of its program in it.
unit() {
  dir=$DESTDIR/etc/systemd/system
  mkdir -p "$dir"
  sed "s|/usr/local/bin/|$PREFIX/bin/|" "$top/systemd/$1.service" > "$dir/.$1.service.new"
  chmod 0644 "$dir/.$1.service.new"
  mv -f "$dir/.$1.service.new" "$dir/$1.service"
  echo "installed /etc/systemd/system/$1.service"
}

# settings NAME installs the settings unless there are some.
settings() {
  mkdir -p "$DESTDIR/etc/$1"
  if [ -e "$DESTDIR/etc/$1/$1.yaml" ]; then
    echo "kept /etc/$1/$1.yaml"
  else
    install -m 0644 "$top/systemd/$1.yaml" "$DESTDIR/etc/$1/$1.yaml"
    echo "installed /etc/$1/$1.yaml"
  fi
}

server_user() {
  if ! id jamesd >/dev/null 2>&1; then
    if command -v useradd >/dev/null 2>&1; then
      useradd --system --user-group --home-dir /var/lib/jamesd --no-create-home --shell /usr/sbin/nologin jamesd
    else
      addgroup -S jamesd 2>/dev/null || true
      adduser -S -D -H -h /var/lib/jamesd -s /sbin/nologin -G jamesd jamesd
    fi
    echo "made the system user jamesd"
  fi
  chown -R root:jamesd /etc/jamesd
  chmod 0750 /etc/jamesd
  find /etc/jamesd -name '*.key' -exec chmod 0640 {} +
}

for part in $parts; do
  case $part in
    server)
      program jamesd
      program jamesd-ctl
      unit jamesd
      settings jamesd
      if live; then server_user; fi
      ;;
    agent)
      program jamesc
      unit jamesc
      settings jamesc
      chmod 0700 "$DESTDIR/etc/jamesc"
      ;;
  esac
done

if live && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
for part in $parts; do
  case $part in
    server) echo "Next: put ca.crt, server.crt and server.key into /etc/jamesd (jamesd-ctl pki), then: systemctl enable --now jamesd" ;;
    agent) echo "Next: put ca.crt, device.crt and device.key into /etc/jamesc, the server's address into /etc/jamesc/jamesc.yaml, then: systemctl enable --now jamesc" ;;
  esac
done
