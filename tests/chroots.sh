#!/usr/bin/env bash
# Servers that this Debian does not have, or not beside each other: each in a folder to chroot into, from the packages
# of a Debian that has them. Nothing in them is set up or started; the tests copy a folder for each server they start.
# Made once: a folder that is there is left alone, and made anew when what belongs into it changes here.
set -euo pipefail
cd "$(dirname "$0")/.."
roots=target/servers
suite=trixie

missing() {
    echo "tests/chroots.sh: $1: Dovecot 2.4, Cyrus and Courier are not tried" >&2
    if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
}

# What has no name of its own in a folder whose packages were never set up.
users='root:x:0:0::/root:/bin/sh
cyrus:x:901:901::/var/spool/cyrus:/bin/false
courier:x:902:902::/var/lib/courier:/bin/false
dovecot:x:903:903::/run/dovecot:/bin/false
dovenull:x:904:904::/nonexistent:/bin/false
nobody:x:65534:65534::/nonexistent:/bin/false'
groups='root:x:0:
mail:x:8:cyrus
cyrus:x:901:
courier:x:902:
dovecot:x:903:
dovenull:x:904:
nogroup:x:65534:'

make_root() {
    local name=$1 packages=$2 wanted
    wanted=$(printf '%s\n' "$suite" "$packages" "$users" "$groups")
    if [ "$(cat "$roots/$name/made-of" 2>/dev/null)" = "$wanted" ]; then return; fi
    part=$(mktemp -d "$roots/part.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    mmdebstrap --quiet --mode=root --variant=extract --include="$packages" "$suite" "$part/root"
    for link in bin sbin lib lib64; do
        if [ ! -e "$part/root/$link" ]; then ln -s "usr/$link" "$part/root/$link"; fi
    done
    rm -rf "$part"/root/usr/share/{doc,info,locale,man} "$part"/root/var/{cache,lib/apt,lib/dpkg}
    printf '%s\n' "$users" >"$part/root/etc/passwd"
    printf '%s\n' "$groups" >"$part/root/etc/group"
    printf '%s\n' "$wanted" >"$part/root/made-of"
    rm -rf "${roots:?}/$name"
    mv "$part/root" "$roots/$name"
}

if [ "$(id -u)" != 0 ]; then missing "only root can chroot"; fi
if ! command -v mmdebstrap >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap; } \
        >/dev/null || missing "mmdebstrap cannot be installed"
fi
mkdir -p "$roots"
makers=()
make_root dovecot-2.4 dovecot-imapd,dovecot-lmtpd & makers+=($!)
make_root cyrus cyrus-imapd & makers+=($!)
make_root courier courier-imap & makers+=($!)
for maker in "${makers[@]}"; do
    wait "$maker" || missing "a server's folder cannot be made"
done
