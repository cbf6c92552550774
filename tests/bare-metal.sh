# Sourced: cargo for a bare-metal target, by the way that this machine offers.
#
# bare_metal_way TARGET     prints `rustup` where the toolchain has the target's library, `debian`
#                           where Debian's compiler can build it from source, else fails
# bare_metal_cargo TARGET … runs cargo for the target that way
#
# shellcheck shell=bash

bare_metal_way() {
    local library
    library=$(rustc --print target-libdir --target "$1" 2>/dev/null || true)
    if [ -n "$library" ] && ls "$library"/libcore-*.rlib >/dev/null 2>&1; then
        echo rustup
    elif [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] &&
        [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/core" ]; then
        echo debian
    else
        echo "no library for target $1: run \`rustup target add $1\`, or tests/setup" >&2
        return 1
    fi
}

bare_metal_cargo() {
    local target=$1 way linker variable
    shift
    way=$(bare_metal_way "$target") || return 1
    if [ "$way" = rustup ]; then
        cargo "$@" --target "$target"
        return
    fi
    # Debian's compiler ships no linker for bare metal; rustup's toolchain has one that does.
    linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
    variable=CARGO_TARGET_$(echo "$target" | tr 'a-z.-' 'A-Z__')_LINKER
    env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 "$variable=$linker" \
        /usr/bin/cargo "$@" -Zbuild-std=core,alloc --target "$target"
}
