/* raw_tcp.c - one TCP connection: round trips, one-way messages in frames, big messages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "raw.h"
#include "sockets.h"

enum { OUTSTANDING = 64, WRITE = 65536 };

static u8 in[BIG], out[BIG];

static int accept_one(void) {
  int listener = tcp_listen(args.port);
  server_ready();
  int fd = accept(listener, NULL, NULL);
  CHECK(fd);
  set_no_delay(fd);
  set_receive_timeout(fd, 100);
  if (mode_has("spin") || mode_has("epoll")) set_nonblocking(fd);
  return fd;
}

static void must_write(int fd, size_t count) {
  if (write_all(fd, out, count)) die("write");
}

static void wait_for_stop(void) {
  while (!server_stopped()) usleep(1000);
}

/* ---- round trips ---- */

/* Reads what is there and answers all whole frames with one write. */
static void serve_echo(void) {
  int fd = accept_one(), polls = mode_has("epoll"), poller = epoll_of(fd);
  struct epoll_event event;
  size_t have = 0;
  while (!server_stopped()) {
    if (polls && epoll_wait(poller, &event, 1, 100) <= 0) continue;
    ssize_t n = read(fd, in + have, sizeof in - have);
    if (n == 0) break;
    if (n < 0) continue;
    have += (size_t)n;
    u64 frames = have / frame_bytes();
    size_t whole = frames * frame_bytes();
    if (!frames) continue;
    if (write_all(fd, in, whole)) break;
    have -= whole;
    if (have) memmove(in, in + whole, have);
    server_received(frames);
  }
}

static void ask_one_by_one(void) {
  int fd = tcp_connect(args.port), polls = mode_has("epoll"), poller = epoll_of(fd);
  struct epoll_event event;
  Rounds rounds;
  if (polls || mode_has("spin")) set_nonblocking(fd);
  put_frames(out, 1);
  for (rounds_init(&rounds); rounds_left(&rounds); rounds_end(&rounds)) {
    rounds_begin(&rounds);
    must_write(fd, frame_bytes());
    for (size_t got = 0; got < frame_bytes();) {
      if (polls) epoll_wait(poller, &event, 1, 1000);
      ssize_t n = read(fd, in, frame_bytes() - got);
      if (n == 0) die("end of the stream");
      if (n > 0) got += (size_t)n;
    }
  }
  report_rounds(&rounds);
}

static void ask_ahead(void) {
  int fd = tcp_connect(args.port);
  size_t have = 0;
  put_frames(out, BIG / frame_bytes());
  u64 sent = OUTSTANDING, got = 0, start = now_ns(), cpu = cpu_ns();
  must_write(fd, OUTSTANDING * frame_bytes());
  while (got < args.count) {
    ssize_t n = read(fd, in, sizeof in);
    if (n <= 0) die("end of the stream");
    have += (size_t)n;
    u64 frames = have / frame_bytes();
    have -= frames * frame_bytes();
    got += frames;
    if (sent + frames > args.count) frames = args.count - sent;
    if (frames) must_write(fd, frames * frame_bytes()), sent += frames;
  }
  report_pipe(got, start, cpu, 0, 0);
}

/* ---- one way ---- */

static void receive_frames(void) {
  int fd = accept_one();
  size_t have = 0, used;
  while (!server_stopped()) {
    ssize_t n = read(fd, in + have, sizeof in - have);
    if (n == 0) break;
    if (n < 0) continue;
    have += (size_t)n;
    u64 messages = count_frames(in, have, &used);
    have -= used;
    if (have && used) memmove(in, in + used, have);
    if (messages) server_received(messages);
  }
  wait_for_stop();
}

/* One write for each message, or for 64 KiB of them. */
static void send_frames(void) {
  int fd = tcp_connect(args.port);
  u64 each = mode_has("batch") ? WRITE / frame_bytes() : 1, sent = 0, cpu = cpu_ns();
  put_frames(out, each);
  for (; sent < args.count; sent += each) must_write(fd, each * frame_bytes());
  report_one_way(sent, cpu_ns() - cpu);
}

/* ---- big messages, each put together in one buffer ---- */

static void set_low_water(int fd, size_t left) {
  static int set;
  int bytes = left < 1 << 20 ? (int)left : 1 << 20;
  if (bytes == set) return;
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
  set = bytes;
}

/* As read_all, but wakes up once for a megabyte. */
static int read_in_portions(int fd, u8 *bytes, size_t count) {
  for (size_t left = count; left;) {
    set_low_water(fd, left);
    ssize_t n = read(fd, bytes + count - left, left);
    if (n > 0) left -= (size_t)n;
    else if (n == 0 || errno != EAGAIN || server_stopped()) return -1;
  }
  set_low_water(fd, 1);
  return 0;
}

static void receive_big(void) {
  int fd = accept_one();
  u8 *message = NULL;
  size_t room = 0;
  Frame frame;
  while (!server_stopped() && !read_all(fd, &frame, sizeof frame)) {
    if (frame.length > room) {
      free(message);
      message = must_alloc(room = frame.length);
    }
    if (mode_has("lowat") ? read_in_portions(fd, message, frame.length) : read_all(fd, message, frame.length)) break;
    server_received(1);
  }
  wait_for_stop();
}

static void send_big(void) {
  int fd = tcp_connect(args.port);
  u8 *message = must_alloc(frame_bytes());
  memset(message, 7, frame_bytes());
  put_frames(message, 1);
  u64 cpu = cpu_ns();
  for (u64 i = 0; i < args.count; i++)
    if (write_all(fd, message, frame_bytes())) die("write");
  report_one_way(args.count, cpu_ns() - cpu);
}

const Mode tcp_modes[] = {
    {"tcp.rr", serve_echo, ask_one_by_one},
    {"tcp.rr.epoll", serve_echo, ask_one_by_one},
    {"tcp.rr.spin", serve_echo, ask_one_by_one},
    {"tcp.pipe", serve_echo, ask_ahead},
    {"tcp.ow", receive_frames, send_frames},
    {"tcp.ow.spin", receive_frames, send_frames},
    {"tcp.ow.batch", receive_frames, send_frames},
    {"tcp.big", receive_big, send_big},
    {"tcp.big.spin", receive_big, send_big},
    {"tcp.big.lowat", receive_big, send_big},
    {NULL, NULL, NULL},
};
