/* Has programs believe that the clock was set: by the seconds (a double) at the head of the file FAULTS_CLOCK.
 *
 * For LD_PRELOAD. Only what is asked of CLOCK_REALTIME moves. Deadlines that the kernel keeps do not: programs
 * of the suite wait by CLOCK_MONOTONIC. libfaketime 0.9.10 moves that as well unless told otherwise, and every
 * wait of Python with a time-out hangs; it opens a file at each look, and leaves semaphores of what is killed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int (*ask)(clockid_t, struct timespec *);
static const volatile double *set_by;

__attribute__((constructor)) static void begin(void)
{
    if (ask)
        return;
    ask = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("FAULTS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof *set_by, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED)
        set_by = found;
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    begin();
    int status = ask(which, now);
    if (status || !set_by || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE))
        return status;
    double whole = floor(*set_by);
    now->tv_sec += (time_t)whole;
    now->tv_nsec += (long)((*set_by - whole) * 1e9);
    if (now->tv_nsec >= 1000000000L) {
        now->tv_nsec -= 1000000000L;
        now->tv_sec++;
    }
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec found;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &found))
        return -1;
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now)
        *now = found.tv_sec;
    return found.tv_sec;
}
