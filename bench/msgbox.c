/* msgbox.c - MsgBox through its C header.
   Modes: {udp,tcp}.rr[.spin]    one request at a time; .spin: both sides never sleep
          {udp,tcp}.pipe         BENCH_OUT requests outstanding, each reply checked against its request
          udp.ow tcp.ow          one-way, BENCH_BURST messages per turn, so that they share datagrams
          udp.ow.rel             the same, reliable
          udp.ow.alone           one-way, one datagram per message
          {udp,tcp}.big          one-way, few and large; reliable over UDP
          {udp,tcp}.many         the server of many connections; manycli.c is its client
   BENCH_BOXES  boxes of the server, each in a thread of its own, that share the port (1)
   BENCH_WORK   what the program itself does with each message: steps of a random generator (0) */
#include <msgbox.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

static _Atomic int is_ended; /* the connection, or the listener, has ended or never was */

static int is_udp(void) { return !strncmp(args.mode, "udp", 3); }

static const char *address(void) {
  static _Thread_local char text[64];
  snprintf(text, sizeof text, "%s://127.0.0.1:%d", is_udp() ? "udp" : "tcp", args.port);
  return text;
}

/* Peers have no marks, or larger ones than MsgBox; none is to be hit but where waiting is the point. */
static msg_Options generous(void) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_messages = 1 << 20;
  options.send_mark_bytes = 64 << 20;
  options.get_timeout_ms = 30000;
  if (args.size > 1 << 20) options.max_message_bytes = (u32)args.size;
  return options;
}

static void widen_box(void) {
  msg_BoxOptions options = MSG_BOX_OPTIONS_INIT;
  options.send_mark_messages = 1 << 21;
  msg_box_set_options(msg_default_box(), &options);
}

static int is_end(u32 type) {
  return type == msg_connection_setup_error || type == msg_connection_closed || type == msg_connection_lost ||
         type == msg_listening_error || type == msg_listening_ended;
}

static void complain(const msg_Event *event) {
  fprintf(stderr, "msgbox: %s: %s\n", msg_event_name(event->type), msg_status_text(event->code));
}

/* One turn of the default box. */
static void turn(int timeout_ms) {
  int32_t code = msg_runloop(timeout_ms);
  if (code < 0) die("msg_runloop: %s", msg_status_text(code));
}

/* ---- server ---- */

static u64 boxes, work;

/* Received and not told to the client yet: told in portions, as those who read in batches do. */
static _Thread_local u64 untold;

static void tell(void) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  if (!untold) return;
  pthread_mutex_lock(&mutex);
  server_received(untold);
  pthread_mutex_unlock(&mutex);
  untold = 0;
}

static void received_one(void) {
  static _Thread_local u64 state = 1;
  for (u64 i = 0; i < work; i++) next_random(&state);
  if (++untold >= 64) tell();
}

/* The last box that listens makes the server ready. */
static void listens(void) {
  static _Atomic u64 listening;
  if (atomic_fetch_add(&listening, 1) + 1 == boxes) server_ready();
}

static void on_server_event(const msg_Event *event) {
  switch (event->type) {
    case msg_message: received_one(); break;
    case msg_request: {
      int32_t code = msg_answer(event->request, event->data);
      if (code) die("msg_answer: %s", msg_status_text(code));
      received_one();
      break;
    }
    case msg_listening: listens(); break;
    case msg_listening_error:
      complain(event);
      is_ended = 1;
      break;
    case msg_connection_lost: complain(event); break;
    default: break;
  }
}

/* Without heartbeats the times are as long as they may be, so that nobody is suspected. */
static void set_heartbeats(msg_Options *options) {
  u64 beat = args.heartbeat_ms ? args.heartbeat_ms : 8000000, lost = beat * 10 + 1000;
  options->heartbeat_ms = (u32)beat;
  options->lost_ms = (u32)(lost > 86400000 ? 86400000 : lost);
  options->suspect_ms = options->lost_ms / 2;
}

/* Runs the default box of the calling thread. */
static void *serve_box(void *unused) {
  msg_Options options = generous();
  if (mode_has("many")) set_heartbeats(&options);
  options.share_port = boxes > 1;
  widen_box();
  msg_box_listen(msg_default_box(), address(), on_server_event, &options);
  int wait_ms = mode_has("spin") ? 0 : 100;
  while (!server_stopped() && !is_ended) {
    turn(wait_ms);
    tell();
  }
  return unused;
}

