/* Sends a file of 3 MiB and 300 small messages that must arrive, and disconnects: reliable_client tcp|udp port
   The small ones have channels of their own, so over UDP they do not wait for the file. Ends with status 0 only if all
   were delivered. */
#include <msgbox.h>

#include <inttypes.h>
#include <stdio.h>

static unsigned char file[3 << 20];
static int sent, delivered, is_over, is_complete;

/* Exactly one of msg_delivered and msg_undelivered follows, with the name. */
static void send_reliably(msg_Conn conn, uint32_t channel, msg_Data data, const char *name) {
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE | MSG_SEND_TELL;
  options.channel = channel;
  options.context = (void *)name;
  int32_t status = msg_send_with(conn, data, &options);
  if (status == MSG_OK) {
    sent++;
  } else {
    printf("not sent: %s\n", msg_status_text(status));
  }
}

static void send_all(msg_Conn conn) {
  char text[32];
  uint32_t checksum = 0;
  for (size_t i = 0; i < sizeof file; i++) {
    file[i] = (unsigned char)(i * i >> 8);
    checksum = checksum * 31 + file[i];
  }
  snprintf(text, sizeof text, "checksum %" PRIu32, checksum);
  send_reliably(conn, 1, msg_text(text), "the checksum");
  send_reliably(conn, 1, msg_data(file, sizeof file), "the file");
  for (int number = 0; number < 100; number++) {
    for (unsigned channel = 2; channel <= 4; channel++) {
      snprintf(text, sizeof text, "%u %d", channel, number);
      send_reliably(conn, channel, msg_text(text), NULL);
    }
  }
}

static void on_event(const msg_Event *event) {
  const char *name = event->get_context;
  if (event->type == msg_delivered) delivered++;
  if (event->type == msg_delivered && !name) return;
  printf("%s", msg_event_name(event->type));
  if (name) printf(": %s", name);
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");

  switch (event->type) {
  case msg_connection_setup:
    send_all(event->conn);
    msg_disconnect(event->conn); /* the end waits for what was accepted */
    break;
  case msg_connection_closed:
    printf("%d of %d delivered, %" PRIu64 " undelivered\n", delivered, sent, event->undelivered);
    is_complete = sent == 302 && delivered == sent && event->undelivered == 0;
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
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_bytes = 13 << 20;  /* else the file alone is at the mark, and the rest would block */
  options.close_timeout_ms = 15000;
  msg_box_connect(msg_default_box(), address, on_event, &options);
  while (!is_over && msg_runloop(-1) >= 0) {
  }
  return !is_complete;
}
