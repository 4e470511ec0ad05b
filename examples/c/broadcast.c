/* A server that tells news to all, and three who hear them, in one program: broadcast tcp|udp
   One of the three has a full queue when the second news comes: it is skipped, the others are not.
   Ends with status 0 only if the news went where they should. */
#include <msgbox.h>

#include <stdio.h>

enum { readers = 3 };

static msg_Conn listener, servers[readers];
static int connected, heard, delivered, skips, is_over;

static void publish(const char *news) {
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE | MSG_SEND_TELL;
  options.channel = 1;
  options.context = (void *)news;
  msg_Conn skipped[readers];
  size_t count = readers;
  int32_t reached = msg_broadcast(listener, msg_text(news), &options, skipped, &count);
  printf("%s: to %d, past %zu\n", news, (int)reached, count);
  skips += (int)count;
}

static void begin(void) {
  publish("first news");
  /* Nobody must wait for one whose queue is full. */
  while (msg_send(servers[0], msg_text("filler")) != MSG_ERR_WOULD_BLOCK) {
  }
  publish("second news");
}

static void on_server_event(const msg_Event *event) {
  switch (event->type) {
  case msg_connection_ready:
    servers[connected++] = event->conn;
    if (connected == readers) begin();
    break;
  case msg_delivered:
    printf("%s: arrived\n", (const char *)event->get_context);
    if (++delivered == 2 * readers - skips) msg_unlisten(listener);
    break;
  case msg_undelivered:
    printf("%s: %s\n", (const char *)event->get_context, msg_status_text(event->code));
    break;
  case msg_writable:
    printf("there is room again for the one that was skipped\n");
    break;
  case msg_listening_error:
  case msg_listening_ended:
    is_over = 1;
    break;
  }
}

static void on_reader_event(const msg_Event *event) {
  if (event->type == msg_message) heard++;
}

int main(int argc, char **argv) {
  char address[64];
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_messages = 8;
  snprintf(address, sizeof address, "%s://127.0.0.1:0", argc > 1 ? argv[1] : "udp");
  listener = msg_box_listen(msg_default_box(), address, on_server_event, &options);
  while (msg_local_port(listener) == 0 && msg_runloop(-1) >= 0) {
  }
  msg_address(listener, address, sizeof address);
  for (int i = 0; i < readers; i++) msg_connect(address, on_reader_event);
  while (!is_over && msg_runloop(-1) >= 0) {
  }
  return !(skips == 1 && delivered == 2 * readers - 1 && heard >= delivered);
}
