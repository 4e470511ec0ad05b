/* ccshim.c - to preload: every TCP socket gets the congestion control named in BENCH_CC, also those that a
   library makes. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int socket(int domain, int type, int protocol) {
  static int (*real)(int, int, int);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "socket");
  int fd = real(domain, type, protocol);
  const char *control = getenv("BENCH_CC");
  int is_stream = (domain == AF_INET || domain == AF_INET6) && (type & 0xf) == SOCK_STREAM;
  if (fd >= 0 && control && is_stream)
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, (socklen_t)strlen(control));
  return fd;
}
