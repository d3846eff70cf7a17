/* Start-up of a bare-metal Cortex-M: vectors, initialised RAM, coprocessors, then main and the exit code to the emulator. */
#include <stdint.h>

extern uint32_t stack_top[];
extern uint32_t data_begin[], data_end[], data_in_flash[], bss_begin[], bss_end[];
int main(void);

static void quit(int code) {
    const uintptr_t block[2] = {0x20026u /* ADP_Stopped_ApplicationExit */, (uintptr_t)code};
    register int r0 __asm__("r0") = 0x20; /* SYS_EXIT_EXTENDED */
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    for (;;) {
    }
}

static void fault(void) {
    quit(70);
}

void reset(void);
void reset(void) {
    uint32_t *target;
    const uint32_t *source = data_in_flash;
    for (target = data_begin; target < data_end; target++) {
        *target = *source++;
    }
    for (target = bss_begin; target < bss_end; target++) {
        *target = 0;
    }
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to the floating-point and vector unit */
    __asm__ volatile("dsb\nisb");
#endif
    quit(main());
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top, (const void *)reset, (const void *)fault, (const void *)fault, (const void *)fault, (const void *)fault,
};
