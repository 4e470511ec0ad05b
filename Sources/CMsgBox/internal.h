// What the files of this target share: the one place through which every system call goes.
#ifndef CMSGBOX_INTERNAL_H
#define CMSGBOX_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "include/msgbox_shims.h"

// In builds for tests, a call may be told to fail: then errno is set and 1 returned.
#ifdef DEBUG
int cmsgbox_fault_due(int32_t call);
size_t cmsgbox_fault_limit(int32_t call, size_t count);
#else
static inline int cmsgbox_fault_due(int32_t call) {
  (void)call;
  return 0;
}
static inline size_t cmsgbox_fault_limit(int32_t call, size_t count) {
  (void)call;
  return count;
}
#endif

// The value of `expression`, repeated while a signal interrupts it, or its negated errno.
#define CMSGBOX_SYSCALL(call, expression)                                        \
  ({                                                                             \
    int64_t result_;                                                             \
    do                                                                           \
      result_ = cmsgbox_fault_due(call) ? -1 : (int64_t)(expression);            \
    while (result_ < 0 && errno == EINTR);                                       \
    result_ < 0 ? -(int64_t)errno : result_;                                     \
  })

static inline int32_t cmsgbox_set_option(
    int fd, int level, int name, const void *value, socklen_t size) {
  return (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_OPTION, setsockopt(fd, level, name, value, size));
}

static inline int32_t cmsgbox_duplicate(int fd) {
  return (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_DUPLICATE, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

// Zeroed memory, or NULL.
static inline void *cmsgbox_allocate(size_t size) {
  return cmsgbox_fault_due(CMSGBOX_CALL_MEMORY) ? NULL : calloc(1, size);
}

typedef union cmsgbox_sockaddr {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} cmsgbox_sockaddr;

static inline int cmsgbox_is_v4(const cmsgbox_address *address) {
  return address->high == 0 && address->low >> 32 == 0xffff;
}

// Whether `address` is the link-local kind that means nothing without its interface.
static inline int cmsgbox_is_link_local(const cmsgbox_address *address) {
  return address->high >> 54 == 0xfe80 >> 6;
}

static inline void cmsgbox_ip_to_bytes(const cmsgbox_address *address, uint8_t bytes[16]) {
  uint64_t halves[2] = {htobe64(address->high), htobe64(address->low)};
  memcpy(bytes, halves, sizeof halves);
}

static inline void cmsgbox_ip_from_bytes(cmsgbox_address *address, const uint8_t bytes[16]) {
  uint64_t halves[2];
  memcpy(halves, bytes, sizeof halves);
  address->high = be64toh(halves[0]);
  address->low = be64toh(halves[1]);
}

// Writes `address` for a socket of that family (an IPv6 one gets IPv4 in its mapped form); returns the length.
socklen_t cmsgbox_to_sockaddr(const cmsgbox_address *address, int ipv6, cmsgbox_sockaddr *out);

// Reads an address of either family; all 0 for another.
static inline void cmsgbox_from_sockaddr(const cmsgbox_sockaddr *in, cmsgbox_address *address) {
  memset(address, 0, sizeof *address);
  if (in->any.sa_family == AF_INET6) {
    cmsgbox_ip_from_bytes(address, in->v6.sin6_addr.s6_addr);
    address->port = ntohs(in->v6.sin6_port);
    if (cmsgbox_is_link_local(address)) address->scope = in->v6.sin6_scope_id;
  } else if (in->any.sa_family == AF_INET) {
    address->low = 0xffff00000000u | ntohl(in->v4.sin_addr.s_addr);
    address->port = ntohs(in->v4.sin_port);
  }
}

#endif
