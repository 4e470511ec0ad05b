#define _GNU_SOURCE
#include "include/msgbox_threads.h"

#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

// ---- Threads

typedef struct {
  void (*body)(void *);
  void *argument;
} Start;

static void *run(void *opaque) {
  Start start = *(Start *)opaque;
  free(opaque);
  start.body(start.argument);
  return NULL;
}

int32_t cmsgbox_thread_start(void (*body)(void *), void *argument) {
  Start *start = cmsgbox_allocate(sizeof *start);
  if (!start) return ENOMEM;
  *start = (Start){body, argument};
  // Signals belong to the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = cmsgbox_fault_due(CMSGBOX_CALL_THREAD) ? errno : pthread_create(&thread, NULL, run, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) {
    free(start);
    return error;
  }
  pthread_setname_np(thread, "msgbox");
  pthread_detach(thread);
  return 0;
}

// ---- Boxes

enum { boxes = 1 << 24 };

// One bit per number. Zero pages that nobody touches cost address space alone: 2 MiB.
static _Atomic uint64_t registered[boxes / 64];

void cmsgbox_register_box(uint32_t number) {
  if (number < boxes) atomic_fetch_or(&registered[number / 64], UINT64_C(1) << number % 64);
}

void cmsgbox_unregister_box(uint32_t number) {
  if (number < boxes) atomic_fetch_and(&registered[number / 64], ~(UINT64_C(1) << number % 64));
}

int32_t cmsgbox_box_is_registered(uint32_t number) {
  return number < boxes && (atomic_load(&registered[number / 64]) >> number % 64 & 1);
}

// ---- The process

static void (*at_exit)(void);
static pthread_once_t at_exit_once = PTHREAD_ONCE_INIT;

static void run_at_exit(void) { at_exit(); }

static void register_at_exit(void) { atexit(run_at_exit); }

void cmsgbox_at_exit(void (*body)(void)) {
  at_exit = body;
  pthread_once(&at_exit_once, register_at_exit);
}

static _Thread_local struct {
  void *box;
  uint32_t number;
} latest;

void *cmsgbox_latest_box(uint32_t number) { return latest.number == number ? latest.box : NULL; }

void cmsgbox_set_latest_box(uint32_t number, void *box) {
  latest.box = box;
  latest.number = number;
}

static _Thread_local void *default_box;

void *cmsgbox_default_box(void) { return default_box; }

void cmsgbox_set_default_box(void *box) { default_box = box; }

static uint32_t forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;

// Called in the child, which has one thread, and no box of its parent's.
static void count_fork(void) {
  forks++;
  latest.box = NULL;
  default_box = NULL;
}

static void register_count_fork(void) { pthread_atfork(NULL, NULL, count_fork); }

uint32_t cmsgbox_forks(void) {
  pthread_once(&forks_once, register_count_fork);
  return forks;
}
