/* MsgBox inside a poll loop that has descriptors of its own: poll_loop tcp|udp port
   Each line of standard input is asked of an echo server; the end of input disconnects. */
#include <msgbox.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static int is_set_up, open_gets, is_over, is_complete;

static void on_event(const msg_Event *event) {
  printf("%s", msg_event_name(event->type));
  if (event->data.count > 0) {
    printf(" \"%.*s\"", (int)event->data.count, (const char *)event->data.bytes);
  }
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");
  fflush(stdout);
  if (event->type == msg_connection_setup) is_set_up = 1;
  if (event->type == msg_reply || event->type == msg_reply_missing) open_gets--;
  if (event->type == msg_connection_closed) is_over = is_complete = 1;
  if (event->type == msg_connection_setup_error || event->type == msg_connection_lost) is_over = 1;
}

/* Reads once and asks what came, a get for each line; returns 0 at the end of the input. */
static int forward(int input, msg_Conn conn) {
  char text[1024];
  ssize_t count = read(input, text, sizeof text);
  for (ssize_t start = 0, end = 0; end < count; end++) {
    if (text[end] != '\n' && end + 1 < count) continue;
    size_t length = (size_t)(end - start) + (text[end] != '\n');
    if (msg_get(conn, msg_data(text + start, length), NULL) == MSG_OK) open_gets++;
    start = end + 1;
  }
  return count > 0;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s tcp|udp port\n", argv[0]);
    return 2;
  }
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:%s", argv[1], argv[2]);
  msg_Box box = msg_box_create();
  msg_Conn conn = msg_box_connect(box, address, on_event, NULL);

  int has_input = 1;
  while (!is_over) {
    struct pollfd watched[] = {
        {.fd = has_input && is_set_up ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = msg_box_descriptor(box), .events = POLLIN},
    };
    /* The deadline is asked for just before waiting: it is 0 while something is queued. */
    if (poll(watched, 2, msg_box_deadline_ms(box)) < 0) break;
    if (watched[0].revents) has_input = forward(STDIN_FILENO, conn);
    if (msg_box_runloop(box, 0) < 0) break;
    if (!has_input && open_gets == 0) msg_disconnect(conn);
  }
  msg_box_destroy(box);
  return !is_complete;
}
