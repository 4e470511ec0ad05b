#include "processes.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

Process process_start(void (*body)(int control, const void *settings), const void *settings) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  fflush(stdout);
  pid_t parent = getpid(), child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    /* What the parent has open for others would keep their pairs from ending. */
    if (ends[1] > 3) close_range(3, (unsigned)ends[1] - 1, 0);
    close_range((unsigned)ends[1] + 1, ~0u, 0);
    body(ends[1], settings);
    _exit(0);
  }
  close(ends[1]);
  struct timeval limit = {.tv_sec = 60};
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  return (Process){child, ends[0]};
}

void process_hear(const Process *process, void *answer, size_t count) {
  ssize_t got;
  do {
    got = recv(process->control, answer, count, 0);
  } while (got < 0 && errno == EINTR);
  if (got != (ssize_t)count) test_failed(__FILE__, __LINE__, "a process answers in 60 s");
}

void process_ask(const Process *process, char what, uint64_t value, void *answer, size_t count) {
  Command command = {what, value};
  CHECK(send(process->control, &command, sizeof command, MSG_NOSIGNAL) == sizeof command);
  process_hear(process, answer, count);
}

void process_finish(Process *process) {
  close(process->control);
  process->control = -1;
  int status = 0;
  CHECK(waitpid(process->pid, &status, 0) == process->pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void process_kill(Process *process) {
  CHECK(kill(process->pid, SIGKILL) == 0);
  CHECK(waitpid(process->pid, NULL, 0) == process->pid);
  close(process->control);
  process->control = -1;
}

int next_command(int control, Command *command, int turn_ms, void (*idle)(void)) {
  struct pollfd waits[2] = {
      {.fd = control, .events = POLLIN}, {.fd = msg_box_descriptor(msg_default_box()), .events = POLLIN}};
  for (;;) {
    int ms = msg_box_deadline_ms(msg_default_box());
    CHECK(ms >= -1);
    CHECK(poll(waits, 2, ms < 0 || ms > turn_ms ? turn_ms : ms) >= 0 || errno == EINTR);
    CHECK(msg_runloop(0) >= 0);
    if (idle != NULL) idle();
    if (waits[0].revents == 0) continue;
    return recv(control, command, sizeof *command, 0) == sizeof *command;
  }
}

void answer_command(int control, const void *answer, size_t count) {
  if (send(control, answer, count, MSG_NOSIGNAL) != (ssize_t)count) _exit(1);
}

uint64_t resident_kib(pid_t pid) {
  char path[64];
  unsigned long all = 0, pages = 0;
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  FILE *file = fopen(path, "r");
  CHECK(file != NULL && fscanf(file, "%lu %lu", &all, &pages) == 2);
  fclose(file);
  return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

uint64_t peak_kib(pid_t pid) {
  char path[64], line[256];
  unsigned long long kib = 0;
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  while (kib == 0 && fgets(line, sizeof line, file) != NULL) (void)sscanf(line, "VmHWM: %llu", &kib);
  fclose(file);
  CHECK(kib > 0);
  return kib;
}

void forget_peak(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/clear_refs", pid);
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs("5", file) >= 0 && fclose(file) == 0);
}

int descriptors_of(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *folder = opendir(path);
  CHECK(folder != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t random_of(uint64_t *state) {
  uint64_t x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * 0x2545f4914f6cdd1dull;
}

uint64_t random_below(uint64_t *state, uint64_t limit) { return (random_of(state) >> 11) % limit; }

void samples_add(Samples *samples, int64_t value) {
  if (samples->count < most_samples) samples->values[samples->count++] = value;
}

static int compare(const void *left, const void *right) {
  int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

double samples_at(Samples *samples, int per_mille) {
  if (samples->count == 0) return 0;
  qsort(samples->values, (size_t)samples->count, sizeof *samples->values, compare);
  int64_t index = ((int64_t)samples->count * per_mille + 999) / 1000;
  return (double)samples->values[index > 0 ? index - 1 : 0] / 1e6;
}