static void serve(void) {
  pthread_t threads[64];
  boxes = env_u64("BENCH_BOXES", 1);
  work = env_u64("BENCH_WORK", 0);
  if (boxes < 1 || boxes > sizeof threads / sizeof *threads) die("1 to 64 boxes");
  server_base();
  for (u64 i = 1; i < boxes; i++)
    if (pthread_create(&threads[i], NULL, serve_box, NULL)) die("pthread_create");
  serve_box(NULL);
  for (u64 i = 1; i < boxes; i++) pthread_join(threads[i], NULL);
}

/* ---- client ---- */

static msg_Conn server;
static int is_setup, is_blocked;

static void on_event(const msg_Event *event) {
  if (event->type == msg_connection_setup) is_setup = 1;
  if (event->type == msg_writable) is_blocked = 0;
  if (!is_end(event->type)) return;
  complain(event);
  is_ended = 1;
}

static void connect_with(msg_Callback callback, msg_Options options) {
  widen_box();
  server = msg_box_connect(msg_default_box(), address(), callback, &options);
  while (!is_setup && !is_ended) turn(1000);
  if (is_ended) die("no connection");
}

/* A payload begins with the number of its request; the rest is the same in all. */
static u8 *payload;

static void make_payload(void) {
  payload = must_alloc(args.size + sizeof(u64));
  memset(payload, 7, args.size);
}

/* ---- request and reply ---- */

static Rounds rounds;

static void on_round_event(const msg_Event *event) {
  if (event->type == msg_reply_missing) die("a reply is missing: %s", msg_status_text(event->code));
  if (event->type == msg_reply) {
    if (event->data.count != args.size) die("a short reply");
    rounds_end(&rounds);
    return;
  }
  on_event(event);
}

static void run_rounds(void) {
  connect_with(on_round_event, generous());
  rounds_init(&rounds);
  int wait_ms = mode_has("spin") ? 0 : 1000;
  while (rounds_left(&rounds)) {
    u64 done = rounds.done;
    rounds_begin(&rounds);
    int32_t code = msg_get(server, msg_data(payload, args.size), NULL);
    if (code) die("msg_get: %s", msg_status_text(code));
    while (rounds.done == done && !is_ended) turn(wait_ms);
    if (is_ended) die("the connection has ended");
  }
  report_rounds(&rounds);
}

/* ---- pipelined requests ---- */

static struct {
  u64 sent, answered, bad, missing;
  u8 *is_answered; /* by number of the request */
} pipe_state;

static void get_next(void) {
  u64 number = pipe_state.sent;
  if (args.size >= sizeof number) memcpy(payload, &number, sizeof number);
  int32_t code = msg_get(server, msg_data(payload, args.size), (void *)(uintptr_t)(number + 1));
  if (code == MSG_ERR_WOULD_BLOCK) is_blocked = 1;
  else if (code) die("msg_get: %s", msg_status_text(code));
  else pipe_state.sent++;
}

static void fill_pipe(void) {
  u64 done = pipe_state.answered + pipe_state.missing;
  while (!is_blocked && pipe_state.sent < args.count && pipe_state.sent - done < args.outstanding) get_next();
}

/* A reply is good if it has the bytes of its own request, whose context came back, and is the first. */
static int reply_is_good(const msg_Event *event, u64 number) {
  if (number >= pipe_state.sent || pipe_state.is_answered[number]++) return 0;
  if (event->data.count != args.size) return 0;
  if (args.size < sizeof number) return 1;
  return !memcmp(event->data.bytes, &number, sizeof number) &&
         !memcmp((const u8 *)event->data.bytes + sizeof number, payload + sizeof number, args.size - sizeof number);
}

static void on_pipe_event(const msg_Event *event) {
  if (event->type == msg_reply) {
    if (!reply_is_good(event, (u64)(uintptr_t)event->get_context - 1)) pipe_state.bad++;
    pipe_state.answered++;
  } else if (event->type == msg_reply_missing) {
    pipe_state.missing++;
  } else {
    on_event(event);
  }
  if (is_setup && !is_ended) fill_pipe();
}

