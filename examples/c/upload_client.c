/* Sends 16 MiB in parts, as fast as the server takes them, and disconnects: upload_client tcp|udp port
   Ends with status 0 only if every part was delivered. */
#include <msgbox.h>

#include <stdio.h>

enum { parts = 1024, part_bytes = 16384 };

static int next_part, waits, is_over, is_complete;

/* Queues parts until the queue is full; msg_writable says when to go on. */
static void go_on(msg_Conn server) {
  static unsigned char part[part_bytes];
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE;
  options.channel = 1; /* in order */
  for (; next_part < parts; next_part++) {
    part[0] = (unsigned char)next_part;
    int32_t code = msg_send_with(server, msg_data(part, sizeof part), &options);
    if (code == MSG_ERR_WOULD_BLOCK) {
      waits++;
      return;
    }
    if (code != MSG_OK) printf("%s\n", msg_status_text(code));
  }
  msg_disconnect(server); /* delivers what is queued first */
}

static void on_event(const msg_Event *event) {
  switch (event->type) {
  case msg_connection_setup:
  case msg_writable:
    go_on(event->conn);
    break;
  case msg_connection_closed:
    printf("closed: %s; waited %d times; %llu parts undelivered\n", msg_status_text(event->code), waits,
           (unsigned long long)event->undelivered);
    is_complete = event->code == MSG_END_LOCAL && event->undelivered == 0;
    is_over = 1;
    break;
  case msg_connection_setup_error:
  case msg_connection_lost:
    printf("%s: %s\n", msg_event_name(event->type), msg_status_text(event->code));
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
  msg_Options options = MSG_OPTIONS_INIT;
  options.close_timeout_ms = 15000;
  msg_box_connect(msg_default_box(), address, on_event, &options);
  while (!is_over && msg_runloop(-1) >= 0) {
  }
  return !is_complete;
}
