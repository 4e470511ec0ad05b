/* Processes of a test that talk over a pair of sockets: what one is asked, and what it answers. A process that dies is
   seen as the end of its pair. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include "test.h"

#include <sys/types.h>

typedef struct {
  pid_t pid;
  int control; /* of the pair; -1 when the process is gone */
} Process;

/* What a process is asked to do; its meaning is up to both. */
typedef struct {
  char what;
  uint64_t value;
} Command;

/* Forks a process that runs `body` with its end of the pair and ends with status 0 when it returns. It dies with its
   parent. To be called while there is no box. */
Process process_start(void (*body)(int control, const void *settings), const void *settings);

/* Asks and waits for an answer of so many bytes, 60 s at most. */
void process_ask(const Process *process, char what, uint64_t value, void *answer, size_t count);

/* Waits for what a process says unasked. */
void process_hear(const Process *process, void *answer, size_t count);

/* The process must end by itself, with status 0, once its pair is closed. */
void process_finish(Process *process);

/* Kills it as the system does, and waits until it is gone. */
void process_kill(Process *process);

/* Inside: the next command. Runs the default box until there is one, `idle` (NULL: nothing) after each turn of at most
   `turn_ms`. 0 at the end of the pair. */
int next_command(int control, Command *command, int turn_ms, void (*idle)(void));

/* Inside: the answer to a command. */
void answer_command(int control, const void *answer, size_t count);

/* Resident memory and open descriptors. */
uint64_t resident_kib(pid_t pid);

/* The most resident memory since `forget_peak`, or since the process began. */
uint64_t peak_kib(pid_t pid);
void forget_peak(pid_t pid);

int descriptors_of(pid_t pid);

int64_t now_ns(void);

/* xorshift64* of a state that is not 0. */
uint64_t random_of(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t limit);

/* Samples of a time in nanoseconds; those beyond the room are left out. */
enum { most_samples = 1 << 18 };
typedef struct {
  int64_t values[most_samples];
  int count;
} Samples;

void samples_add(Samples *samples, int64_t value);

/* In milliseconds, `per_mille` of them are not larger; 0 without samples. Sorts them. */
double samples_at(Samples *samples, int per_mille);

#endif
