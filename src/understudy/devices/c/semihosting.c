/* The platform of an emulated microcontroller: files of the host through Arm semihosting, and a painted stack.
 *
 * This file is no part of a real firmware, so the linker script keeps it apart and its bytes are not counted.
 */
#include "platform.h"

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, READ_BINARY = 1, WRITE_BINARY = 5 };
enum { PATTERN = 0x5AA5C33Cu };

extern uint32_t stack_limit[]; /* linker script */
extern uint32_t stack_top[];

static int call(int operation, const void *block) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int open_file(const char *name, uintptr_t characters, uintptr_t mode) {
    const uintptr_t block[3] = {(uintptr_t)name, mode, characters};
    return call(SYS_OPEN, block);
}

int platform_read(void *target, size_t size) {
    static int handle; /* the emulator's RAM begins as zeros; no handle is 0 here, because 0 to 2 are its console */
    if (handle == 0) {
        handle = open_file("inputs.bin", 10, READ_BINARY);
    }
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)target, size};
    return call(SYS_READ, block) == 0; /* bytes that were not read */
}

void platform_write(const void *source, size_t size) {
    static int handle;
    if (handle == 0) {
        handle = open_file("answers.bin", 11, WRITE_BINARY);
    }
    const uintptr_t block[3] = {(uintptr_t)handle, (uintptr_t)source, size};
    (void)call(SYS_WRITE, block);
}

void platform_paint_stack(void) {
    uint32_t *stack_pointer;
    __asm__ volatile("mov %0, sp" : "=r"(stack_pointer));
    for (volatile uint32_t *word = stack_limit; word < stack_pointer; word++) {
        *word = PATTERN;
    }
}

uint32_t platform_stack_bytes(void) {
    const volatile uint32_t *word = stack_limit;
    while (word < stack_top && *word == PATTERN) {
        word++;
    }
    return (uint32_t)((uintptr_t)stack_top - (uintptr_t)word);
}
