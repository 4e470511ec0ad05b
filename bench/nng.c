/* nng.c - nng. Modes: {tcp,ipc}.{rr,pipe,pipe.req,ow,big}, and the server tcp.many (pull0) */
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

static nng_socket nng;
static char url[128];
static u8 *data;

static void must(int code, const char *what) {
  if (code) die("%s: %s", what, nng_strerror(code));
}

static void set_options(void) {
  nng_socket_set_ms(nng, NNG_OPT_RECVTIMEO, args.is_server ? 100 : 5000);
  nng_socket_set_size(nng, NNG_OPT_RECVMAXSZ, 0);
  if (args.size >= 65536) return;
  nng_socket_set_int(nng, NNG_OPT_RECVBUF, 256);
  nng_socket_set_int(nng, NNG_OPT_SENDBUF, 256);
}

static void serve(void) {
  int asks = mode_has(".rr") || mode_has(".req"), echoes = asks || mode_has(".pipe");
  server_base();
  must(mode_has("many") ? nng_pull0_open(&nng) : asks ? nng_rep0_open(&nng) : nng_pair0_open(&nng), "open");
  set_options();
  must(nng_listen(nng, url, NULL, 0), "nng_listen");
  server_ready();
  while (!server_stopped()) {
    nng_msg *message;
    int code = nng_recvmsg(nng, &message, 0);
    if (code == NNG_ETIMEDOUT) continue;
    must(code, "nng_recvmsg");
    if (!echoes || nng_sendmsg(nng, message, 0)) nng_msg_free(message);
    server_received(1);
  }
}

static void send_one(void) { must(nng_send(nng, data, args.size, 0), "nng_send"); }

static void receive_one(void) {
  nng_msg *message;
  must(nng_recvmsg(nng, &message, 0), "nng_recvmsg");
  nng_msg_free(message);
}

static const Blocking blocking = {send_one, receive_one};

/* ---- requests: each context has one outstanding ---- */

typedef struct {
  nng_ctx context;
  nng_aio *operation;
  int is_receiving;
} Request;

static _Atomic u64 requests_sent, replies;

static void send_request(Request *request) {
  nng_msg *message;
  must(nng_msg_alloc(&message, args.size), "nng_msg_alloc");
  request->is_receiving = 0;
  nng_aio_set_msg(request->operation, message);
  nng_ctx_send(request->context, request->operation);
}

static void on_done(void *argument) {
  Request *request = argument;
  if (nng_aio_result(request->operation)) return;
  if (!request->is_receiving) {
    request->is_receiving = 1;
    nng_ctx_recv(request->context, request->operation);
    return;
  }
  nng_msg_free(nng_aio_get_msg(request->operation));
  atomic_fetch_add(&replies, 1);
  if (atomic_fetch_add(&requests_sent, 1) < args.count) send_request(request);
}

static void ask_in_contexts(void) {
  Request *requests = must_alloc(args.outstanding * sizeof *requests);
  u64 start = now_ns(), cpu = cpu_ns();
  requests_sent = args.outstanding;
  for (u64 i = 0; i < args.outstanding; i++) {
    must(nng_ctx_open(&requests[i].context, nng), "nng_ctx_open");
    must(nng_aio_alloc(&requests[i].operation, on_done, &requests[i]), "nng_aio_alloc");
  }
  for (u64 i = 0; i < args.outstanding; i++) send_request(&requests[i]);
  while (replies < args.count) usleep(500);
  report_pipe(replies, start, cpu, 0, 0);
}

static void run_client(void) {
  int asks = mode_has(".rr") || mode_has(".req");
  must(asks ? nng_req0_open(&nng) : nng_pair0_open(&nng), "open");
  set_options();
  must(nng_dial(nng, url, NULL, 0), "nng_dial");
  usleep(50000); /* pair0 drops what is sent before the pipe is up */
  if (mode_has(".rr")) blocking_rounds(&blocking);
  else if (mode_has(".pipe.req")) ask_in_contexts();
  else if (mode_has(".pipe")) blocking_pipe(&blocking);
  else blocking_one_way(&blocking);
}

int main(int argc, char **argv) {
  bench_init(argc, argv, "nng");
  data = must_alloc(args.size);
  if (mode_has("ipc")) snprintf(url, sizeof url, "ipc:///dev/shm/bench-nng.%d", args.port);
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
