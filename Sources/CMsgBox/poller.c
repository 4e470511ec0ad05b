// Waiting: epoll, event counters and wakers.
#include "internal.h"

#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WAIT_MAX = 256 };

int32_t cmsgbox_poller_create(void) {
  return (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_OPEN, epoll_create1(EPOLL_CLOEXEC));
}

// What a test makes fail with this operation.
static int32_t call_of(int operation) {
  if (operation == EPOLL_CTL_ADD) return CMSGBOX_CALL_WATCH;
  return operation == EPOLL_CTL_MOD ? CMSGBOX_CALL_REWATCH : CMSGBOX_CALL_UNWATCH;
}

static int32_t control(int32_t poller, int operation, int32_t fd, uint64_t token, uint32_t flags) {
  struct epoll_event event = {.data.u64 = token};
  if (flags & CMSGBOX_READABLE) event.events |= EPOLLIN;
  if (flags & CMSGBOX_WRITABLE) event.events |= EPOLLOUT;
  return (int32_t)CMSGBOX_SYSCALL(call_of(operation), epoll_ctl(poller, operation, fd, &event));
}

int32_t cmsgbox_poller_add(int32_t poller, int32_t fd, uint64_t token, uint32_t flags) {
  return control(poller, EPOLL_CTL_ADD, fd, token, flags);
}

int32_t cmsgbox_poller_change(int32_t poller, int32_t fd, uint64_t token, uint32_t flags) {
  return control(poller, EPOLL_CTL_MOD, fd, token, flags);
}

int32_t cmsgbox_poller_remove(int32_t poller, int32_t fd) {
  return control(poller, EPOLL_CTL_DEL, fd, 0, 0);
}

int32_t cmsgbox_poller_wait(
    int32_t poller, cmsgbox_ready *ready, int32_t capacity, int32_t timeout_ms) {
  struct epoll_event events[WAIT_MAX];
  if (capacity > WAIT_MAX) capacity = WAIT_MAX;
  int count = cmsgbox_fault_due(CMSGBOX_CALL_POLL)
                  ? -1
                  : epoll_wait(poller, events, capacity, timeout_ms);
  // A signal ends the wait, so that a program may look at what its handler noted. It says nothing of what is ready: a
  // process that was stopped while it waited finds much, and must not take it for silence.
  if (count < 0 && errno == EINTR) count = epoll_wait(poller, events, capacity, 0);
  if (count < 0) return -errno;
  for (int i = 0; i < count; i++) {
    uint32_t flags = 0;
    if (events[i].events & EPOLLIN) flags |= CMSGBOX_READABLE;
    if (events[i].events & EPOLLOUT) flags |= CMSGBOX_WRITABLE;
    if (events[i].events & (EPOLLERR | EPOLLHUP)) flags |= CMSGBOX_FAILED;
    ready[i].token = events[i].data.u64;
    ready[i].flags = flags;
  }
  return count;
}

int32_t cmsgbox_event_create(void) {
  return (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_OPEN, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

int32_t cmsgbox_event_raise(int32_t fd) {
  uint64_t one = 1;
  int64_t count = CMSGBOX_SYSCALL(CMSGBOX_CALL_EVENT, write(fd, &one, sizeof one));
  // A counter that is full is readable, which is all that is wanted.
  return count < 0 && count != -EAGAIN ? (int32_t)count : 0;
}

int32_t cmsgbox_event_clear(int32_t fd) {
  uint64_t value;
  int64_t count = CMSGBOX_SYSCALL(CMSGBOX_CALL_EVENT, read(fd, &value, sizeof value));
  return count < 0 && count != -EAGAIN ? (int32_t)count : 0;
}

struct msg_Waker {
  atomic_uint references;
  int event_fd;
};

struct msg_Waker *cmsgbox_waker_create(int32_t event_fd) {
  struct msg_Waker *waker = cmsgbox_allocate(sizeof *waker);
  if (!waker) return NULL;
  atomic_init(&waker->references, 1);
  waker->event_fd = cmsgbox_duplicate(event_fd);
  if (waker->event_fd >= 0) return waker;
  free(waker);
  return NULL;
}

struct msg_Waker *cmsgbox_waker_retain(struct msg_Waker *waker) {
  atomic_fetch_add_explicit(&waker->references, 1, memory_order_relaxed);
  return waker;
}

void cmsgbox_waker_release(struct msg_Waker *waker) {
  if (!waker || atomic_fetch_sub_explicit(&waker->references, 1, memory_order_acq_rel) != 1) return;
  close(waker->event_fd);
  free(waker);
}

void cmsgbox_waker_wake(struct msg_Waker *waker) {
  if (waker) cmsgbox_event_raise(waker->event_fd);
}
