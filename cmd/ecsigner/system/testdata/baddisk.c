/*
 * A bad disk for tests: preloaded into the server, it hands every call that writes to a file over to the test, which lets
 * it through, fails it, or writes a part (seccomp, SECCOMP_RET_USER_NOTIF). So all of the server is hit alike: SQLite, which
 * writes through libc, and Go, which does not.
 *
 * The socket named in BADDISK gets the file descriptor by which the test is asked.
 */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "name the architecture"
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ASK(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)

static void give_up(const char *what)
{
	perror(what);
	_exit(97);
}

/* send_fd passes the listener on. It is called when the filter stands already: sendmsg is not among the calls it hands over. */
static void send_fd(int s, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	if (sendmsg(s, &m, 0) != 1)
		give_up("baddisk: sendmsg");
}

__attribute__((constructor)) static void spin_up(void)
{
	struct sock_filter filter[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		LOAD(nr),
		ASK(__NR_write),
		ASK(__NR_pwrite64),
		ASK(__NR_fsync),
		ASK(__NR_fdatasync),
		ASK(__NR_ftruncate),
		ASK(__NR_renameat),
		ASK(__NR_renameat2),
#ifdef __NR_rename
		ASK(__NR_rename),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("BADDISK");
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	if (!path || strlen(path) >= sizeof address.sun_path)
		give_up("baddisk: BADDISK");
	strcpy(address.sun_path, path);
	if (connect(s, (struct sockaddr *)&address, sizeof address))
		give_up("baddisk: connect");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		give_up("baddisk: no_new_privs");
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
	if (fd < 0)
		give_up("baddisk: seccomp");
	send_fd(s, fd);
	close(fd);
	close(s);
	unsetenv("LD_PRELOAD");
}
