/* Preloaded into the server: makes fsync and fdatasync fail with EIO while the file named by
 * FAIL_SYNC_WHEN exists. With FAIL_SYNC_ONCE that is so for one sync of the log only, as the kernel
 * has it: it reports a failed write-back only once, and may have dropped the pages, so that a server
 * that tries again and succeeds would acknowledge what is not on disk. The first failure of the log
 * leaves a file beside that one, whose name ends with ".failed". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_log(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 0;
    path[len] = 0;
    return strstr(path, "/raft-log/") != NULL;
}

static int fails(int fd) {
    const char *when = getenv("FAIL_SYNC_WHEN");
    if (!when || access(when, F_OK) != 0) return 0;
    int log = is_log(fd);
    if (log) {
        char failed[PATH_MAX];
        snprintf(failed, sizeof failed, "%s.failed", when);
        int first = open(failed, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (first >= 0) {
            close(first);
            return 1;
        }
    }
    return !getenv("FAIL_SYNC_ONCE");
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (fails(fd)) { errno = EIO; return -1; }
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (fails(fd)) { errno = EIO; return -1; }
    return real(fd);
}
