/* A library that stands in for an older libaio, which makes its system calls without libc. */
int io_submit(void *context, long count, void **list);

int io_submit(void *context, long count, void **list)
{
    long r;

    __asm__ volatile("syscall" : "=a"(r) : "0"(209L), "D"(context), "S"(count), "d"(list)
                     : "rcx", "r11", "memory");
    return (int)r;
}
