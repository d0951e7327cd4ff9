#!/usr/bin/env bash
# The main job in a scratch directory: a server, three devices, an upgrade that
# works and one that is undone. Run it with `make demo`; KEEP=1 leaves it running
# to play with. It listens on loopback only.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/bin
for p in jamesd jamesc jamesd-ctl; do
  [ -x "$bin/$p" ] || { echo "demo: $bin/$p is not built; run 'make demo'" >&2; exit 1; }
done
export PATH=$bin:$PATH

dir=$(mktemp -d "${TMPDIR:-/tmp}/jamesd-demo.XXXXXX")
pids=()
finish() {
  code=$?
  trap - EXIT INT TERM
  if [ -n "${KEEP:-}" ] && [ "$code" = 0 ]; then
    keep
    exit 0
  fi
  [ "${#pids[@]}" = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  if [ "$code" != 0 ]; then
    echo "demo: failed; the end of the server's log:" >&2
    tail -n 5 "$dir/jamesd.log" >&2 2>/dev/null || true
  fi
  rm -rf "$dir"
  exit "$code"
}
keep() {
  cat <<TXT

It is still running, in $dir:
  export PATH=$bin:\$PATH JAMESD_ADDR=$JAMESD_ADDR JAMESD_CA=$JAMESD_CA JAMESD_CERT=$JAMESD_CERT JAMESD_KEY=$JAMESD_KEY
  jamesd-ctl list-devices
End it with: kill ${pids[*]}; rm -rf $dir
TXT
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$dir"

bold=''; dim=''; plain=''
if [ -t 1 ]; then bold=$'\e[1m'; dim=$'\e[2m'; plain=$'\e[0m'; fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
run() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; "$@"; }
# until_true SECONDS COMMAND... runs it until it succeeds.
until_true() {
  local limit=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$limit" ] || { echo "demo: gave up waiting for: $*" >&2; return 1; }
    sleep 0.1
  done
}

say "A certificate authority, a server, an admin and three devices"
run jamesd-ctl pki init --dir pki
run jamesd-ctl pki add-server server --dir pki
run jamesd-ctl pki add-admin admin --dir pki
for d in device-1 device-2 device-3; do run jamesd-ctl pki add-client "$d" --dir pki; done

say "jamesd, with its data in a directory"
jamesd --addr 127.0.0.1:0 --metrics-addr '' --db "$dir/db" \
  --ca pki/ca.crt --cert pki/server.crt --key pki/server.key >jamesd.log 2>&1 &
pids+=($!)
until_true 20 grep -q 'msg=ready' jamesd.log
JAMESD_ADDR=$(sed -n 's/.*listening.* addr="\{0,1\}\(127\.0\.0\.1:[0-9]*\).*/\1/p' jamesd.log | head -n 1)
export JAMESD_ADDR JAMESD_CA=$dir/pki/ca.crt JAMESD_CERT=$dir/pki/admin.crt JAMESD_KEY=$dir/pki/admin.key
echo "listening on $JAMESD_ADDR"

say "jamesc on three devices, each with an install root of its own"
agent() { # ID
  jamesc --addr "$JAMESD_ADDR" --ca pki/ca.crt --cert "pki/$1.crt" --key "pki/$1.key" \
    --install-root "$dir/$1" --state-dir "$dir/$1.state" --system-tags "armv7l,glibc-2.23,systemd" >"$1.log" 2>&1 &
  pids+=($!)
}
for d in device-1 device-2 device-3; do agent "$d"; done
seen() { [ "$(jamesd-ctl list-devices -o json | grep -c '"id"')" = 3 ]; }
until_true 20 seen
run jamesd-ctl list-devices

say "Two versions of a packet with scripts, and a third whose script fails"
version() { # VERSION POSTINST-BODY
  local root=hello-$1
  mkdir -p "$root/usr/bin" "$root/etc/hello"
  printf '#!/bin/sh\necho hello from %s\n' "$1" >"$root/usr/bin/hello"
  chmod 0755 "$root/usr/bin/hello"
  printf 'greeting = %s\n' "$1" >"$root/etc/hello/hello.conf"
  printf '#!/bin/sh\necho "preinst $1 of %s"\n' "$1" >"preinst-$1.sh"
  printf '#!/bin/sh\n%s\n' "$2" >"postinst-$1.sh"
  run jamesd-ctl build-packet "$root" -o "$root.tar.xz"
  run jamesd-ctl add-packet --name hello --tags "$1,armv7l" --data "$root.tar.xz" \
    --preinst "preinst-$1.sh" --postinst "postinst-$1.sh"
}
version v1.0.0 'echo "hello $1ed"'
version v1.1.0 'echo "hello $1ed"'
version v2.0.0 'echo "hello: cannot open /dev/ttyS7: no such device" >&2; exit 7'
run jamesd-ctl list-packets

desire() { # VERSION
  for d in device-1 device-2 device-3; do
    printf -- '---\nid: %s\nsystemtags:\n- armv7l\n- glibc-2.23\n- systemd\napps:\n- name: hello\n  tags:\n  - %s\n' "$d" "$1"
  done >state.yaml
  run jamesd-ctl set-desired-state --file state.yaml
}
all_say() { for d in device-1 device-2 device-3; do "$dir/$d/usr/bin/hello" 2>/dev/null | grep -q "$1" || return 1; done; }
all_in_sync() { [ "$(jamesd-ctl list-devices -o json | grep -c '"in_sync": true')" = 3 ]; }
all_undone() { [ "$(jamesd-ctl list-devices -o json | grep -c '"result": "rolled-back"')" = 3 ]; }

say "Every device shall have hello v1.0.0"
desire v1.0.0
until_true 30 all_say v1.0.0
until_true 30 all_in_sync
run "$dir/device-1/usr/bin/hello"
run jamesd-ctl list-devices

say "Every device shall have hello v1.1.0"
desire v1.1.0
until_true 30 all_say v1.1.0
until_true 30 all_in_sync
run "$dir/device-1/usr/bin/hello"
run jamesd-ctl get-state --id device-1
run jamesd-ctl list-devices

say "Every device shall have hello v2.0.0, whose postinst fails: it is undone"
desire v2.0.0
until_true 30 all_undone
run "$dir/device-1/usr/bin/hello"
run jamesd-ctl list-devices
all_say v1.1.0 || { echo "demo: the old version is not back" >&2; exit 1; }

say "Done"
