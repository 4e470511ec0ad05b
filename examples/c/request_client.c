/* Asks three things at once and tells the replies apart by their contexts: request_client tcp|udp port */
#include <msgbox.h>

#include <stdio.h>

static int numbers[] = {1, 2, 3};
static int outcomes, replies, is_over, is_complete;

static void on_event(const msg_Event *event) {
  printf("%s", msg_event_name(event->type));
  switch (event->type) {
  case msg_reply:
    printf(" to question %d: \"%.*s\"", *(int *)event->get_context, (int)event->data.count,
           (const char *)event->data.bytes);
    replies++;
    if (++outcomes == 3) msg_disconnect(event->conn);
    break;
  case msg_reply_missing:
    printf(" to question %d", *(int *)event->get_context);
    if (++outcomes == 3) msg_disconnect(event->conn);
    break;
  case msg_connection_closed:
    is_complete = replies == 3;
    is_over = 1;
    break;
  case msg_connection_setup_error:
  case msg_connection_lost:
    is_over = 1;
    break;
  }
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s tcp|udp port\n", argv[0]);
    return 2;
  }
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:%s", argv[1], argv[2]);
  msg_Conn server = msg_connect(address, on_event);
  /* No need to wait for the connection: what is asked now leaves as soon as somebody is there. */
  for (int i = 0; i < 3; i++) {
    char text[32];
    int length = snprintf(text, sizeof text, "question %d", numbers[i]);
    msg_get(server, msg_data(text, (size_t)length), &numbers[i]);
  }
  while (!is_over && msg_runloop(-1) >= 0) {
  }
  return !is_complete;
}
