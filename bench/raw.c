/* raw.c - plain sockets: the limit. Its modes stand in the tables of raw_*.c. */
#include "raw.h"

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
