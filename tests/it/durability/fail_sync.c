/* Preloaded into the server: makes fsync and fdatasync fail with EIO while the file named by
 * FAIL_SYNC_WHEN exists. The kernel reports a failed write-back only once, and may have dropped the
 * pages: a server that tries again and succeeds would acknowledge what is not on disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void) {
    const char *when = getenv("FAIL_SYNC_WHEN");
    return when && access(when, F_OK) == 0;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (fails()) { errno = EIO; return -1; }
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (fails()) { errno = EIO; return -1; }
    return real(fd);
}
