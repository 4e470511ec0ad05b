/* uv.c - libuv, with the framing of the bare programs done by hand: a loop without a protocol.
   Modes: tcp.{rr,pipe,ow,ow.batch,big,many}, udp.{rr,pipe,ow} */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common.h"
#include "frames.h"
#include "sockets.h"

typedef struct {
  uv_tcp_t stream;
  size_t have; /* of an incomplete frame */
  u8 *part;
} Connection;

typedef struct {
  uv_write_t request;
  u8 bytes[];
} Write;

/* The one big message that is being put together. */
static struct {
  Frame frame;
  u8 *bytes;
  size_t frame_have, need, have;
} big;

static uv_loop_t *loop;
static uv_udp_t udp;
static Connection *client;
static int is_udp, is_big, echoes;
static u8 buffer[1 << 18], *out;
static struct sockaddr_in server;
static u64 got, sent, writes_pending;
static Rounds rounds;

static void must(int code, const char *what) {
  if (code < 0) die("%s: %s", what, uv_strerror(code));
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status) {
  (void)status;
  writes_pending--;
  free(request);
}

static void on_sent(uv_udp_send_t *request, int status) {
  (void)status;
  free(request);
}

static void write_copy(Connection *to, const u8 *bytes, size_t count) {
  uv_buf_t part = uv_buf_init((char *)bytes, (unsigned)count);
  int n = uv_try_write((uv_stream_t *)&to->stream, &part, 1);
  if (n < 0) n = 0;
  if ((size_t)n == count) return;
  Write *write = must_alloc(sizeof *write + count);
  memcpy(write->bytes, bytes + n, count - (size_t)n);
  part = uv_buf_init((char *)write->bytes, (unsigned)(count - (size_t)n));
  writes_pending++;
  uv_write(&write->request, (uv_stream_t *)&to->stream, &part, 1, on_written);
}

static void send_datagram(const struct sockaddr *to, const u8 *bytes, size_t count) {
  uv_buf_t part = uv_buf_init((char *)bytes, (unsigned)count);
  if (uv_udp_try_send(&udp, &part, 1, to) >= 0) return;
  uv_udp_send_t *request = must_alloc(sizeof *request + count);
  memcpy(request + 1, bytes, count);
  part = uv_buf_init((char *)(request + 1), (unsigned)count);
  uv_udp_send(request, &udp, &part, 1, to, on_sent);
}

/* ---- messages ---- */

static void ask(u64 messages) {
  sent += messages;
  if (!is_udp) write_copy(client, out, messages * frame_bytes());
  for (; is_udp && messages; messages--) send_datagram(NULL, out, args.size);
}

static void next_round(void) {
  rounds_end(&rounds);
  if (!rounds_left(&rounds)) {
    uv_stop(loop);
    return;
  }
  rounds_begin(&rounds);
  ask(1);
}

static void on_frames(Connection *from, const u8 *bytes, u64 messages) {
  if (args.is_server) {
    if (echoes) write_copy(from, bytes, messages * frame_bytes());
    server_received(messages);
    return;
  }
  if (mode_has(".rr")) {
    next_round();
    return;
  }
  got += messages;
  if (got >= args.count) uv_stop(loop);
  else if (sent < args.count) ask(sent + messages > args.count ? args.count - sent : messages);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *room) {
  (void)handle, (void)hint;
  *room = uv_buf_init((char *)buffer, sizeof buffer);
  if (is_udp || !is_big || !args.is_server) return;
  if (big.need) *room = uv_buf_init((char *)big.bytes + big.have, (unsigned)(big.need - big.have));
  else *room = uv_buf_init((char *)&big.frame + big.frame_have, (unsigned)(sizeof big.frame - big.frame_have));
}

/* Big messages are read straight into their place. */
static void take_big(size_t count) {
  if (big.need) {
    big.have += count;
    if (big.have < big.need) return;
    big.need = 0;
    server_received(1);
    return;
  }
  big.frame_have += count;
  if (big.frame_have < sizeof big.frame) return;
  big.frame_have = big.have = 0;
  big.need = big.frame.length;
  if (!big.bytes) big.bytes = must_alloc(big.need);
}

static void take_frames(Connection *from, const u8 *bytes, size_t count) {
  u8 *joined = NULL;
  if (from->have) {
    joined = must_alloc(from->have + count);
    memcpy(joined, from->part, from->have);
    memcpy(joined + from->have, bytes, count);
    bytes = joined;
    count += from->have;
    free(from->part);
    from->have = 0;
  }
  size_t used;
  u64 messages = count_frames(bytes, count, &used);
  if (used < count) {
    from->have = count - used;
    from->part = must_alloc(from->have);
    memcpy(from->part, bytes + used, from->have);
  }
  if (messages) on_frames(from, bytes, messages);
  free(joined);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *room) {
  if (count < 0) uv_read_stop(stream);
  else if (is_big && args.is_server) take_big((size_t)count);
  else take_frames(stream->data, (const u8 *)room->base, (size_t)count);
}

