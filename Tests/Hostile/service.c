#include "service.h"

#include "server.h"

enum { most_clients = 4096, get_bytes = 64, reliable_bytes = 200, large_bytes = 5000, settle_ms = 12000 };

typedef struct {
  msg_Conn conn;
  int is_busy, is_set_up;
  int is_asking;
  int64_t asked_at, next_get, next_reliable;
  uint32_t number; /* of the next reliable message */
} Client;

static const ServiceSettings *settings;
static Client clients[most_clients];
static int client_count, set_up_count, closed_count;
static Service seen;
static Samples gets, newcomers;
static int is_measuring, is_finishing;
static uint64_t outcomes_waiting, gets_waiting, newcomers_waiting;
static int64_t next_newcomer;

/* ---- Clients that stay ---- */

static void ask(Client *client) {
  const uint8_t content[get_bytes] = {settings->get_mark};
  if (msg_get(client->conn, msg_data(content, sizeof content), client) != MSG_OK) return;
  client->is_asking = 1;
  client->asked_at = now_ns();
  gets_waiting++;
}

/* Every eighth has several packets. */
static void send_reliably(Client *client) {
  uint8_t content[large_bytes] = {0};
  const uint32_t head[2] = {numbered_mark, client->number};
  memcpy(content, head, sizeof head);
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE | MSG_SEND_TELL;
  options.channel = 1;
  size_t count = client->number % 8 == 7 ? large_bytes : reliable_bytes;
  if (msg_send_with(client->conn, msg_data(content, count), &options) != MSG_OK) return;
  client->number++;
  outcomes_waiting++;
}

static void replied(const msg_Event *e) {
  Client *client = e->get_context;
  int64_t now = now_ns();
  gets_waiting--;
  client->is_asking = 0;
  client->next_get = now + (int64_t)settings->get_gap_ms * 1000000;
  if (e->type == msg_reply_missing) {
    seen.missing++;
    return;
  }
  seen.gets++;
  if (is_measuring) samples_add(&gets, now - client->asked_at);
}

static void settled(const msg_Event *e) {
  outcomes_waiting--;
  if (e->type == msg_delivered) seen.reliable++;
  else seen.undelivered++;
}

static void ended(const msg_Event *e) {
  Client *client = e->context;
  if (is_finishing && e->type == msg_connection_closed && e->code == MSG_END_LOCAL) {
    closed_count++;
    return;
  }
  fprintf(stderr, "a client: %s, %s\n", msg_event_name(e->type), msg_status_name(e->code));
  client->is_set_up = 0;
  seen.lost++;
}

static void on_event(const msg_Event *e) {
  switch (e->type) {
  case msg_connection_setup:
    ((Client *)e->context)->is_set_up = 1;
    set_up_count++;
    break;
  case msg_reply:
  case msg_reply_missing: replied(e); break;
  case msg_delivered:
  case msg_undelivered: settled(e); break;
  case msg_message: break;
  default: ended(e);
  }
}

static void add_clients(const char *transport, int port, int count, int is_busy) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.heartbeat_ms = settings->heartbeat_ms;
  options.suspect_ms = settings->heartbeat_ms * 2;
  options.lost_ms = settings->lost_ms;
  options.connect_timeout_ms = 20000;
  for (int i = 0; i < count; i++) {
    CHECK(client_count < most_clients);
    Client *client = &clients[client_count++];
    client->is_busy = is_busy;
    options.context = client;
    client->conn = msg_box_connect(msg_default_box(), address_of(transport, port), on_event, &options);
    CHECK(client->conn.id != 0);
  }
}

/* ---- Clients that come and go ---- */

static void on_newcomer(const msg_Event *e) {
  switch (e->type) {
  case msg_connection_setup:
    newcomers_waiting--;
    seen.newcomers++;
    samples_add(&newcomers, now_ns() - (int64_t)(intptr_t)e->context);
    CHECK_CODE(msg_disconnect(e->conn), MSG_OK);
    break;
  case msg_connection_setup_error:
    fprintf(stderr, "a new client: %s\n", msg_status_name(e->code));
    newcomers_waiting--;
    seen.turned_away++;
    break;
  case msg_connection_closed:
  case msg_connection_lost: break;
  default: test_failed(__FILE__, __LINE__, msg_event_name(e->type));
  }
}

