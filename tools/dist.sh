#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the source tarball coracle-VERSION.tar.gz of HEAD. Equal commits give equal bytes: git archive has the commit's
# time for every file, and gzip keeps none.
# usage: tools/dist.sh FOLDER
set -eu
folder=$1
cd "$(dirname "$0")/.."
version=$(sed -n 's/^project(coracle VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    echo "dist: what is not committed is not in it" >&2
fi
mkdir -p "$folder"
tarball=$folder/coracle-$version.tar.gz
git -c tar.umask=0022 archive --format=tar --prefix="coracle-$version/" HEAD | gzip -9n >"$tarball"
echo "$tarball"
