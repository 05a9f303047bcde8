// A wall clock that is off, for a process that loads this before all else (LD_PRELOAD): by as many nanoseconds as the
// first eight bytes of the file say that CLOCK_OFFSET names. They can be changed while it runs, and then the clock jumps.
// Time goes on as it did: CLOCK_MONOTONIC is left alone.
//
// Whoever waits on a condition until a wall clock time waits for as long as that was away when the wait began. With
// CLOCK_WAITS waits go by this clock, as the kernel has it: longer when the clock is set back meanwhile.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define LOOK (50 * 1000 * 1000LL)

static volatile int64_t *offset;
static int waits;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CLOCK_OFFSET");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) abort();
  offset = page;
  waits = getenv("CLOCK_WAITS") != NULL;
}

static int64_t read_clock(clockid_t clock) {
  struct timespec now;
  syscall(SYS_clock_gettime, clock, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

static int64_t wall_clock(void) { return read_clock(CLOCK_REALTIME) + (offset ? *offset : 0); }

static struct timespec timespec_of(int64_t nanos) {
  return (struct timespec){.tv_sec = nanos / SECOND, .tv_nsec = nanos % SECOND};
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return syscall(SYS_clock_gettime, clock, now);
  *now = timespec_of(wall_clock());
  return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
  (void)zone;
  int64_t nanos = wall_clock();
  *now = (struct timeval){.tv_sec = nanos / SECOND, .tv_usec = nanos % SECOND / 1000};
  return 0;
}

time_t time(time_t *now) {
  time_t seconds = wall_clock() / SECOND;
  if (now) *now = seconds;
  return seconds;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
  for (;;) {
    int64_t left = until->tv_sec * SECOND + until->tv_nsec - wall_clock();
    if (left <= 0) return ETIMEDOUT;
    struct timespec look = timespec_of(read_clock(CLOCK_MONOTONIC) + (waits && left > LOOK ? LOOK : left));
    int result = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &look);
    if (result != ETIMEDOUT || !waits) return result;
  }
}

// librdkafka's: glibc's own goes past the function above.
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
  int result = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
  return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}