static void let_one_come(int64_t now) {
  static int turn;
  if (settings->newcomer_gap_ms == 0 || now < next_newcomer) return;
  next_newcomer = now + (int64_t)settings->newcomer_gap_ms * 1000000;
  msg_Options options = MSG_OPTIONS_INIT;
  options.context = (void *)(intptr_t)now;
  int is_udp = !settings->has_tcp_newcomers || turn++ % 2 == 0;
  const char *address = is_udp ? address_of("udp", settings->udp_port) : address_of("tcp", settings->tcp_port);
  CHECK(msg_box_connect(msg_default_box(), address, on_newcomer, &options).id != 0);
  newcomers_waiting++;
}

/* ---- The process ---- */

static void listen_to_silence(const Client *client) {
  msg_ConnStatistics statistics = {.size = sizeof statistics};
  if (msg_conn_statistics(client->conn, &statistics) != MSG_OK) return;
  if ((double)statistics.silence_ms > seen.silence_worst) seen.silence_worst = (double)statistics.silence_ms;
}

static void work(void) {
  int64_t now = now_ns();
  if (is_finishing) return;
  for (int i = 0; i < client_count; i++) {
    Client *client = &clients[i];
    if (!client->is_set_up) continue;
    if (!client->is_busy) {
      if (is_measuring) listen_to_silence(client);
      continue;
    }
    if (!client->is_asking && now >= client->next_get) ask(client);
    if (now < client->next_reliable) continue;
    client->next_reliable = now + (int64_t)settings->reliable_gap_ms * 1000000;
    send_reliably(client);
  }
  if (is_measuring) let_one_come(now);
}

static void begin(int control) {
  seen = (Service){0};
  gets.count = newcomers.count = 0;
  is_measuring = 1;
  answer_command(control, "", 1);
}

static void pause_clients(int64_t until) {
  for (int i = 0; i < client_count; i++) clients[i].next_get = clients[i].next_reliable = until;
}

static void end(int control) {
  is_measuring = 0;
  pause_clients(INT64_MAX);
  for (int64_t limit = test_now_ms() + settle_ms;
       test_now_ms() < limit && (gets_waiting > 0 || outcomes_waiting > 0 || newcomers_waiting > 0);)
    CHECK(msg_runloop(10) >= 0);
  pause_clients(0);
  seen.missing += gets_waiting;
  seen.undelivered += outcomes_waiting;
  seen.turned_away += newcomers_waiting;
  seen.get_p50 = samples_at(&gets, 500);
  seen.get_p99 = samples_at(&gets, 990);
  seen.get_worst = samples_at(&gets, 1000);
  seen.newcomer_p90 = samples_at(&newcomers, 900);
  seen.newcomer_p99 = samples_at(&newcomers, 990);
  seen.newcomer_worst = samples_at(&newcomers, 1000);
  answer_command(control, &seen, sizeof seen);
}

static void finish(int control) {
  is_finishing = 1;
  for (int i = 0; i < client_count; i++) {
    if (clients[i].is_set_up) CHECK_CODE(msg_disconnect(clients[i].conn), MSG_OK);
  }
  WAIT_FOR(closed_count + (int)seen.lost >= client_count, settle_ms);
  answer_command(control, "", 1);
}

static void run(int control, const void *given) {
  settings = given;
  add_clients("udp", settings->udp_port, settings->udp, 1);
  add_clients("tcp", settings->tcp_port, settings->tcp, 1);
  add_clients("udp", settings->udp_port, settings->idle_udp, 0);
  add_clients("tcp", settings->tcp_port, settings->idle_tcp, 0);
  WAIT_FOR(set_up_count == client_count, 20000);
  answer_command(control, "", 1);
  Command command;
  while (next_command(control, &command, 2, work)) {
    if (command.what == 'b') begin(control);
    if (command.what == 'e') end(control);
    if (command.what == 'f') finish(control);
  }
}

Process service_launch(const ServiceSettings *given) { return process_start(run, given); }

Process service_start(const ServiceSettings *given) {
  Process service = service_launch(given);
  char byte;
  process_hear(&service, &byte, 1);
  return service;
}

void service_begin(const Process *service) {
  char byte;
  process_ask(service, 'b', 0, &byte, 1);
}

Service service_end(const Process *service) {
  Service answer;
  process_ask(service, 'e', 0, &answer, sizeof answer);
  return answer;
}

Service service_for(const Process *service, int ms) {
  service_begin(service);
  struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&span, &span) != 0) {}
  return service_end(service);
}

void service_finish(Process *service) {
  char byte;
  process_ask(service, 'f', 0, &byte, 1);
  process_finish(service);
}
