#!/usr/bin/env bash
# Installs what `make demo` and `make check` need, and the packages given as arguments: one
# dpkg-query and nothing more when all of it is there. On a system without apt-get it says
# what is missing and goes on, and the tests then say which programs they lack.
#
# The boot test needs a kernel with its modules. Installing the kernel's package would build an initramfs
# and touch the boot loader; so where /boot has none, the package is unpacked into
# build/kernel instead, and only the parts that a guest with a virtio disk can use.
set -u
cd "$(dirname "$0")/.." || exit 1

packages=(gcc g++ gcc-multilib libc6-dev libcriterion-dev libunwind-dev fio qemu-utils qemu-system-x86 e2fsprogs
    sqlite3 python3 perl busybox-static cpio xz-utils zstd file kmod musl-tools libcap2-bin bsdextrautils
    xxd nbdkit libnbd-bin liburing-dev eatmydata faketime fakeroot "$@")
kernel=build/kernel

say() { echo "deps: $*" >&2; }

# Nothing that is missing stops a person at work; but a test run that counts must have all.
give_up() {
    say "$*"
    [ "${CI-}" = true ] && exit 1
    exit 0
}

have_kernel() {
    local image version base
    for image in "$kernel"/boot/vmlinuz-* /boot/vmlinuz-*; do
        version=${image##*/vmlinuz-}
        base=${image%/boot/*}
        [ -r "$image" ] && [ -e "$base/lib/modules/$version/modules.dep" ] && return 0
    done
    return 1
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    give_up "no apt-get here. Please install what these Debian packages have, if it is missing:" \
        "${packages[*]} linux-image-amd64"
fi

declare -A installed=()
while read -r package state; do
    [[ $state = ?i ]] && installed[$package]=1
done < <(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' "${packages[@]}" 2>/dev/null)
missing=()
for package in "${packages[@]}"; do
    [ -n "${installed[$package]-}" ] || missing+=("$package")
done
want_kernel=no
have_kernel || want_kernel=yes
if [ ${#missing[@]} -eq 0 ] && [ $want_kernel = no ]; then
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || give_up "not root, and no sudo. Please run as root:" \
        "apt-get install ${missing[*]-}${missing[*]+ }linux-image-amd64"
    as_root=(sudo)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@"; }

[ ${#missing[@]} -eq 0 ] || say "installing ${missing[*]}"
apt update || give_up "apt-get update failed"
if [ ${#missing[@]} -gt 0 ]; then
    apt install -y --no-install-recommends "${missing[@]}" >/dev/null ||
        give_up "apt-get could not install: ${missing[*]}"
fi

# The boot test's kernel: the package that linux-image-amd64 stands for.
if [ $want_kernel = yes ]; then
    package=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: //p' | head -n 1)
    [ -n "$package" ] || give_up "no package linux-image-amd64: the boot test has no kernel"
    say "unpacking $package into $kernel"
    rm -rf "$kernel" "$kernel.new"
    mkdir -p "$kernel.new"
    (
        cd "$kernel.new" && apt-get -qq download "$package" 2>/dev/null &&
            dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards './boot/vmlinuz-*' \
                './lib/modules/*/modules.*' './lib/modules/*/kernel/arch' './lib/modules/*/kernel/crypto' \
                './lib/modules/*/kernel/lib' './lib/modules/*/kernel/fs' \
                './lib/modules/*/kernel/drivers/block' './lib/modules/*/kernel/drivers/virtio' &&
            rm -f ./*.deb && PATH=$PATH:/usr/sbin:/sbin depmod -b . "$(ls lib/modules)"
    ) || {
        rm -rf "$kernel.new"
        give_up "cannot unpack $package: the boot test has no kernel"
    }
    mv "$kernel.new" "$kernel"
fi
have_kernel || give_up "no kernel for the boot test"
