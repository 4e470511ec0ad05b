/* MsgBox inside a poll loop that has descriptors of its own: poll_loop tcp|udp port
   Each line of standard input is sent to an echo server; the end of input disconnects. */
#include <msgbox.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static int is_over, is_complete;

static void on_event(const msg_Event *event) {
  printf("%s", msg_event_name(event->type));
  if (event->data.count > 0) {
    printf(" \"%.*s\"", (int)event->data.count, (const char *)event->data.bytes);
  }
  if (event->code != MSG_OK) printf(" (%s)", msg_status_text(event->code));
  printf("\n");
  fflush(stdout);
  if (event->type == msg_connection_closed) is_over = is_complete = 1;
  if (event->type == msg_connection_setup_error || event->type == msg_connection_lost) is_over = 1;
}

/* Reads once and sends what came, without its line end; returns 0 at the end of the input. */
static int forward(int input, msg_Conn conn) {
  char line[1024];
  ssize_t count = read(input, line, sizeof line);
  if (count <= 0) return 0;
  if (line[count - 1] == '\n') count--;
  msg_send(conn, msg_data(line, (size_t)count));
  return 1;
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

  struct pollfd watched[] = {
      {.fd = STDIN_FILENO, .events = POLLIN},
      {.fd = msg_box_descriptor(box), .events = POLLIN},
  };
  while (!is_over) {
    /* The deadline is asked for just before waiting: it is 0 while something is queued. */
    if (poll(watched, 2, msg_box_deadline_ms(box)) < 0) break;
    if (watched[0].revents && !forward(STDIN_FILENO, conn)) {
      watched[0].fd = -1;
      msg_disconnect(conn);
    }
    if (msg_box_runloop(box, 0) < 0) break;
  }
  msg_box_destroy(box);
  return !is_complete;
}
