/* Takes one upload and checks the order of its parts: upload_server tcp|udp port */
#include <msgbox.h>

#include <stdio.h>

static int parts, is_running = 1, is_in_order = 1;
static unsigned long long bytes;

static void on_event(const msg_Event *event) {
  switch (event->type) {
  case msg_listening:
    printf("listening on port %d\n", (int)msg_local_port(event->conn));
    break;
  case msg_message:
    is_in_order &= event->data.count > 0 && *(const unsigned char *)event->data.bytes == (unsigned char)parts;
    parts++;
    bytes += event->data.count;
    break;
  case msg_connection_closed:
  case msg_connection_lost:
    printf("%d parts, %llu bytes, %s; %s\n", parts, bytes, is_in_order ? "in order" : "out of order",
           msg_status_text(event->code));
    msg_unlisten(event->listener);
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
    fprintf(stderr, "usage: %s tcp|udp port\n", argv[0]);
    return 2;
  }
  char address[64];
  snprintf(address, sizeof address, "%s://*:%s", argv[1], argv[2]);
  msg_listen(address, on_event);
  while (is_running && msg_runloop(-1) >= 0) {
  }
  return !(parts == 1024 && is_in_order);
}
