/* Echoes every message and answers every request: echo_server tcp|udp port [connections]
   With a third argument it ends after so many connections. */
#include <msgbox.h>

#include <stdio.h>
#include <stdlib.h>

static long connections_left = -1;
static int is_running = 1;

static void on_event(const msg_Event *event) {
  printf("%s", msg_event_name(event->type));
  switch (event->type) {
  case msg_listening:
    printf(" on port %d", (int)msg_local_port(event->conn));
    break;
  case msg_message:
    printf(" \"%.*s\"", (int)event->data.count, (const char *)event->data.bytes);
    msg_send(event->conn, event->data);
    break;
  case msg_request:
    printf(" \"%.*s\"", (int)event->data.count, (const char *)event->data.bytes);
    msg_answer(event->request, event->data);
    break;
  case msg_connection_closed:
  case msg_connection_lost:
    if (connections_left > 0 && --connections_left == 0) msg_unlisten(event->listener);
    break;
  case msg_listening_error:
  case msg_listening_ended:
    is_running = 0;
    break;
  }
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s tcp|udp port [connections]\n", argv[0]);
    return 2;
  }
  if (argc > 3) connections_left = strtol(argv[3], NULL, 10);

  char address[64];
  snprintf(address, sizeof address, "%s://*:%s", argv[1], argv[2]);
  msg_listen(address, on_event);
  while (is_running && msg_runloop(-1) >= 0) {
  }
  return connections_left > 0;
}
