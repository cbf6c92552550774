# Sourced: the boards that QEMU emulates.
#
#     board_target BOARD       prints the target that the board's programs are built for
#     board_emulator BOARD     prints the program that emulates it
#     emulate BOARD ELF        becomes the emulator that runs a program on the board, with a clock
#                              that counts instructions
#
# shellcheck shell=bash

# shellcheck disable=SC2034 # For the usage of the scripts that source this.
BOARDS=(microbit mps2-an385 mps2-an386 mps2-an500 netduinoplus2 mps2-an505 mps3-an547 virt)

board_target() {
    case $1 in
    microbit) echo thumbv6m-none-eabi ;;
    mps2-an385) echo thumbv7m-none-eabi ;;
    mps2-an386 | mps2-an500 | netduinoplus2) echo thumbv7em-none-eabihf ;;
    mps2-an505 | mps3-an547) echo thumbv8m.main-none-eabihf ;;
    virt) echo riscv32imac-unknown-none-elf ;;
    *) return 1 ;;
    esac
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
