// Threads and the register of live boxes: what the C and the async face need beyond the loop.
#ifndef MSGBOX_THREADS_H
#define MSGBOX_THREADS_H

#include <stdint.h>

// Runs body(argument) on a new detached thread called `msgbox`, with all signals blocked.
// Returns 0 or an errno.
int32_t cmsgbox_thread_start(void (*body)(void *), void *argument);

// Runs body() when the process ends by exit() or by the return of main(), on the thread that ends
// it. Always to be called with the same body. Any thread.
void cmsgbox_at_exit(void (*body)(void));

// How often this process was forked since the first call, in its line of ancestors: a number that
// differs between a process and its child. Any thread.
uint32_t cmsgbox_forks(void);

// The box of this thread that was used last: NULL if it has another number, and in a forked process. What it points to
// must outlive it, so it is set to NULL before its thread's boxes end.
void *cmsgbox_latest_box(uint32_t number);
void cmsgbox_set_latest_box(uint32_t number, void *box);

// The default box of this thread: NULL if it has none, and in a forked process. As above.
void *cmsgbox_default_box(void);
void cmsgbox_set_default_box(void *box);

// Boxes are numbered 1...2^24-1 by cmsgbox_next_box and never share a number. The register knows which of
// them are alive anywhere in the process. Any thread, no locks.
void cmsgbox_register_box(uint32_t number);
void cmsgbox_unregister_box(uint32_t number);
int32_t cmsgbox_box_is_registered(uint32_t number);

#endif
