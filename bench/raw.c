/* raw.c - plain sockets: the limit. Its modes stand in the tables of raw_*.c. */
#include "raw.h"

#include <string.h>

u64 count_frames(const u8 *bytes, size_t count, size_t *used) {
  size_t at = 0;
  u64 messages = 0;
  while (at + sizeof(Frame) <= count) {
    Frame frame;
    memcpy(&frame, bytes + at, sizeof frame);
    if (at + sizeof frame + frame.length > count) break;
    at += sizeof frame + frame.length;
    messages += frame.tag == 0;
  }
  *used = at;
  return messages;
}

void put_frames(u8 *bytes, u64 count) {
  Frame frame = {(u32)args.size, 0};
  for (u64 i = 0; i < count; i++) memcpy(bytes + i * frame_bytes(), &frame, sizeof frame);
}

static const Mode *find_mode(void) {
  const Mode *tables[] = {udp_echo_modes, udp_one_way_modes, tcp_modes, many_modes};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
    for (const Mode *mode = tables[i]; mode->mode; mode++)
      if (mode_is(mode->mode)) return mode;
  die("unknown mode %s", args.mode);
}

int main(int argc, char **argv) {
  bench_init(argc, argv, "raw");
  const Mode *mode = find_mode();
  if (args.is_server) {
    mode->server();
    server_final();
  } else {
    wait_for_server();
    mode->client();
  }
  return 0;
}
