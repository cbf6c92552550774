#include "semihosting.h"

/* Operations of Arm's semihosting, and the reason of a regular end. */
#define SYS_WRITE0 0x04
#define SYS_EXIT_EXTENDED 0x20
#define APPLICATION_EXIT 0x20026

static void call(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void print(const char *text)
{
    call(SYS_WRITE0, text);
}

void print_number(uint32_t value, uint32_t base, int digits)
{
    char text[11]; /* ten digits and a zero */
    char *start = text + sizeof text - 1;
    *start = '\0';
    do {
        *--start = "0123456789abcdef"[value % base];
        value /= base;
        digits--;
    } while (value > 0 || digits > 0);
    print(start);
}

void print_decimal(float value)
{
    if (value < 0) {
        print("-");
        value = -value;
    }
    uint32_t thousandths = (uint32_t)(value * 1000 + 0.5f);
    print_number(thousandths / 1000, 10, 1);
    print(".");
    print_number(thousandths % 1000, 10, 3);
}

void stop(int code)
{
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    call(SYS_EXIT_EXTENDED, block);
    for (;;)
        ;
}
