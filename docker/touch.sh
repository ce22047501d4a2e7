#!/bin/sh
# Makes the sources of the workspace newer than what was built of its skeleton, and takes away what only the skeleton has: the
# build context has every source that there is.
set -eu
find . -path ./target -prune -o -name '*.rs' -type f -size -14c -exec rm -f {} +
find . -path ./target -prune -o -name '*.rs' -type f -exec touch {} +
