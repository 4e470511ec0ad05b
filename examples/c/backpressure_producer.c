/* Sends 20000 numbered messages of 1000 bytes as fast as the consumer takes them: backpressure_producer tcp|udp port */
#include <msgbox.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TOTAL = 20000 };

static uint64_t sent;
static int waits, is_over, is_complete;

/* Sends until the queue is at its mark; msg_writable goes on from there. */
static void produce(msg_Conn conn) {
  static char bytes[1000];
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE;
  options.channel = 1;
  while (sent < TOTAL) {
    memcpy(bytes, &sent, sizeof sent);
    int32_t status = msg_send_with(conn, msg_data(bytes, sizeof bytes), &options);
    if (status == MSG_ERR_WOULD_BLOCK) waits++;
    if (status != MSG_OK) return;
    sent++;
  }
  msg_disconnect(conn); /* the end waits for what was accepted */
}

static void on_event(const msg_Event *event) {
  switch (event->type) {
  case msg_connection_setup:
  case msg_writable:
    produce(event->conn);
    break;
  case msg_connection_closed:
    printf("%" PRIu64 " sent, waited %s, %" PRIu64 " undelivered\n", sent, waits > 0 ? "at the mark" : "never",
           event->undelivered);
    is_complete = sent == TOTAL && waits > 0 && event->undelivered == 0;
    is_over = 1;
    break;
  case msg_connection_setup_error:
  case msg_connection_lost:
    printf("%s (%s)\n", msg_event_name(event->type), msg_status_text(event->code));
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
