/* zmq.c - ZeroMQ. Modes: {tcp,ipc}.{rr,pipe,ow,big}, and the server tcp.many (ROUTER) */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "common.h"

static void *zmq;
static char url[128];
static u8 *data;

static void must(int code, const char *what) {
  if (code < 0) die("%s: %s", what, zmq_strerror(zmq_errno()));
}

static void set_option(int option, int value) { zmq_setsockopt(zmq, option, &value, sizeof value); }

static void open_socket(int type) {
  zmq = zmq_socket(zmq_ctx_new(), type);
  if (!zmq) die("zmq_socket");
  set_option(ZMQ_RCVTIMEO, args.is_server ? 100 : 5000);
  set_option(ZMQ_LINGER, 0);
  set_option(ZMQ_BACKLOG, 4096);
  if (!args.heartbeat_ms) return;
  set_option(ZMQ_HEARTBEAT_IVL, (int)args.heartbeat_ms);
  set_option(ZMQ_HEARTBEAT_TIMEOUT, (int)args.heartbeat_ms * 10);
}

static void serve(void) {
  int many = mode_has("many"), asks = mode_has(".rr"), routes = mode_has(".pipe") || many;
  zmq_msg_t id, message;
  server_base();
  open_socket(asks ? ZMQ_REP : routes ? ZMQ_ROUTER : ZMQ_PAIR);
  must(zmq_bind(zmq, url), "zmq_bind");
  server_ready();
  zmq_msg_init(&id);
  zmq_msg_init(&message);
  while (!server_stopped()) {
    if (routes && zmq_msg_recv(&id, zmq, 0) < 0) continue;
    if (zmq_msg_recv(&message, zmq, 0) < 0) continue;
    if (routes && !many) zmq_msg_send(&id, zmq, ZMQ_SNDMORE);
    if (asks || (routes && !many)) zmq_msg_send(&message, zmq, 0);
    server_received(1);
  }
}

static void send_one(void) { must(zmq_send(zmq, data, args.size, 0), "zmq_send"); }

static void receive_one(void) {
  static zmq_msg_t message;
  static int is_ready;
  if (!is_ready) is_ready = !zmq_msg_init(&message);
  must(zmq_msg_recv(&message, zmq, 0), "zmq_msg_recv");
}

static const Blocking blocking = {send_one, receive_one};

static void run_client(void) {
  open_socket(mode_has(".rr") ? ZMQ_REQ : mode_has(".pipe") ? ZMQ_DEALER : ZMQ_PAIR);
  must(zmq_connect(zmq, url), "zmq_connect");
  usleep(50000);
  if (mode_has(".rr")) blocking_rounds(&blocking);
  else if (mode_has(".pipe")) blocking_pipe(&blocking);
  else blocking_one_way(&blocking);
}

int main(int argc, char **argv) {
  bench_init(argc, argv, "zmq");
  data = must_alloc(args.size);
  if (mode_has("ipc")) snprintf(url, sizeof url, "ipc:///dev/shm/bench-zmq.%d", args.port);
  else snprintf(url, sizeof url, "tcp://127.0.0.1:%d", args.port);
  if (args.is_server) {
    serve();
    server_final();
  } else {
    wait_for_server();
    run_client();
  }
  fflush(stdout);
  _exit(0); /* its threads are not waited for */
}