static void on_datagram(uv_udp_t *handle, ssize_t count, const uv_buf_t *room, const struct sockaddr *from,
                        unsigned flags) {
  (void)handle, (void)flags;
  if (count <= 0 || !from) return;
  if (!args.is_server) {
    on_frames(NULL, NULL, 1);
    return;
  }
  if (echoes) send_datagram(from, (const u8 *)room->base, (size_t)count);
  server_received(1);
}

/* ---- opening ---- */

static Connection *new_connection(void) {
  Connection *connection = must_alloc(sizeof *connection);
  must(uv_tcp_init(loop, &connection->stream), "uv_tcp_init");
  connection->stream.data = connection;
  return connection;
}

static void start_reading(Connection *connection) {
  uv_tcp_nodelay(&connection->stream, 1);
  uv_read_start((uv_stream_t *)&connection->stream, on_alloc, on_read);
}

static void on_connection(uv_stream_t *listener, int status) {
  (void)status;
  Connection *connection = new_connection();
  must(uv_accept(listener, (uv_stream_t *)&connection->stream), "uv_accept");
  start_reading(connection);
}

static void on_tick(uv_timer_t *timer) {
  (void)timer;
  if (server_stopped()) uv_stop(loop);
}

static void start_udp(void) {
  int fd;
  uv_fileno((uv_handle_t *)&udp, &fd);
  set_buffers(fd);
  must(uv_udp_recv_start(&udp, on_alloc, on_datagram), "uv_udp_recv_start");
}

static void serve(void) {
  static uv_tcp_t listener;
  static uv_timer_t tick;
  struct sockaddr_in address = loopback(args.port);
  server_base();
  if (is_udp) {
    must(uv_udp_init_ex(loop, &udp, AF_INET | UV_UDP_RECVMMSG), "uv_udp_init_ex");
    must(uv_udp_bind(&udp, (void *)&address, 0), "uv_udp_bind");
    start_udp();
  } else {
    uv_tcp_init(loop, &listener);
    must(uv_tcp_bind(&listener, (void *)&address, 0), "uv_tcp_bind");
    must(uv_listen((uv_stream_t *)&listener, 4096, on_connection), "uv_listen");
  }
  uv_timer_init(loop, &tick);
  uv_timer_start(&tick, on_tick, 50, 50);
  server_ready();
  uv_run(loop, UV_RUN_DEFAULT);
}

static void on_connected(uv_connect_t *request, int status) {
  (void)request;
  must(status, "uv_tcp_connect");
  uv_stop(loop);
}

static void connect_client(void) {
  static uv_connect_t request;
  server = loopback(args.port);
  if (is_udp) {
    must(uv_udp_init_ex(loop, &udp, AF_INET), "uv_udp_init_ex");
    must(uv_udp_connect(&udp, (void *)&server), "uv_udp_connect");
    start_udp();
    return;
  }
  client = new_connection();
  must(uv_tcp_connect(&request, &client->stream, (void *)&server, on_connected), "uv_tcp_connect");
  uv_run(loop, UV_RUN_DEFAULT);
  start_reading(client);
}

/* ---- client ---- */

static void run_rounds(void) {
  rounds_init(&rounds);
  rounds_begin(&rounds);
  ask(1);
  uv_run(loop, UV_RUN_DEFAULT);
  report_rounds(&rounds);
}

static void run_pipe(void) {
  enum { OUTSTANDING = 64 };
  u64 start = now_ns(), cpu = cpu_ns();
  ask(OUTSTANDING);
  uv_run(loop, UV_RUN_DEFAULT);
  report_pipe(got, start, cpu, 0, 0);
}

static void write_frames(u64 messages) {
  uv_write_t *request = must_alloc(sizeof *request);
  uv_buf_t part = uv_buf_init((char *)out, (unsigned)(messages * frame_bytes()));
  writes_pending++;
  uv_write(request, (uv_stream_t *)&client->stream, &part, 1, on_written);
  sent += messages;
  while (writes_pending > (is_big ? 1 : 64)) uv_run(loop, UV_RUN_ONCE);
}

static void run_one_way(void) {
  u64 cpu = cpu_ns(), each = mode_has("batch") ? 65536 / frame_bytes() : 1;
  while (sent < args.count) {
    if (is_udp) {
      window_wait(sent, 1);
      ask(1);
    } else {
      write_frames(each);
    }
  }
  while (writes_pending) uv_run(loop, UV_RUN_ONCE);
  report_one_way(sent, cpu_ns() - cpu);
}

static void make_output(void) {
  out = must_alloc(frame_bytes() + 65536);
  if (!is_udp) put_frames(out, 1 + 65536 / frame_bytes());
}

int main(int argc, char **argv) {
  bench_init(argc, argv, "uv");
  loop = uv_default_loop();
  is_udp = mode_has("udp");
  is_big = args.size >= 65536;
  echoes = mode_has(".rr") || mode_has(".pipe");
  make_output();
  if (args.is_server) {
    serve();
    server_final();
    return 0;
  }
  wait_for_server();
  connect_client();
  if (mode_has(".rr")) run_rounds();
  else if (mode_has(".pipe")) run_pipe();
  else run_one_way();
  return 0;
}
