/* sockets.h - sockets of the bare programs: loopback, generous buffers. */
#ifndef BENCH_SOCKETS_H
#define BENCH_SOCKETS_H

#include "common.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct sockaddr_in loopback(int port);
struct sockaddr_in any_address(int port);
void set_buffers(int fd); /* asks for 4 MiB each way */
void set_receive_timeout(int fd, int ms);
void set_nonblocking(int fd);
void set_no_delay(int fd);
int udp_bound(struct sockaddr_in address);
int udp_connected(int port);
int tcp_listen(int port);
int tcp_connect(int port);
int epoll_of(int fd); /* a new epoll descriptor that waits for input of `fd` */

/* Whole reads and writes; 0, or -1 at the end of the stream or when the server is to stop. */
int read_all(int fd, void *bytes, size_t count);
int write_all(int fd, const void *bytes, size_t count);

#endif
