// Calls that fail on purpose, for tests of what is done about it.
#include "internal.h"

#ifdef DEBUG

#include <malloc.h>

typedef struct fault {
  uint32_t after;
  uint32_t times;
  int32_t error;
  uint32_t limit;
} fault;

static _Thread_local fault faults[CMSGBOX_CALLS];
static _Thread_local uint32_t hits;
static _Thread_local uint32_t calls[CMSGBOX_CALLS];

// The fault of this kind that is due in this call, or NULL.
static fault *due(int32_t call, int is_limit) {
  fault *f = &faults[call];
  if (f->times == 0 || (f->error == 0) != is_limit) return NULL;
  if (f->after > 0) {
    f->after--;
    return NULL;
  }
  f->times--;
  hits++;
  return f;
}

int cmsgbox_fault_due(int32_t call) {
  calls[call]++;
  fault *f = due(call, 0);
  if (!f) return 0;
  errno = f->error;
  return 1;
}

size_t cmsgbox_fault_limit(int32_t call, size_t count) {
  fault *f = due(call, 1);
  return f && f->limit < count ? f->limit : count;
}

int32_t cmsgbox_fault_set(
    int32_t call, uint32_t after, uint32_t times, int32_t error, uint32_t limit) {
  if (call < 0 || call >= CMSGBOX_CALLS) return 0;
  faults[call] = (fault){.after = after, .times = times, .error = error, .limit = limit};
  return 1;
}

uint32_t cmsgbox_fault_clear(void) {
  memset(faults, 0, sizeof faults);
  memset(calls, 0, sizeof calls);
  uint32_t before = hits;
  hits = 0;
  return before;
}

uint32_t cmsgbox_fault_calls(int32_t call) {
  return call < 0 || call >= CMSGBOX_CALLS ? 0 : calls[call];
}

uint64_t cmsgbox_fault_heap(void) { return mallinfo2().uordblks; }

#else

int32_t cmsgbox_fault_set(
    int32_t call, uint32_t after, uint32_t times, int32_t error, uint32_t limit) {
  (void)call, (void)after, (void)times, (void)error, (void)limit;
  return 0;
}

uint32_t cmsgbox_fault_clear(void) { return 0; }

uint32_t cmsgbox_fault_calls(int32_t call) {
  (void)call;
  return 0;
}

uint64_t cmsgbox_fault_heap(void) { return 0; }

#endif
