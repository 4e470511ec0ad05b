/* quiet.c - waits, 3 s at most, until both cores ran for 30 ms with less than 2 % of their time taken away by
   the host; prints the share that was taken away at last. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "common.h"

enum { CORES = 2, SPAN_NS = 30000000, STALL_NS = 50000, ATTEMPTS = 60 };
static double stolen[CORES];

static void *spin(void *argument) {
  int core = *(int *)argument;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  u64 start = now_ns(), last = start, lost = 0;
  while (last - start < SPAN_NS) {
    u64 now = now_ns();
    if (now - last > STALL_NS) lost += now - last;
    last = now;
  }
  stolen[core] = (double)lost / (double)(last - start);
  return NULL;
}

int main(void) {
  double worst = 1;
  for (int attempt = 0; attempt < ATTEMPTS && worst >= .02; attempt++) {
    pthread_t threads[CORES];
    int cores[CORES] = {0, 1};
    if (attempt) usleep(20000);
    for (int i = 0; i < CORES; i++)
      if (pthread_create(&threads[i], NULL, spin, &cores[i])) die("pthread_create");
    for (int i = 0; i < CORES; i++) pthread_join(threads[i], NULL);
    worst = stolen[0] > stolen[1] ? stolen[0] : stolen[1];
  }
  printf("%.3f\n", worst);
  return 0;
}
