/* Receives a file and many small messages, each once and in the order of its channel:
   reliable_server tcp|udp port [connections]
   Ends with status 0 only if nothing was missing, out of order or changed. */
#include <msgbox.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t announced, arrived; /* checksums of the file: as its sender says, and of what came */
static size_t file_bytes;
static unsigned next[8]; /* of each channel: the number that comes next */
static int mistakes;
static long connections_left = -1;
static int is_running = 1;

static uint32_t checksum(msg_Data data) {
  uint32_t sum = 0;
  for (size_t i = 0; i < data.count; i++) sum = sum * 31 + ((const unsigned char *)data.bytes)[i];
  return sum;
}

/* The checksum came before the file because both are of one channel, as are the numbers of each. */
static void receive(msg_Data data) {
  char text[64] = "";
  unsigned channel, number;
  if (data.count >= sizeof text) {
    arrived = checksum(data);
    file_bytes = data.count;
  } else {
    snprintf(text, sizeof text, "%.*s", (int)data.count, (const char *)data.bytes);
    if (sscanf(text, "checksum %" SCNu32, &announced) == 1) return;
    if (sscanf(text, "%u %u", &channel, &number) != 2 || channel > 7 || number != next[channel]++) mistakes++;
  }
}

static void report(void) {
  int is_right = file_bytes > 0 && arrived == announced;
  printf("file of %zu bytes, checksum %s\n", file_bytes, is_right ? "right" : "wrong");
  for (int i = 0; i < 8; i++) {
    if (next[i]) printf("channel %d: %u messages\n", i, next[i]);
  }
  printf("%d mistakes\n", mistakes);
  if (!is_right) mistakes++;
  memset(next, 0, sizeof next);
  file_bytes = 0;
}

static void on_event(const msg_Event *event) {
  if (event->type == msg_message) {
    receive(event->data);
    return;
  }
  printf("%s", msg_event_name(event->type));
  if (event->type == msg_listening) printf(" on port %d", (int)msg_local_port(event->conn));
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");
  switch (event->type) {
  case msg_connection_closed:
  case msg_connection_lost:
    report();
    if (connections_left > 0 && --connections_left == 0) msg_unlisten(event->listener);
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
    fprintf(stderr, "usage: %s tcp|udp port [connections]\n", argv[0]);
    return 2;
  }
  if (argc > 3) connections_left = strtol(argv[3], NULL, 10);

  char address[64];
  snprintf(address, sizeof address, "%s://*:%s", argv[1], argv[2]);
  msg_Options options = MSG_OPTIONS_INIT;
  options.max_message_bytes = 16 << 20; /* over UDP the default is 1 MiB */
  msg_box_listen(msg_default_box(), address, on_event, &options);
  while (is_running && msg_runloop(-1) >= 0) {
  }
  return connections_left > 0 || mistakes > 0;
}
