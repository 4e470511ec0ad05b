/* Three clients in one program, which count what they get until the server ends: broadcast_client tcp|udp port */
#include <msgbox.h>

#include <stdio.h>
#include <string.h>

enum { CLIENTS = 3 };

static struct {
  int for_all, for_one;
} counts[CLIENTS];
static int ended;

static void on_event(const msg_Event *event) {
  size_t client = (size_t)event->context;
  switch (event->type) {
  case msg_message:
    if (event->data.count != 3) break;
    if (memcmp(event->data.bytes, "all", 3) == 0) counts[client].for_all++;
    if (memcmp(event->data.bytes, "one", 3) == 0) counts[client].for_one++;
    break;
  case msg_connection_closed:
    printf("client %zu: %d for all, %d for one\n", client, counts[client].for_all, counts[client].for_one);
    ended++;
    break;
  case msg_connection_setup_error:
  case msg_connection_lost:
    printf("client %zu: %s\n", client, msg_status_text(event->code));
    ended++;
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
  for (size_t i = 0; i < CLIENTS; i++) {
    msg_Options options = MSG_OPTIONS_INIT;
    options.context = (void *)i;
    msg_box_connect(msg_default_box(), address, on_event, &options);
  }
  while (ended < CLIENTS && msg_runloop(-1) >= 0) {
  }
  int all = 0, one = 0;
  for (int i = 0; i < CLIENTS; i++) {
    all += counts[i].for_all == 2;
    one += counts[i].for_one;
  }
  return !(all == CLIENTS && one == CLIENTS + 1);
}
