/* raw_udp_echo.c - round trips over UDP: one at a time, and 64 outstanding. */
#include <string.h>
#include <sys/epoll.h>

#include "batch.h"
#include "raw.h"

enum { OUTSTANDING = 64 };

static u8 in[BIG], out[BIG];

/* ---- one datagram per message ---- */

static void echo_one(int fd) {
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  ssize_t n = recvfrom(fd, in, sizeof in, 0, (void *)&from, &length);
  if (n < 0) return;
  sendto(fd, in, (size_t)n, 0, (void *)&from, length);
  server_received(1);
}

static void serve_blocking(void) {
  int fd = udp_bound(loopback(args.port));
  set_receive_timeout(fd, 100);
  server_ready();
  while (!server_stopped()) echo_one(fd);
}

static void serve_polling(void) {
  int fd = udp_bound(loopback(args.port)), spins = mode_has("spin"), poller = epoll_of(fd);
  struct epoll_event event;
  set_nonblocking(fd);
  server_ready();
  while (!server_stopped())
    if (spins || epoll_wait(poller, &event, 1, 100) > 0) echo_one(fd);
}

static void ask_one_by_one(void) {
  int fd = udp_connected(args.port), spins = mode_has("spin"), polls = mode_has("epoll"), poller = epoll_of(fd);
  struct epoll_event event;
  Rounds rounds;
  set_receive_timeout(fd, 1000);
  if (spins || polls) set_nonblocking(fd);
  for (rounds_init(&rounds); rounds_left(&rounds); rounds_end(&rounds)) {
    ssize_t n;
    rounds_begin(&rounds);
    send(fd, out, args.size, 0);
    if (polls) epoll_wait(poller, &event, 1, 1000);
    do n = recv(fd, in, sizeof in, 0);
    while (spins && n < 0);
    if (n != (ssize_t)args.size) die("a short reply");
  }
  report_rounds(&rounds);
}

static void ask_ahead(void) {
  int fd = udp_connected(args.port);
  set_receive_timeout(fd, 1000);
  u64 sent = 0, got = 0, start = now_ns(), cpu = cpu_ns();
  for (; sent < OUTSTANDING; sent++) send(fd, out, args.size, 0);
  for (; got < args.count; got++) {
    if (recv(fd, in, sizeof in, 0) < 0) die("lost");
    if (sent < args.count) send(fd, out, args.size, 0), sent++;
  }
  report_pipe(got, start, cpu, 0, 0);
}

/* ---- in batches ---- */

static void serve_batches(void) {
  int fd = udp_bound(loopback(args.port));
  Batch *batch = batch_new(DATAGRAM, 1);
  set_receive_timeout(fd, 100);
  server_ready();
  while (!server_stopped()) {
    int n = batch_receive(batch, fd, BATCH, MSG_WAITFORONE);
    if (n <= 0) continue;
    for (int i = 0; i < n; i++) batch->parts[i].iov_len = batch->headers[i].msg_len;
    batch_send(batch, fd, n);
    server_received((u64)n);
  }
}

static void ask_in_batches(void) {
  int fd = udp_connected(args.port);
  Batch *replies = batch_new(DATAGRAM, 0), *requests = batch_new(args.size, 0);
  set_receive_timeout(fd, 1000);
  u64 sent = OUTSTANDING, got = 0, start = now_ns(), cpu = cpu_ns();
  batch_send(requests, fd, OUTSTANDING);
  while (got < args.count) {
    int n = batch_receive(replies, fd, BATCH, MSG_WAITFORONE);
    if (n <= 0) die("lost");
    got += (u64)n;
    if (sent + (u64)n > args.count + OUTSTANDING) n = (int)(args.count + OUTSTANDING - sent);
    if (n > 0) batch_send(requests, fd, n), sent += (u64)n;
  }
  report_pipe(got, start, cpu, 0, 0);
}

/* ---- .pack: messages share datagrams; .gso: the kernel cuts and joins them ---- */

static void serve_shared(void) {
  int fd = udp_bound(loopback(args.port)), packs = mode_has("pack");
  struct sockaddr_in from;
  u32 segment;
  if (!packs) accept_segments(fd);
  set_receive_timeout(fd, 100);
  server_ready();
  while (!server_stopped()) {
    ssize_t n = receive_segments(fd, in, 65536, &from, &segment);
    if (n < 0) continue;
    send_segments(fd, in, (size_t)n, &from, packs ? (size_t)n : segment);
    server_received((u64)n / (packs ? frame_bytes() : segment));
  }
}

static void ask_shared(void) {
  int fd = udp_connected(args.port), packs = mode_has("pack");
  size_t each = packs ? frame_bytes() : args.size;
  u64 most = packs ? PACKED / each : OUTSTANDING, sent = 0, got = 0, due = OUTSTANDING;
  u32 segment;
  if (!packs) accept_segments(fd);
  set_receive_timeout(fd, 1000);
  u64 start = now_ns(), cpu = cpu_ns();
  while (got < args.count) {
    while (due) {
      u64 part = due < most ? due : most;
      send_segments(fd, out, part * each, NULL, packs ? part * each : each);
      due -= part;
      sent += part;
    }
    ssize_t n = receive_segments(fd, in, 65536, NULL, &segment);
    if (n < 0) die("lost");
    got += due = (u64)n / each;
    if (sent + due > args.count) due = args.count - sent;
  }
  report_pipe(got, start, cpu, 0, 0);
}

const Mode udp_echo_modes[] = {
    {"udp.rr", serve_blocking, ask_one_by_one},
    {"udp.rr.epoll", serve_polling, ask_one_by_one},
    {"udp.rr.spin", serve_polling, ask_one_by_one},
    {"udp.pipe", serve_blocking, ask_ahead},
    {"udp.pipe.mm", serve_batches, ask_in_batches},
    {"udp.pipe.pack", serve_shared, ask_shared},
    {"udp.pipe.gso", serve_shared, ask_shared},
    {NULL, NULL, NULL},
};
