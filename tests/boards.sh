# Sourced: the boards that QEMU emulates, which examples/firmware/boards.txt lists.
#
#     board_target BOARD       prints the target that the board's programs are built for
#     board_memory BOARD       prints the length of its flash and of its RAM
#     board_emulator BOARD     prints the program that emulates it
#     emulate BOARD ELF        becomes the emulator that runs a program on the board, with a clock
#                              that counts instructions
#
# shellcheck shell=bash

BOARD_TABLE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../examples/firmware" && pwd)/boards.txt

_boards() {
    grep -v '^#' "$BOARD_TABLE"
}

# shellcheck disable=SC2034 # For the scripts that source this.
mapfile -t BOARDS < <(_boards | awk '{ print $1 }')
# What they are built for.
# shellcheck disable=SC2034
mapfile -t BOARD_TARGETS < <(_boards | awk '!seen[$3]++ { print $3 }')
# The default board of each target: one of every kind of core, in the order of the trainer's `Core::ALL`.
# shellcheck disable=SC2034
mapfile -t CORES < <(_boards | awk '!seen[$3]++ { print $1 }')

board_target() {
    _boards | awk -v board="$1" '$1 == board { print $3; found = 1 } END { exit !found }'
}

board_memory() {
    _boards | awk -v board="$1" '$1 == board { print $5, $7; found = 1 } END { exit !found }'
}

# Fails where it is not installed.
board_emulator() {
    local qemu=qemu-system-arm
    [ "$1" != virt ] || qemu=qemu-system-riscv32
    if ! command -v "$qemu"; then
        echo "$qemu is missing; tests/setup installs it" >&2
        return 1
    fi
}

emulate() {
    local board=$1 elf=$2 qemu machine=() icount=6
    qemu=$(board_emulator "$board") || return 1
    if [ "$board" = virt ]; then
        machine=(-bios none)
        icount=0
    fi
    exec "$qemu" -M "$board" "${machine[@]}" -nographic -monitor none -serial none \
        -semihosting-config enable=on,target=native -icount "shift=$icount,sleep=off" -kernel "$elf"
}
