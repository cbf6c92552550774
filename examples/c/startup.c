/* What happens before main: vectors, memory, floating-point unit. For any Cortex-M. */
#include <stdint.h>

#include "semihosting.h"

/* Exit code of a fault, as in the firmware in Rust. */
#define FAULT 102

/* From link.ld. */
extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];

int main(void);
void reset(void);

void reset(void)
{
#ifdef __ARM_FP
    /* Coprocessor access control: full access to the floating-point unit. */
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xe000ed88;
    *cpacr |= 0xfu << 20;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    stop(main());
}

static void fault(void)
{
    print("fault\n");
    stop(FAULT);
}

/* First words of the flash: the stack, the entry, and two exceptions; no other can happen here. */
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, (void *)reset, (void *)fault, (void *)fault,
};
