/* Text and an exit code for the debugger, or for QEMU. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

/* Prints a string that ends with zero. */
void print(const char *text);

/* Prints `value` in base 10 or 16 with at least `digits` digits. */
void print_number(uint32_t value, uint32_t base, int digits);

/* Prints a number from 0 to 1000, or of either sign, to three decimals. */
void print_decimal(float value);

/* Ends the program with an exit code. */
_Noreturn void stop(int code);

#endif
