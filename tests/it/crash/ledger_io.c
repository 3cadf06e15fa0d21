/* Preloaded into the program: counts what it does to its ledger's files and at the chosen moment kills it (`kill`), has
 * no room for what is written from then on (`full`), cannot bring it to the disk (`sync`), or does not let it be
 * opened for writing at all (`shut`). LEDGER_FAULT says which and when: "kill 12". That it happened, and how much there
 * was to count, is left in files beside LEDGER_FAULT_MARK. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long count;

static void leave(const char *suffix, long number)
{
	char path[4096];
	const char *mark = getenv("LEDGER_FAULT_MARK");
	if (!mark)
		return;
	snprintf(path, sizeof path, "%s.%s", mark, suffix);
	FILE *file = fopen(path, "w");
	if (file) {
		fprintf(file, "%ld\n", number);
		fclose(file);
	}
}

static int is_ledger(const char *path)
{
	return path && strstr(path, "/sync_state.db");
}

static int is_ledger_fd(int fd)
{
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n < 0)
		return 0;
	path[n] = 0;
	return is_ledger(path);
}

/* What is to be done at this step: "write", "sync" or "unlink". */
static int fault(const char *step)
{
	char kind[16] = "";
	long at = 0;
	const char *chosen = getenv("LEDGER_FAULT");
	if (!chosen || sscanf(chosen, "%15s %ld", kind, &at) != 2)
		return 0;
	int write = !strcmp(step, "write"), sync = !strcmp(step, "sync");
	if ((!strcmp(kind, "full") && !write) || (!strcmp(kind, "sync") && !sync))
		return 0;
	long n = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
	if (n < at)
		return 0;
	leave("fired", n);
	if (!strcmp(kind, "kill"))
		kill(getpid(), SIGKILL);
	return !strcmp(kind, "full") ? ENOSPC : !strcmp(kind, "sync") ? EIO : 0;
}

__attribute__((destructor)) static void end(void)
{
	leave("count", count);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(ledger, step)                                                  \
	if (ledger) {                                                          \
		int why = fault(step);                                         \
		if (why) {                                                     \
			errno = why;                                           \
			return -1;                                             \
		}                                                              \
	}

ssize_t write(int fd, const void *bytes, size_t n)
{
	FAIL_IF(is_ledger_fd(fd), "write")
	return NEXT(write)(fd, bytes, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	FAIL_IF(is_ledger_fd(fd), "write")
	return NEXT(pwrite)(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
	FAIL_IF(is_ledger_fd(fd), "write")
	return NEXT(pwrite64)(fd, bytes, n, at);
}

int fsync(int fd)
{
	FAIL_IF(is_ledger_fd(fd), "sync")
	return NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
	FAIL_IF(is_ledger_fd(fd), "sync")
	return NEXT(fdatasync)(fd);
}

int unlink(const char *path)
{
	FAIL_IF(is_ledger(path), "unlink")
	return NEXT(unlink)(path);
}

static int shut(const char *path, int flags)
{
	const char *chosen = getenv("LEDGER_FAULT");
	const char *end = path + strlen(path) - strlen("sync_state.db");
	return chosen && !strncmp(chosen, "shut", 4) && (flags & O_ACCMODE) != O_RDONLY &&
	       end > path && !strcmp(end, "sync_state.db");
}

#define OPEN(name)                                                             \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		va_list rest;                                                  \
		va_start(rest, flags);                                         \
		mode_t mode = va_arg(rest, mode_t);                            \
		va_end(rest);                                                  \
		if (shut(path, flags)) {                                       \
			errno = EACCES;                                        \
			return -1;                                             \
		}                                                              \
		return NEXT(name)(path, flags, mode);                          \
	}

OPEN(open)
OPEN(open64)
