// What a library needs of its process: the clock, random numbers, a pointer per thread, numbers for boxes.
#include "internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock) {
  struct timespec time = {0};
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t cmsgbox_now(void) { return read_clock(CLOCK_MONOTONIC); }

uint64_t cmsgbox_now_coarse(void) { return read_clock(CLOCK_MONOTONIC_COARSE); }

void cmsgbox_random(void *bytes, size_t count) {
  uint8_t *at = bytes;
  while (count > 0) {
    ssize_t got = getrandom(at, count, 0);
    if (got < 0 && errno == EINTR) continue;
    // Session ids that can be guessed would be worse than no program.
    if (got <= 0) abort();
    at += got;
    count -= (size_t)got;
  }
}

typedef struct thread_slot {
  void *value;
  void (*destructor)(void *);
} thread_slot;

static _Thread_local thread_slot slot;
static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static int key_made;

static void thread_ends(void *context) {
  thread_slot *ending = context;
  void *value = ending->value;
  ending->value = NULL;
  if (value && ending->destructor) ending->destructor(value);
}

static void make_key(void) { key_made = pthread_key_create(&key, thread_ends) == 0; }

void *cmsgbox_tls_get(void) { return slot.value; }

void cmsgbox_tls_set(void *value, void (*destructor)(void *)) {
  slot.value = value;
  slot.destructor = destructor;
  pthread_once(&key_once, make_key);
  if (key_made) pthread_setspecific(key, value ? &slot : NULL);
}

uint32_t cmsgbox_next_box(void) {
  static _Atomic uint32_t last;
  uint32_t before = atomic_load_explicit(&last, memory_order_relaxed);
  do {
    if (before == (1u << 24) - 1) return 0;
  } while (!atomic_compare_exchange_weak_explicit(
      &last, &before, before + 1, memory_order_relaxed, memory_order_relaxed));
  return before + 1;
}
