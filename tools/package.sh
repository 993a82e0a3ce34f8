#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the Debian packages of HEAD: the source tarball, unpacked, with packaging/debian as its debian/. The log is
# build.log. lintian has the last word: whatever it finds is an error.
# usage: tools/package.sh FOLDER
set -eu
cd "$(dirname "$0")/.."
rm -rf "$1"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
tarball=$(tools/dist.sh "$folder")
version=$(basename "$tarball" .tar.gz)
version=${version#coracle-}
mv "$tarball" "$folder/coracle_$version.orig.tar.gz"
tar -xf "$folder/coracle_$version.orig.tar.gz" -C "$folder"
cd "$folder/coracle-$version"
cp -r packaging/debian .
if ! dpkg-buildpackage --build=binary --no-sign >"$folder/build.log" 2>&1; then
    tail -n 30 "$folder/build.log" >&2
    exit 1
fi
cd "$folder"
lintian --info --fail-on=error,warning,info --allow-root ./*.changes
ls ./*.deb
