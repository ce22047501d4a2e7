#!/bin/sh
# Puts a program and the libraries that it is linked with into a folder that becomes the root of the image.
#   root.sh PROGRAM FOLDER
set -eu
program=$1
root=$2
mkdir -p "$root/usr/local/bin" "$root/etc" "$root/tmp" /data-of-image
cp "$program" "$root/usr/local/bin/stator"
strip "$root/usr/local/bin/stator"
chmod 1777 "$root/tmp"
# Libraries and the loader, under the very paths that the program asks for.
ldd "$program" | sed -n -e 's/^.* => \(\/[^ ]*\) .*$/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) .*$/\1/p' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp --dereference "$library" "$root$library"
done
# Who runs it, and where names are looked up.
echo 'stator:x:65532:65532:stator:/var/lib/stator:/sbin/nologin' > "$root/etc/passwd"
echo 'stator:x:65532:' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
