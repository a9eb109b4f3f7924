#define _GNU_SOURCE
#include "CDatagram.h"
#include <errno.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

int64_t hyperconform_monotonic(void) { return now(CLOCK_MONOTONIC); }
int64_t hyperconform_wall(void) { return now(CLOCK_REALTIME); }

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

void hyperconform_poller_close(hyperconform_poller *poller) {
    if (poller->poller >= 0) close(poller->poller);
    if (poller->timer >= 0) close(poller->timer);
    if (poller->waker >= 0) close(poller->waker);
    poller->poller = poller->timer = poller->waker = -1;
}

int hyperconform_poller_open(hyperconform_poller *poller) {
    poller->poller = epoll_create1(EPOLL_CLOEXEC);
    poller->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    poller->waker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    poller->deadline = INT64_MAX;
    int error = errno;
    if (poller->poller >= 0 && poller->timer >= 0 && poller->waker >= 0) {
        struct epoll_event timer = {.events = EPOLLIN, .data.fd = poller->timer};
        struct epoll_event waker = {.events = EPOLLIN, .data.fd = poller->waker};
        if (epoll_ctl(poller->poller, EPOLL_CTL_ADD, poller->timer, &timer) == 0 &&
            epoll_ctl(poller->poller, EPOLL_CTL_ADD, poller->waker, &waker) == 0)
            return 0;
        error = errno;
    }
    hyperconform_poller_close(poller);
    return error;
}

int hyperconform_poller_watch(hyperconform_poller *poller, int fd, int before, int interest) {
    struct epoll_event event = {.events = 0, .data.fd = fd};
    if (interest & HYPERCONFORM_READABLE) event.events |= EPOLLIN;
    if (interest & HYPERCONFORM_WRITABLE) event.events |= EPOLLOUT;
    int operation = interest == 0 ? EPOLL_CTL_DEL : before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (interest == 0 && before == 0) return 0;
    return epoll_ctl(poller->poller, operation, fd, &event) < 0 ? errno : 0;
}

int hyperconform_poller_wait(hyperconform_poller *poller, hyperconform_readiness *ready, int count, int64_t deadline) {
    struct epoll_event events[64];
    if (count > 64) count = 64;
    int timeout = -1;
    if (deadline != INT64_MAX && deadline <= now(CLOCK_MONOTONIC)) {
        timeout = 0;
    } else if (deadline < poller->deadline || poller->deadline <= now(CLOCK_MONOTONIC)) {
        // A timer that rings early is not set anew: deadlines mostly move away, and each setting is a system call. Then the caller is woken once for nothing.
        struct itimerspec time = {{0, 0}, {0, 0}};
        if (deadline != INT64_MAX) {
            time.it_value.tv_sec = deadline / 1000000;
            time.it_value.tv_nsec = deadline % 1000000 * 1000;
        }
        if (timerfd_settime(poller->timer, TFD_TIMER_ABSTIME, &time, NULL) < 0) return -errno;
        poller->deadline = deadline;
    }
    int found;
    // Never more than fit: every one of them may be a socket.
    do found = epoll_wait(poller->poller, events, count, timeout);
    while (found < 0 && errno == EINTR);
    if (found < 0) return -errno;
    int filled = 0;
    for (int i = 0; i < found; i++) {
        uint64_t drained;
        if (events[i].data.fd == poller->timer) {
            if (read(poller->timer, &drained, sizeof drained) > 0) poller->deadline = INT64_MAX;
        } else if (events[i].data.fd == poller->waker) {
            if (read(poller->waker, &drained, sizeof drained) < 0) continue;
        } else {
            ready[filled].fd = events[i].data.fd;
            ready[filled].ready = 0;
            if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) ready[filled].ready |= HYPERCONFORM_READABLE;
            if (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) ready[filled].ready |= HYPERCONFORM_WRITABLE;
            filled++;
        }
    }
    return filled;
}

void hyperconform_poller_wake(const hyperconform_poller *poller) {
    uint64_t one = 1;
    // The counter can only be full if the loop has not run for 2^64 wakes; then it is awake anyway.
    if (write(poller->waker, &one, sizeof one) < 0) return;
}
#else
int hyperconform_poller_open(hyperconform_poller *poller) {
    poller->poller = poller->timer = poller->waker = -1;
    return ENOTSUP;
}
void hyperconform_poller_close(hyperconform_poller *poller) { (void)poller; }
int hyperconform_poller_watch(hyperconform_poller *poller, int fd, int before, int interest) { return ENOTSUP; }
int hyperconform_poller_wait(hyperconform_poller *poller, hyperconform_readiness *ready, int count, int64_t deadline) { return -ENOTSUP; }
void hyperconform_poller_wake(const hyperconform_poller *poller) { (void)poller; }
#endif
