/* blocking.c - the clients of libraries whose calls block, by their two calls */
#include "common.h"

void blocking_rounds(const Blocking *peer) {
  Rounds rounds;
  for (rounds_init(&rounds); rounds_left(&rounds); rounds_end(&rounds)) {
    rounds_begin(&rounds);
    peer->send_one();
    peer->receive_one();
  }
  report_rounds(&rounds);
}

void blocking_pipe(const Blocking *peer) {
  u64 sent = 0, got = 0, start = now_ns(), cpu = cpu_ns();
  for (; sent < args.outstanding; sent++) peer->send_one();
  for (; got < args.count; got++) {
    peer->receive_one();
    if (sent < args.count) peer->send_one(), sent++;
  }
  report_pipe(got, start, cpu, 0, 0);
}

void blocking_one_way(const Blocking *peer) {
  u64 cpu = cpu_ns();
  for (u64 i = 0; i < args.count; i++) peer->send_one();
  report_one_way(args.count, cpu_ns() - cpu);
}
