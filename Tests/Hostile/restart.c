/* A server with many connections over both transports is killed and started again at once: each client hears of its
   pending get first and of the loss once, all are back within five seconds and not all in the same moment, and a
   broadcast reaches them.

   restart [CONNECTIONS]: half of them over UDP, half over TCP (500) */
#include "server.h"

enum {
  most_connections = 4000, heartbeat_ms = 500, suspect_ms = 1000, lost_ms = 3000, wait_ms = 1000, down_ms = 300,
  back_ms = 5000, window_ms = 50, most_in_window = 200 /* of 1000 */, broadcast_bytes = 3000, limit_ms = 20000
};

typedef struct {
  int count, udp_port, tcp_port;
} Plan;

typedef struct {
  msg_Conn conn;
  int is_up, is_asking, losses, returns, messages;
} Client;

/* What all clients have seen. */
typedef struct {
  int losses, returns, missing, messages;
  int failed_attempts; /* at reconnecting, while the server was down */
  int64_t last_return; /* in nanoseconds */
} Totals;

static Client clients[most_connections];
static Totals seen;
static int up_count, is_over;

/* ---- The clients: a process of their own ---- */

static void ask(Client *client) {
  const uint8_t mark = unanswered_mark;
  CHECK_CODE(msg_get(client->conn, msg_data(&mark, 1), client), MSG_OK);
  client->is_asking = 1;
}

static void set_up(Client *client, msg_Conn conn) {
  client->conn = conn;
  client->is_up = 1;
  up_count++;
  if (client->losses > 0) {
    CHECK(++client->returns == 1);
    seen.returns++;
    seen.last_return = now_ns();
  }
  ask(client);
}

static void lost(Client *client, const msg_Event *e) {
  CHECK(client->is_up && e->conn.id == client->conn.id && e->next.id != 0);
  if (client->is_asking) test_failed(__FILE__, __LINE__, "a pending get is missing before its connection is lost");
  CHECK(++client->losses == 1);
  client->is_up = 0;
  up_count--;
  seen.losses++;
}

static void on_event(const msg_Event *e) {
  Client *client = e->context;
  if (is_over) return;
  switch (e->type) {
  case msg_connection_setup: set_up(client, e->conn); break;
  case msg_connection_setup_error:
    CHECK(client->losses == 1 && e->next.id != 0);
    seen.failed_attempts++;
    break;
  case msg_reply_missing:
    CHECK(client->is_asking && client->is_up && e->code == MSG_ERR_CONNECTION_ENDED);
    client->is_asking = 0;
    seen.missing++;
    break;
  case msg_connection_lost: lost(client, e); break;
  case msg_message:
    CHECK(e->data.count == broadcast_bytes && ++client->messages == 1);
    seen.messages++;
    break;
  default: test_failed(__FILE__, __LINE__, msg_event_name(e->type));
  }
}

static void connect_all(const Plan *plan) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.heartbeat_ms = heartbeat_ms;
  options.suspect_ms = suspect_ms;
  options.lost_ms = lost_ms;
  options.reconnect_wait_ms = wait_ms;
  options.connect_timeout_ms = limit_ms;
  options.get_timeout_ms = 3 * limit_ms;
  for (int i = 0; i < plan->count; i++) {
    options.context = &clients[i];
    const char *address = i % 2 == 0 ? address_of("udp", plan->udp_port) : address_of("tcp", plan->tcp_port);
    CHECK(msg_box_connect(msg_default_box(), address, on_event, &options).id != 0);
  }
  WAIT_FOR(up_count == plan->count, limit_ms);
}

static void run_clients(int control, const void *given) {
  const Plan *plan = given;
  Command command;
  connect_all(plan);
  answer_command(control, "", 1);
  while (next_command(control, &command, 100, NULL)) {
    if (command.what == 'r') WAIT_FOR(seen.returns == plan->count, limit_ms);
    if (command.what == 'm') WAIT_FOR(seen.messages == plan->count, limit_ms);
    answer_command(control, &seen, sizeof seen);
  }
  is_over = 1;
}

/* ---- The one who kills ---- */

/* How many of 1000 connections came in the busiest window. */
static int share_of_busiest(const int64_t *times, int count) {
  int most = 0;
  for (int from = 0, to = 0; from < count; from++) {
    while (to < count && times[to] - times[from] < (int64_t)window_ms * 1000000) to++;
    if (to - from > most) most = to - from;
  }
  return most * 1000 / count;
}

static void check_return(const Process *server, const Plan *plan, const Totals *back, int64_t restarted) {
  static int64_t times[most_connections];
  int count = server_ready_times(server, times, most_connections), share = share_of_busiest(times, count);
  double last = (double)(back->last_return - restarted) / 1e6;
  printf("%d connections: %d lost once, %d gets missing before that, all back %.0f ms after the start, %d of 1000 of them "
         "in the busiest %d ms; %d attempts while it was down\n",
         plan->count, back->losses, back->missing, last, share, window_ms, back->failed_attempts);
  CHECK(back->losses == plan->count && back->missing == plan->count && back->returns == plan->count);
  CHECK(count == plan->count);
  CHECK(last <= back_ms);
  CHECK(share <= most_in_window);
}

int main(int argc, char **argv) {
  Plan plan = {.count = argc > 1 ? atoi(argv[1]) : 500};
  CHECK(plan.count > 1 && plan.count <= most_connections);
  alarm(120);
  ServerSettings settings = {.implicit_port = -1, .heartbeat_ms = heartbeat_ms, .lost_ms = lost_ms};
  Ports ports;
  Process server = server_start(&settings, &ports);
  plan.udp_port = settings.udp_port = ports.udp_port;
  plan.tcp_port = settings.tcp_port = ports.tcp_port;
  Process all = process_start(run_clients, &plan);
  char byte;
  process_hear(&all, &byte, 1);
  CHECK(server_report(&server).ready == (uint64_t)plan.count);

  process_kill(&server);
  struct timespec down = {.tv_nsec = down_ms * 1000000};
  nanosleep(&down, NULL);
  server = server_start(&settings, &ports);
  int64_t restarted = now_ns();
  Totals back;
  process_ask(&all, 'r', 0, &back, sizeof back);
  check_return(&server, &plan, &back, restarted);

  CHECK(server_broadcast(&server, broadcast_bytes) == (uint64_t)plan.count);
  process_ask(&all, 'm', 0, &back, sizeof back);
  CHECK(back.messages == plan.count && back.losses == plan.count);
  printf("a broadcast of %d bytes reached %d\n", broadcast_bytes, back.messages);
  process_finish(&all);
  server_finish(&server);
  return 0;
}
