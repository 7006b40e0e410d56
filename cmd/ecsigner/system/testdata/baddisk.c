/*
 * A bad disk for tests: preloaded into the server, it lets a number of commits through and then fails what SQLite writes.
 * SQLite alone is hit: Go does not write through libc, and SoftHSM writes through streams.
 *
 * The file named in BADDISK holds three numbers, which the test changes while the server runs: how many calls of fsync
 * still succeed (-1: all, and the disk is well), and the errno with which writes and fsync then fail (0: they do not).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>

static volatile int32_t *disk; /* commits, errno of writes, errno of fsync */

__attribute__((constructor)) static void spin_up(void)
{
	int fd = open(getenv("BADDISK"), O_RDWR);
	void *p = mmap(NULL, 3 * sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		abort();
	disk = p;
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t offset)
{
	if (disk[0] == 0 && disk[1] != 0) {
		errno = disk[1];
		return -1;
	}
	return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, buf, n, offset);
}

int fsync(int fd)
{
	if (disk[0] == 0 && disk[2] != 0) {
		errno = disk[2];
		return -1;
	}
	if (disk[0] > 0)
		disk[0]--;
	return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
