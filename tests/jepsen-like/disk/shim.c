/* Preloaded into the server. The file named by QUORUMGATE_DISK_FAULT, while it exists, says in its
 * first byte what goes wrong: 'E' makes fsync and fdatasync fail with EIO, 'S' makes them take as
 * many milliseconds longer as the number after it says. Each fault that takes effect adds a byte to
 * the file of that name with ".fired" at its end, so that the suite knows that it did. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fault(void) {
    const char *name = getenv("QUORUMGATE_DISK_FAULT");
    char text[32] = {0}, fired[4096];
    if (!name) return 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got < 1) return 0;
    snprintf(fired, sizeof fired, "%s.fired", name);
    int mark = open(fired, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (mark >= 0) {
        ssize_t ignored = write(mark, text, 1);
        (void)ignored;
        close(mark);
    }
    if (text[0] == 'E') return EIO;
    if (text[0] == 'S') usleep((useconds_t)atoi(text + 1) * 1000);
    return 0;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (fault()) { errno = EIO; return -1; }
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (fault()) { errno = EIO; return -1; }
    return real(fd);
}
