/* Waits for its clients, and then sends to one of them in turn and to all of them:
   broadcast_server tcp|udp port [clients] */
#include <msgbox.h>

#include <stdio.h>
#include <stdlib.h>

static const msg_SendOptions reliable = {.size = sizeof reliable, .flags = MSG_SEND_RELIABLE};
static long clients = 3;
static long ready;
static msg_Conn skipped[8];
static size_t skipped_count;
static int is_running = 1, is_complete;

static void print_peer(const char *what, msg_Conn conn) {
  char address[64] = "";
  msg_address(conn, address, sizeof address);
  printf("%s %s\n", what, address);
}

static void speak(msg_Conn listener) {
  for (long i = 0; i <= clients; i++) { /* each in turn, so the first one gets two */
    msg_Conn chosen;
    if (msg_send_any(listener, msg_text("one"), &reliable, &chosen) == MSG_OK) print_peer("to one:", chosen);
  }
  for (int i = 0; i < 2; i++) {
    skipped_count = sizeof skipped / sizeof *skipped;
    int32_t reached = msg_broadcast(listener, msg_text("all"), &reliable, skipped, &skipped_count);
    printf("to all: %d, skipped: %zu\n", (int)reached, skipped_count);
  }
}

/* A client that was skipped because its queue was at the mark has room again. */
static void make_up(const msg_Event *event) {
  for (size_t i = 0; i < skipped_count; i++) {
    if (skipped[i].id != event->conn.id) continue;
    print_peer("made up:", event->conn);
    is_complete = skipped_count == 1 && msg_send_with(event->conn, msg_text("all"), &reliable) == MSG_OK;
    msg_unlisten(event->listener); /* delivers what was accepted */
  }
}

static void on_event(const msg_Event *event) {
  printf("%s", msg_event_name(event->type));
  if (event->type == msg_listening) printf(" on port %d", (int)msg_local_port(event->conn));
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");
  switch (event->type) {
  case msg_connection_ready:
    if (++ready == clients) speak(event->listener);
    break;
  case msg_writable:
    make_up(event);
    break;
  case msg_listening_error:
  case msg_listening_ended:
    is_running = 0;
    break;
  }
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s tcp|udp port [clients]\n", argv[0]);
    return 2;
  }
  if (argc > 3) clients = strtol(argv[3], NULL, 10);

  char address[64];
  snprintf(address, sizeof address, "%s://*:%s", argv[1], argv[2]);
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_messages = 3; /* so small that the second broadcast skips who got two of the others */
  msg_box_listen(msg_default_box(), address, on_event, &options);
  while (is_running && msg_runloop(-1) >= 0) {
  }
  return !is_complete;
}
