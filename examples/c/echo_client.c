/* Sends one message and three gets to an echo server, and disconnects: echo_client tcp|udp port
   Ends with status 0 only if the whole cycle was seen: setup, echo, three replies, closed. */
#include <msgbox.h>

#include <stdio.h>
#include <string.h>

static const char *questions[] = {"one", "two", "three"};
static int echoes, replies, outcomes, is_over, is_complete;

/* The context of a get says which question it was. */
static int is_answer_to(const char *question, msg_Data data) {
  return data.count == strlen(question) && memcmp(data.bytes, question, data.count) == 0;
}

static void on_event(const msg_Event *event) {
  printf("%s", msg_event_name(event->type));
  if (event->data.count > 0) {
    printf(" \"%.*s\"", (int)event->data.count, (const char *)event->data.bytes);
  }
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");

  switch (event->type) {
  case msg_connection_setup:
    msg_send(event->conn, msg_text("hello"));
    for (int i = 0; i < 3; i++) msg_get(event->conn, msg_text(questions[i]), &questions[i]);
    break;
  case msg_message:
    echoes++;
    break;
  case msg_reply:
    replies += is_answer_to(*(const char **)event->get_context, event->data);
    if (++outcomes == 3) msg_disconnect(event->conn);
    break;
  case msg_reply_missing:
    if (++outcomes == 3) msg_disconnect(event->conn);
    break;
  case msg_connection_closed:
    is_complete = echoes == 1 && replies == 3 && event->code == MSG_END_LOCAL;
    is_over = 1;
    break;
  case msg_connection_setup_error:
  case msg_connection_lost:
    is_over = 1;
    break;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s tcp|udp port\n", argv[0]);
    return 2;
  }
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:%s", argv[1], argv[2]);
  msg_connect(address, on_event);
  while (!is_over && msg_runloop(-1) >= 0) {
  }
  return !is_complete;
}
