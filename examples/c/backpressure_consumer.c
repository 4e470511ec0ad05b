/* Counts the numbers that a producer sends, and those that are not the next:
   backpressure_consumer tcp|udp port [producers]
   Ends with status 0 only if none was missing or out of order. */
#include <msgbox.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t received, mistakes;
static long producers_left = -1;
static int is_running = 1;

static void on_event(const msg_Event *event) {
  uint64_t number;
  if (event->type == msg_message) {
    if (event->data.count < sizeof number) return;
    memcpy(&number, event->data.bytes, sizeof number);
    mistakes += number != received++;
    return;
  }
  printf("%s", msg_event_name(event->type));
  if (event->type == msg_listening) printf(" on port %d", (int)msg_local_port(event->conn));
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");
  switch (event->type) {
  case msg_connection_closed:
  case msg_connection_lost:
    printf("%" PRIu64 " received, %" PRIu64 " mistakes\n", received, mistakes);
    if (producers_left > 0 && --producers_left == 0) msg_unlisten(event->listener);
    received = 0;
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
    fprintf(stderr, "usage: %s tcp|udp port [producers]\n", argv[0]);
    return 2;
  }
  if (argc > 3) producers_left = strtol(argv[3], NULL, 10);

  char address[64];
  snprintf(address, sizeof address, "%s://*:%s", argv[1], argv[2]);
  msg_listen(address, on_event);
  while (is_running && msg_runloop(-1) >= 0) {
  }
  return producers_left > 0 || mistakes > 0;
}
