#include "sockets.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

static struct sockaddr_in address4(u32 host, int port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(host);
  address.sin_port = htons((u16)port);
  return address;
}

struct sockaddr_in loopback(int port) { return address4(INADDR_LOOPBACK, port); }
struct sockaddr_in any_address(int port) { return address4(INADDR_ANY, port); }

void set_buffers(int fd) {
  int bytes = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

void set_receive_timeout(int fd, int ms) {
  struct timeval time = {ms / 1000, ms % 1000 * 1000};
  CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
}

void set_nonblocking(int fd) { CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)); }

void set_no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int udp_bound(struct sockaddr_in address) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(fd);
  set_buffers(fd);
  CHECK(bind(fd, (void *)&address, sizeof address));
  return fd;
}

int udp_connected(int port) {
  int fd = udp_bound(loopback(0));
  struct sockaddr_in address = loopback(port);
  CHECK(connect(fd, (void *)&address, sizeof address));
  return fd;
}

static int tcp_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd);
  const char *control = getenv("BENCH_CC");
  if (control && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, (socklen_t)strlen(control)))
    die("TCP_CONGESTION %s", control);
  return fd;
}

int tcp_listen(int port) {
  int fd = tcp_socket(), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = loopback(port);
  CHECK(bind(fd, (void *)&address, sizeof address));
  CHECK(listen(fd, 4096));
  return fd;
}

int tcp_connect(int port) {
  int fd = tcp_socket();
  struct sockaddr_in address = loopback(port);
  CHECK(connect(fd, (void *)&address, sizeof address));
  set_no_delay(fd);
  return fd;
}

int epoll_of(int fd) {
  int poller = epoll_create1(0);
  CHECK(poller);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
  return poller;
}

int read_all(int fd, void *bytes, size_t count) {
  for (char *at = bytes; count;) {
    ssize_t n = read(fd, at, count);
    if (n < 0 && errno == EAGAIN && !server_stopped()) continue;
    if (n <= 0) return -1;
    at += n;
    count -= (size_t)n;
  }
  return 0;
}

int write_all(int fd, const void *bytes, size_t count) {
  for (const char *at = bytes; count;) {
    ssize_t n = write(fd, at, count);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) return -1;
    at += n;
    count -= (size_t)n;
  }
  return 0;
}
