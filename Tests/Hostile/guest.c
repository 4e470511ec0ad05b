#include "guest.h"

enum { most_links = 16, turn_ms = 5, largest_send = 20000, finish_ms = 30000 };

typedef struct {
  msg_Conn conn; /* id 0: free */
  int is_set_up, is_ending;
  uint64_t gets, outcomes; /* that wait */
  uint32_t number;         /* of the next numbered message */
} Link;

static const GuestSettings *settings;
static uint64_t seed;
static Link links[most_links];
static GuestReport seen;
static int own_descriptors, is_finishing;

static uint64_t below(uint64_t limit) { return random_below(&seed, limit); }

/* ---- What comes ---- */

/* The connection has ended, and with it all that waited; another may follow it. */
static void ended(Link *link, const msg_Event *e) {
  CHECK(e->conn.id == link->conn.id && link->gets == 0 && link->outcomes == 0);
  CHECK(!link->is_ending || e->next.id == 0);
  *link = (Link){.conn = e->next};
  if (e->next.id != 0) seen.starts++;
}

static void on_event(const msg_Event *e) {
  Link *link = e->context;
  switch (e->type) {
  case msg_connection_setup:
    CHECK(!link->is_set_up);
    link->is_set_up = 1;
    seen.set_up++;
    break;
  case msg_connection_setup_error:
    CHECK(!link->is_set_up);
    seen.refused++;
    ended(link, e);
    break;
  case msg_connection_closed:
  case msg_connection_lost:
    CHECK(link->is_set_up);
    if (e->type == msg_connection_lost) seen.lost++;
    else seen.closed++;
    ended(link, e);
    break;
  case msg_reply:
  case msg_reply_missing:
    CHECK(link->gets-- > 0);
    if (e->type == msg_reply) seen.replies++;
    else seen.missing++;
    break;
  case msg_delivered:
  case msg_undelivered:
    CHECK(link->outcomes-- > 0);
    if (e->type == msg_delivered) seen.delivered++;
    else seen.undelivered++;
    break;
  case msg_message:
  case msg_writable:
  case msg_error: break;
  default: test_failed(__FILE__, __LINE__, msg_event_name(e->type));
  }
}

/* ---- What is done ---- */

static void connect_to_any(Link *link) {
  const Ports *server = &settings->servers[below((uint64_t)settings->server_count)];
  msg_Options options = MSG_OPTIONS_INIT;
  options.context = link;
  options.heartbeat_ms = 200;
  options.suspect_ms = 400;
  options.lost_ms = 3000;
  options.connect_timeout_ms = 2000;
  options.get_timeout_ms = 2000;
  options.close_timeout_ms = 1000;
  options.reconnect_wait_ms = below(2) == 0 ? 200 : 0;
  options.liveness = below(4) == 0 ? MSG_LIVENESS_ON_DEMAND : MSG_LIVENESS_BEAT;
  const char *address = below(2) == 0 ? address_of("udp", server->udp_port) : address_of("tcp", server->tcp_port);
  *link = (Link){.conn = msg_box_connect(msg_default_box(), address, on_event, &options)};
  CHECK(link->conn.id != 0);
  seen.starts++;
}

static uint8_t content[largest_send];

/* Mostly small, sometimes of many packets. */
static size_t any_size(void) { return numbered_bytes + below(below(8) == 0 ? largest_send - numbered_bytes : 200); }

static void send_reliably(Link *link) {
  const uint32_t head[2] = {numbered_mark, link->number};
  memcpy(content, head, sizeof head);
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE | MSG_SEND_TELL;
  options.channel = 1;
  if (msg_send_with(link->conn, msg_data(content, any_size()), &options) != MSG_OK) return;
  link->number++;
  link->outcomes++;
  seen.sent++;
}

static void get(Link *link) {
  msg_Get handle;
  content[0] = 0;
  if (msg_get_within(link->conn, msg_data(content, any_size()), link, (uint32_t)below(3000), &handle) != MSG_OK) return;
  link->gets++;
  seen.gets++;
  if (below(10) == 0) CHECK_CODE(msg_cancel(handle), MSG_OK);
}

static void send_plainly(Link *link) {
  content[0] = 0;
  (void)msg_send(link->conn, msg_data(content, any_size()));
}

static void leave(Link *link) {
  int32_t status = below(3) == 0 ? msg_abort(link->conn) : msg_disconnect(link->conn);
  CHECK(status == MSG_OK || status == MSG_ERR_ENDED);
  link->is_ending = 1;
}

static void act(void) {
  Link *link = &links[below(most_links)];
  if (is_finishing) return;
  if (link->conn.id == 0) {
    connect_to_any(link);
    return;
  }
  switch (below(20)) {
  case 0: leave(link); break;
  case 1 ... 6: send_plainly(link); break;
  case 7 ... 12: send_reliably(link); break;
  default: get(link);
  }
}

static void tell(int control) {
  seen.resident_kib = resident_kib(getpid());
  seen.descriptors = (uint64_t)descriptors_of(getpid());
  answer_command(control, &seen, sizeof seen);
}

/* ---- The end ---- */

static int count_links(void) {
  int count = 0;
  for (int i = 0; i < most_links; i++) count += links[i].conn.id != 0;
  return count;
}

static int holds_nothing(void) {
  msg_Statistics holds = {.size = sizeof holds};
  CHECK_CODE(msg_box_statistics(msg_default_box(), &holds), MSG_OK);
  return holds.connections == 0 && holds.gets_waiting == 0 && holds.requests_open == 0 && holds.queued_messages == 0 &&
         holds.queued_bytes == 0 && holds.incomplete_bytes == 0 && descriptors_of(getpid()) == own_descriptors;
}

static void finish(int control) {
  is_finishing = 1;
  for (int i = 0; i < most_links; i++) {
    if (links[i].conn.id != 0) leave(&links[i]);
  }
  WAIT_FOR(count_links() == 0, finish_ms);
  for (int64_t end = test_now_ms() + finish_ms; !holds_nothing();) {
    CHECK(test_now_ms() < end);
    CHECK(msg_runloop(20) >= 0);
  }
  CHECK(seen.starts == seen.set_up + seen.refused && seen.set_up == seen.closed + seen.lost);
  CHECK(seen.gets == seen.replies + seen.missing && seen.sent == seen.delivered + seen.undelivered);
  tell(control);
}

static void run(int control, const void *given) {
  settings = given;
  seed = settings->seed | 1;
  CHECK(msg_default_box().id != 0);
  own_descriptors = descriptors_of(getpid());
  answer_command(control, "", 1);
  Command command;
  while (next_command(control, &command, turn_ms, act)) {
    if (command.what == 'r') tell(control);
    if (command.what == 'f') finish(control);
  }
}

Process guest_start(const GuestSettings *given) {
  Process guest = process_start(run, given);
  char byte;
  process_hear(&guest, &byte, 1);
  return guest;
}

GuestReport guest_report(const Process *guest) {
  GuestReport answer;
  process_ask(guest, 'r', 0, &answer, sizeof answer);
  return answer;
}

GuestReport guest_finish(Process *guest) {
  GuestReport answer;
  process_ask(guest, 'f', 0, &answer, sizeof answer);
  process_finish(guest);
  return answer;
}
