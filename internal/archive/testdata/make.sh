#!/bin/sh
# Makes the archives beside it, with GNU tar 1.34 or later, xz and bzip2: what
# the tests read that the writers of Go cannot make. They are small and kept in
# the repository, so that the tests need none of these tools. Made anew they are
# the same, but for two of the sparse ones, which hold the process id of tar.
set -eu
cd "$(dirname "$0")"
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
export LC_ALL=C TZ=UTC

mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/usr/bin" "$root/empty"
printf 'ExecStart=/usr/bin/app\n' >"$root/etc/systemd/system/app.service"
ln -s /etc/systemd/system/app.service "$root/etc/systemd/system/multi-user.target.wants/app.service"
printf 'binary\n' >"$root/usr/bin/app"
chmod 4755 "$root/usr/bin/app"
ln "$root/usr/bin/app" "$root/usr/bin/app-link"
chmod 1777 "$root/empty"
printf 'spaces\n' >"$root/usr/a name with spaces"
printf 'bytes\n' >"$root/usr/$(printf 'b\377\001%%yte\303\274')"
long=$(printf 'n%.0s' $(seq 120))
mkdir "$root/$long"
printf 'long\n' >"$root/$long/$long"
ln -s "$long/$long" "$root/long-link"
find "$root" -exec touch -h -d '2024-02-29 12:00:00.25' {} +

same="--sort=name --owner=root:0 --group=staff:50"
pax="--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"
# The founding document's command, and each format.
tar cfJ "$here/seed.tar.xz" $same -C "$root/" .
for format in gnu oldgnu; do
	tar cf - $same --format=$format -C "$root" . | xz >"$here/$format.tar.xz"
done
tar cf - $same --format=posix $pax -C "$root" . | bzip2 >"$here/pax.tar.bz2"
# ustar and v7 have no room for the long names.
for format in ustar v7; do
	tar cf - $same --format=$format --exclude='*nnn*' --exclude=long-link -C "$root" . | xz >"$here/$format.tar.xz"
done

# 30 pieces of data between holes: more than one header of the old format holds.
for i in $(seq 0 29); do
	printf "piece %02d" "$i" | dd of="$work/sparse" bs=1 seek=$((i * 65536 + 4096)) conv=notrunc status=none
done
truncate -s 2000000 "$work/sparse"
truncate -s 1000000 "$work/hole"
touch -d '2024-02-29 12:00:00' "$work/sparse" "$work/hole"
cd "$work"
tar cSf - $same --format=gnu sparse hole | xz >"$here/sparse-gnu.tar.xz"
for version in 0.0 0.1 1.0; do
	tar cSf - $same --format=posix $pax --sparse-version=$version sparse hole | xz >"$here/sparse-pax-$version.tar.xz"
done

# Extended attributes; user.equal=sign has to be escaped.
printf 'x\n' >attributes
python3 - <<'END'
import os
os.setxattr('attributes', 'user.note', b'a\0b\xff')
os.setxattr('attributes', 'user.equal=sign', b'1')
os.setxattr('attributes', 'user.empty', b'')
END
touch -d '2024-02-29 12:00:00' attributes
tar cf - $same --format=posix $pax --xattrs attributes | xz >"$here/xattrs.tar.xz"

# A directory that tar is told of twice.
mkdir -p d && printf 'x\n' >d/f && touch -d '2024-02-29 12:00:00' d/f d
tar cf - $same --no-recursion d d/f d | xz >"$here/dir-twice.tar.xz"