static void run_pipe(void) {
  pipe_state.is_answered = must_alloc(args.count);
  msg_Options options = generous();
  server = msg_box_connect(msg_default_box(), address(), on_pipe_event, &options);
  widen_box();
  u64 start = 0, start_cpu = 0;
  while (pipe_state.answered + pipe_state.missing < args.count && !is_ended) {
    turn(1000);
    if (!start && is_setup) start = now_ns(), start_cpu = cpu_ns();
  }
  u64 never = args.count - pipe_state.answered - pipe_state.missing;
  report_pipe(pipe_state.answered, start, start_cpu, pipe_state.bad, pipe_state.missing + never);
}

/* ---- one way ---- */

/* The payload is the same for ever, so it may be lent. */
static void keep(void *context, msg_Data data) {
  (void)context;
  (void)data;
}

static msg_SendOptions one_way_options(void) {
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  if (args.size >= 65536) options.release = keep;
  if (mode_has("rel") || mode_is("udp.big")) options.flags |= MSG_SEND_RELIABLE;
#ifdef MSG_HAS_SEND_ALONE
  if (mode_has("alone")) options.flags |= MSG_SEND_ALONE;
#endif
  return options;
}

/* Without the flag a turn for each message keeps them apart. */
static u64 burst_size(void) {
#ifndef MSG_HAS_SEND_ALONE
  if (mode_has("alone")) return 1;
#endif
  u64 most = is_udp() ? (args.window ? args.window / 4 : 1000) : 1000;
  return env_u64("BENCH_BURST", args.size >= 65536 || !most ? 1 : most);
}

static void send_one(const msg_SendOptions *options) {
  for (;;) {
    int32_t code = msg_send_with(server, msg_data(payload, args.size), options);
    if (!code) return;
    if (code != MSG_ERR_WOULD_BLOCK) die("msg_send: %s", msg_status_text(code));
    is_blocked = 1;
    while (is_blocked && !is_ended) turn(1000);
    if (is_ended) die("the connection has ended");
  }
}

/* Waits until the window has room for `more`. What is reliable needs turns for that, which bring its acks. */
static void wait_for_window(u64 sent, u64 more, int is_reliable) {
  if (!is_reliable) {
    window_wait(sent, more);
    return;
  }
  while (sent + more > server_count() + args.window && !is_ended) turn(0);
}

/* What is queued still has to leave, and what is reliable to be acknowledged. */
static void deliver(u64 sent, u64 patience_ns) {
  u64 last = server_count(), since = now_ns();
  while (last < sent && !is_ended && now_ns() - since < patience_ns) {
    turn(1);
    if (server_count() == last) continue;
    last = server_count();
    since = now_ns();
  }
}

static msg_Options one_way_connection(int is_big) {
  msg_Options options = generous();
  if (is_big) options.send_mark_bytes = (u32)(args.size * 2 > 4 << 20 ? args.size * 2 : 4 << 20);
  else if (!is_udp()) options.send_mark_messages = 4096, options.send_mark_bytes = 1 << 20;
  return options;
}

static void run_one_way(void) {
  int is_big = args.size >= 65536, has_window = is_udp() && !is_big && args.window;
  msg_SendOptions options = one_way_options();
  int is_reliable = (options.flags & MSG_SEND_RELIABLE) != 0;
  u64 burst = burst_size(), sent = 0;
  connect_with(on_event, one_way_connection(is_big));
  u64 cpu = cpu_ns();
  while (sent < args.count && !is_ended) {
    u64 part = args.count - sent < burst ? args.count - sent : burst;
    if (has_window) wait_for_window(sent, part, is_reliable);
    for (u64 i = 0; i < part; i++) send_one(&options);
    sent += part;
    turn(0);
  }
  deliver(sent, is_reliable || !is_udp() ? 20000000000u : 300000000u);
  report_one_way(sent, cpu_ns() - cpu);
}

int main(int argc, char **argv) {
  bench_init(argc, argv, "msgbox");
  if (args.is_server) {
    serve();
    server_final();
    return is_ended;
  }
  wait_for_server();
  make_payload();
  if (mode_has(".rr")) run_rounds();
  else if (mode_has(".pipe")) run_pipe();
  else if (mode_has(".ow") || mode_has(".big")) run_one_way();
  else die("unknown mode %s", args.mode);
  fflush(stdout);
  msg_box_destroy(msg_default_box());
  return is_ended;
}
