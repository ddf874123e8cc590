#!/bin/sh
# Makes the bundles here anew, with rauc 1.8 and mksquashfs 4.5.1 (Debian 12's rauc and squashfs-tools).
# The keys are thrown away: nothing here checks the signatures.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=tests \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

bundle() { # NAME FORMAT COMPRESSION
    mkdir "$work/$1"
    seq 2000 >"$work/$1/rootfs.img"
    {
        printf '[update]\ncompatible=acme,gateway\nversion=2.3.1\nbuild=20261126\n\n'
        [ "$2" = plain ] || printf '[bundle]\nformat=%s\n\n' "$2"
        printf '[image.rootfs]\nfilename=rootfs.img\n'
    } >"$work/$1/manifest.raucm"
    rm -f "$here/$1.raucb"
    rauc bundle --cert="$work/cert.pem" --key="$work/key.pem" --mksquashfs-args="-comp $3" \
        "$work/$1" "$here/$1.raucb" >/dev/null
}

bundle verity verity gzip
for compression in gzip xz zstd lzo; do
    bundle "plain-$compression" plain "$compression"
done
