// Sockets of both transports.
#include "shared_ports.h"

#include <linux/tcp.h>
#include <linux/udp.h>
#include <sys/eventfd.h>
#include <unistd.h>

void cmsgbox_close(int32_t fd) {
  // Linux frees the descriptor whatever this returns, even when a signal interrupts it. So it is never repeated, nobody
  // looks at the result, and there is no fault to be tested.
  if (fd >= 0 && !cmsgbox_port_leave(fd)) close(fd);
}

int32_t cmsgbox_open_reserve(void) {
  return (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_OPEN, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static int set_option(int fd, int level, int name, int value) {
  return cmsgbox_set_option(fd, level, name, &value, sizeof value);
}

static int32_t open_socket(int ipv6, int type) {
  return (int32_t)CMSGBOX_SYSCALL(
      CMSGBOX_CALL_SOCKET,
      socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

static int32_t close_for(int32_t fd, int32_t error) {
  close(fd);
  return error;
}

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

// Asks for buffers, which the system may make smaller, for datagrams that are never fragmented on their way, and for
// those that belong together in one message, which older systems refuse.
static void prepare_udp(int fd, int ipv6, uint32_t buffer_bytes) {
  int bytes = buffer_bytes > INT32_MAX ? INT32_MAX : (int)buffer_bytes;
  set_option(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  set_option(fd, SOL_SOCKET, SO_SNDBUF, bytes);
  set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  if (ipv6) set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  if (!cmsgbox_fault_due(CMSGBOX_CALL_OFFLOAD)) set_option(fd, SOL_UDP, UDP_GRO, 1);
}

static int32_t bind_socket(int fd, const cmsgbox_address *address, int ipv6) {
  cmsgbox_sockaddr name;
  socklen_t length = cmsgbox_to_sockaddr(address, ipv6, &name);
  return (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_BIND, bind(fd, &name.any, length));
}

static int32_t connect_socket(int fd, const cmsgbox_address *remote, int ipv6) {
  cmsgbox_sockaddr name;
  socklen_t length = cmsgbox_to_sockaddr(remote, ipv6, &name);
  int32_t result = (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_CONNECT, connect(fd, &name.any, length));
  // After a signal the attempt goes on by itself, and the repeated call says so.
  return result == -EINPROGRESS || result == -EALREADY ? 0 : result;
}

int32_t cmsgbox_udp_bind(
    const cmsgbox_address *address, int32_t dual_stack, uint32_t buffer_bytes,
    int32_t packet_info, uint8_t *steering) {
  int ipv6 = !cmsgbox_is_v4(address);
  int32_t fd = open_socket(ipv6, SOCK_DGRAM);
  if (fd < 0) return fd;
  prepare_udp(fd, ipv6, buffer_bytes);
  int32_t error = 0;
  if (packet_info) {
    error = ipv6 ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                 : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  }
  if (!error && ipv6) error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual_stack);
  if (error) return close_for(fd, error);
  if (!steering) {
    error = bind_socket(fd, address, ipv6);
    return error ? close_for(fd, error) : fd;
  }
  error = cmsgbox_port_join(fd, address, ipv6, dual_stack, steering);
  return error ? error : fd;
}

int32_t cmsgbox_udp_connect(const cmsgbox_address *remote, uint32_t buffer_bytes) {
  int ipv6 = !cmsgbox_is_v4(remote);
  int32_t fd = open_socket(ipv6, SOCK_DGRAM);
  if (fd < 0) return fd;
  prepare_udp(fd, ipv6, buffer_bytes);
  int32_t error = connect_socket(fd, remote, ipv6);
  return error ? close_for(fd, error) : fd;
}

int32_t cmsgbox_tcp_listen(
    const cmsgbox_address *address, int32_t dual_stack, int32_t shared) {
  int ipv6 = !cmsgbox_is_v4(address);
  int32_t fd = open_socket(ipv6, SOCK_STREAM);
  if (fd < 0) return fd;
  // A restarted server may bind while connections of the one before it linger in TIME-WAIT.
  int32_t error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  // Inherited by each socket that is accepted.
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (!error && shared) error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (!error && ipv6) error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual_stack);
  if (!error) error = bind_socket(fd, address, ipv6);
  if (!error) error = (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_LISTEN, listen(fd, 4096));
  return error ? close_for(fd, error) : fd;
}

int32_t cmsgbox_tcp_connect(const cmsgbox_address *remote) {
  int ipv6 = !cmsgbox_is_v4(remote);
  int32_t fd = open_socket(ipv6, SOCK_STREAM);
  if (fd < 0) return fd;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  int32_t error = connect_socket(fd, remote, ipv6);
  return error ? close_for(fd, error) : fd;
}

int32_t cmsgbox_tcp_accept(int32_t fd, cmsgbox_address *remote) {
  cmsgbox_sockaddr name = {.any.sa_family = AF_UNSPEC};
  socklen_t length = sizeof name;
  int32_t accepted = (int32_t)CMSGBOX_SYSCALL(
      CMSGBOX_CALL_ACCEPT, accept4(fd, &name.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (accepted < 0) return accepted;
  cmsgbox_from_sockaddr(&name, remote);
  return accepted;
}

static int32_t query(int fd, int level, int name, void *value, socklen_t *size) {
  return (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_QUERY, getsockopt(fd, level, name, value, size));
}

int32_t cmsgbox_socket_error(int32_t fd) {
  int error = 0;
  socklen_t length = sizeof error;
  int32_t result = query(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return result < 0 ? result : error;
}

int32_t cmsgbox_tcp_measure(int32_t fd, cmsgbox_tcp_measures *measures) {
  // An older system fills in less.
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  int32_t error = query(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
  if (error) return error;
  measures->round_trip = info.tcpi_rtt;
  measures->variation = info.tcpi_rttvar;
  // All ones means that nothing was measured.
  measures->least_round_trip = info.tcpi_min_rtt == UINT32_MAX ? 0 : info.tcpi_min_rtt;
  measures->resent = info.tcpi_total_retrans;
  return 0;
}

int32_t cmsgbox_local_address(int32_t fd, cmsgbox_address *local) {
  cmsgbox_sockaddr name = {.any.sa_family = AF_UNSPEC};
  socklen_t length = sizeof name;
  int32_t error =
      (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_NAME, getsockname(fd, &name.any, &length));
  if (!error) cmsgbox_from_sockaddr(&name, local);
  return error;
}

int64_t cmsgbox_receive(int32_t fd, void *bytes, size_t capacity) {
  capacity = cmsgbox_fault_limit(CMSGBOX_CALL_RECEIVE, capacity);
  return CMSGBOX_SYSCALL(CMSGBOX_CALL_RECEIVE, recv(fd, bytes, capacity, 0));
}

int64_t cmsgbox_send(int32_t fd, const void *bytes, size_t count) {
  count = cmsgbox_fault_limit(CMSGBOX_CALL_SEND, count);
  return CMSGBOX_SYSCALL(CMSGBOX_CALL_SEND, send(fd, bytes, count, MSG_NOSIGNAL));
}

int32_t cmsgbox_shutdown_write(int32_t fd) {
  return (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_SHUTDOWN, shutdown(fd, SHUT_WR));
}

int32_t cmsgbox_linger_reset(int32_t fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  return cmsgbox_set_option(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}
