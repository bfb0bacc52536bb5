import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scratch } from './scratch.ts'

/** What a file system answers to an operation, by its errno. */
export interface StorageFaults {
  /** Taking a lock. */
  readonly lock?: 'ENOLCK' | 'ENOSYS' | 'EINVAL'
  /** Mapping a file so that processes share it. */
  readonly share?: 'ENODEV' | 'EINVAL'
  /** Flushing a directory. */
  readonly syncDirectory?: 'EINVAL' | 'ENOTSUP' | 'EBADF' | 'EACCES' | 'EIO'
  /** Flushing a file. */
  readonly syncFile?: 'EIO'
  /** Creating a file. */
  readonly create?: 'ENOSPC' | 'EDQUOT'
  /** Changing permissions. */
  readonly mode?: 'EPERM'
}

/** Something to do on a file system with faults. */
export interface FaultyCase {
  readonly work: 'open' | 'backup' | 'replace'
  readonly directory: string
  readonly faults: StorageFaults
  /** Only files whose names begin so are concerned. */
  readonly only?: string
}

const NUMBERS: Readonly<Record<string, number>> = {
  EPERM: 1,
  EIO: 5,
  EBADF: 9,
  EACCES: 13,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTSUP: 95,
  EDQUOT: 122,
}

const SOURCE = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int fault(const char *name) {
  const char *value = getenv(name);
  return value == NULL ? 0 : atoi(value);
}

static int below(const char *path) {
  const char *under = getenv("FAULT_UNDER");
  return under != NULL && strncmp(path, under, strlen(under)) == 0;
}

static int concerns(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

#define FAIL(name, fd) do { int e = fault(name); if (e && concerns(fd)) { errno = e; return -1; } } while (0)

static int locking(int fd, int cmd, void *arg, const char *next) {
  if (cmd == F_SETLK || cmd == F_SETLKW || cmd == F_GETLK) FAIL("FAULT_LOCK", fd);
  int (*real)(int, int, ...) = dlsym(RTLD_NEXT, next);
  return real(fd, cmd, arg);
}

int fcntl(int fd, int cmd, ...) {
  va_list list; va_start(list, cmd); void *arg = va_arg(list, void *); va_end(list);
  return locking(fd, cmd, arg, "fcntl");
}

int fcntl64(int fd, int cmd, ...) {
  va_list list; va_start(list, cmd); void *arg = va_arg(list, void *); va_end(list);
  return locking(fd, cmd, arg, "fcntl64");
}

static void *mapping(void *at, size_t length, int prot, int flags, int fd, off_t offset, const char *next) {
  int e = fault("FAULT_SHARE");
  if (e && fd >= 0 && (flags & MAP_SHARED) && concerns(fd)) { errno = e; return MAP_FAILED; }
  void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, next);
  return real(at, length, prot, flags, fd, offset);
}

void *mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset) {
  return mapping(at, length, prot, flags, fd, offset, "mmap");
}

void *mmap64(void *at, size_t length, int prot, int flags, int fd, off_t offset) {
  return mapping(at, length, prot, flags, fd, offset, "mmap64");
}

static int syncing(int fd, const char *next) {
  struct stat stats;
  if (fstat(fd, &stats) == 0) {
    if (S_ISDIR(stats.st_mode)) FAIL("FAULT_SYNC_DIRECTORY", fd); else FAIL("FAULT_SYNC_FILE", fd);
  }
  int (*real)(int) = dlsym(RTLD_NEXT, next);
  return real(fd);
}

int fsync(int fd) { return syncing(fd, "fsync"); }
int fdatasync(int fd) { return syncing(fd, "fdatasync"); }

int fchmod(int fd, mode_t mode) {
  FAIL("FAULT_MODE", fd);
  int (*real)(int, mode_t) = dlsym(RTLD_NEXT, "fchmod");
  return real(fd, mode);
}

static int opening(const char *path, int flags, mode_t mode, const char *next) {
  int e = fault("FAULT_CREATE");
  char whole[4096];
  const char *at = path;
  if (e && (flags & O_CREAT) && strncmp(path, "/proc/self/fd/", 14) == 0) {
    char link[64];
    snprintf(link, sizeof link, "%.*s", (int)strcspn(path + 14, "/") + 14, path);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    if (length > 0) { whole[length] = 0; at = whole; }
  }
  if (e && (flags & O_CREAT) && below(at) && access(path, F_OK) != 0) { errno = e; return -1; }
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, next);
  return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list);
  return opening(path, flags, mode, "open");
}

int open64(const char *path, int flags, ...) {
  va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list);
  return opening(path, flags, mode, "open64");
}
`

let library: string | null | undefined

/** The environment of a process in which `setFaults` has an effect; null where that takes a C compiler that is not there. */
export function faultyEnvironment(): NodeJS.ProcessEnv | null {
  if (library === undefined) {
    const directory = scratch(t)
    const [source, compiled] = [join(directory, 'faults.c'), join(directory, 'faults.so')]
    writeFileSync(source, SOURCE)
    const { status } = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', compiled, source, '-ldl'], { stdio: 'ignore' })
    library = process.platform === 'linux' && status === 0 ? compiled : null
  }
  return library === null ? null : { PATH: process.env.PATH, LD_PRELOAD: library }
}

/** Has the operations of this process fail that concern what is below `under`. */
export function setFaults(under: string, { lock, share, syncDirectory, syncFile, create, mode }: StorageFaults): void {
  const faults = {
    LOCK: lock,
    SHARE: share,
    SYNC_DIRECTORY: syncDirectory,
    SYNC_FILE: syncFile,
    CREATE: create,
    MODE: mode,
  }
  process.env.FAULT_UNDER = under
  for (const [name, code] of Object.entries(faults)) {
    process.env[`FAULT_${name}`] = String(code === undefined ? 0 : NUMBERS[code])
  }
}
