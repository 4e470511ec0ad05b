/* Collects three requests and then answers them, the last one first: request_server tcp|udp port [connections] */
#include <msgbox.h>

#include <stdio.h>
#include <stdlib.h>

static msg_Request waiting[3];
static int count;
static long connections_left = -1;
static int is_running = 1;

/* A request can be answered at any time. If its connection has ended, msg_answer says so, and that is all. */
static void answer_all(void) {
  while (count > 0) {
    char text[32];
    int length = snprintf(text, sizeof text, "answer %d", count);
    int32_t status = msg_answer(waiting[--count], msg_data(text, (size_t)length));
    printf("answered (%s)\n", msg_status_text(status));
  }
}

static void on_event(const msg_Event *event) {
  printf("%s", msg_event_name(event->type));
  switch (event->type) {
  case msg_listening:
    printf(" on port %d", (int)msg_local_port(event->conn));
    break;
  case msg_request:
    printf(" \"%.*s\"", (int)event->data.count, (const char *)event->data.bytes);
    if (count < 3) waiting[count++] = event->request;
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
    if (count == 3) answer_all(); /* outside of every callback */
  }
  return connections_left > 0;
}
