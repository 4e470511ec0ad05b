// Datagrams in batches, with the local address of each.
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { CONTROL_BYTES = CMSG_SPACE(sizeof(struct in6_pktinfo)) };

// The control data of one datagram, aligned for its header.
typedef union control {
  struct cmsghdr header;
  uint8_t bytes[CONTROL_BYTES];
} control;

// What the calls need to know of one direction.
typedef struct direction {
  struct mmsghdr headers[CMSGBOX_BATCH];
  struct iovec pieces[CMSGBOX_BATCH];
  cmsgbox_sockaddr names[CMSGBOX_BATCH];
  control controls[CMSGBOX_BATCH];
  cmsgbox_datagram datagrams[CMSGBOX_BATCH];
} direction;

struct cmsgbox_batch {
  direction in;
  direction out;
  uint8_t in_bytes[CMSGBOX_BATCH * CMSGBOX_RECEIVE_SLOT];
  uint8_t out_bytes[CMSGBOX_BATCH * CMSGBOX_SEND_SLOT];
};

static void prepare(direction *d, uint8_t *bytes, size_t slot) {
  for (size_t i = 0; i < CMSGBOX_BATCH; i++) {
    struct msghdr *header = &d->headers[i].msg_hdr;
    d->pieces[i].iov_base = bytes + i * slot;
    d->pieces[i].iov_len = slot;
    header->msg_iov = &d->pieces[i];
    header->msg_iovlen = 1;
    header->msg_name = &d->names[i];
    header->msg_namelen = sizeof d->names[i];
    header->msg_control = &d->controls[i];
    header->msg_controllen = CONTROL_BYTES;
  }
}

cmsgbox_batch *cmsgbox_batch_create(void) {
  cmsgbox_batch *batch = calloc(1, sizeof *batch);
  if (!batch) return NULL;
  prepare(&batch->in, batch->in_bytes, CMSGBOX_RECEIVE_SLOT);
  prepare(&batch->out, batch->out_bytes, CMSGBOX_SEND_SLOT);
  return batch;
}

void cmsgbox_batch_destroy(cmsgbox_batch *batch) { free(batch); }

uint8_t *cmsgbox_batch_received_bytes(cmsgbox_batch *batch) { return batch->in_bytes; }

const cmsgbox_datagram *cmsgbox_batch_received(const cmsgbox_batch *batch) {
  return batch->in.datagrams;
}

uint8_t *cmsgbox_batch_sending_bytes(cmsgbox_batch *batch) { return batch->out_bytes; }

cmsgbox_datagram *cmsgbox_batch_sending(cmsgbox_batch *batch) { return batch->out.datagrams; }

// Whether nobody can send from `address`, because it stands for many.
static int is_group(const cmsgbox_address *address) {
  if (!cmsgbox_is_v4(address)) return address->high >> 56 == 0xff;
  uint32_t bits = (uint32_t)address->low;
  return bits >> 28 == 0xe || bits == 0xffffffff;
}

// Reads the address that a datagram was sent to; all 0 if the system did not tell or it is a group's.
static void read_local(struct msghdr *header, cmsgbox_address *local) {
  memset(local, 0, sizeof *local);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      cmsgbox_ip_from_bytes(local, info.ipi6_addr.s6_addr);
      if (cmsgbox_is_link_local(local)) local->scope = info.ipi6_ifindex;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      local->low = 0xffff00000000u | ntohl(info.ipi_spec_dst.s_addr);
    }
  }
  if (is_group(local)) memset(local, 0, sizeof *local);
}

int32_t cmsgbox_batch_receive(cmsgbox_batch *batch, int32_t fd) {
  direction *in = &batch->in;
  uint32_t room = (uint32_t)cmsgbox_fault_limit(CMSGBOX_CALL_RECEIVE_BATCH, CMSGBOX_BATCH);
  int32_t count = (int32_t)CMSGBOX_SYSCALL(
      CMSGBOX_CALL_RECEIVE_BATCH, recvmmsg(fd, in->headers, room, MSG_DONTWAIT, NULL));
  for (int32_t i = 0; i < count; i++) {
    struct msghdr *header = &in->headers[i].msg_hdr;
    cmsgbox_datagram *datagram = &in->datagrams[i];
    datagram->count = in->headers[i].msg_len;
    datagram->truncated = (header->msg_flags & MSG_TRUNC) != 0;
    cmsgbox_from_sockaddr(&in->names[i], &datagram->remote);
    read_local(header, &datagram->local);
    // The system wrote how much of these it used; the next call needs how much there is.
    header->msg_namelen = sizeof in->names[i];
    header->msg_controllen = CONTROL_BYTES;
  }
  return count;
}

static void put_control(struct msghdr *header, int level, int type, const void *info, size_t count) {
  header->msg_controllen = CMSG_SPACE(count);
  struct cmsghdr *c = CMSG_FIRSTHDR(header);
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(count);
  memcpy(CMSG_DATA(c), info, count);
}

// Tells the system which address a datagram has to come from.
static void write_local(struct msghdr *header, control *room, const cmsgbox_address *local) {
  header->msg_control = NULL;
  header->msg_controllen = 0;
  if (local->high == 0 && local->low == 0) return;
  memset(room, 0, sizeof *room);
  header->msg_control = room;
  header->msg_controllen = CONTROL_BYTES;
  if (cmsgbox_is_v4(local)) {
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl((uint32_t)local->low)};
    put_control(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  } else {
    struct in6_pktinfo info = {.ipi6_ifindex = local->scope};
    cmsgbox_ip_to_bytes(local, info.ipi6_addr.s6_addr);
    put_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  }
}

static void describe(direction *out, uint32_t i, int ipv6, int connected) {
  struct msghdr *header = &out->headers[i].msg_hdr;
  const cmsgbox_datagram *datagram = &out->datagrams[i];
  uint32_t count = datagram->count;
  out->pieces[i].iov_len = count < CMSGBOX_SEND_SLOT ? count : CMSGBOX_SEND_SLOT;
  if (connected) {
    header->msg_name = NULL;
    header->msg_namelen = 0;
    header->msg_control = NULL;
    header->msg_controllen = 0;
    return;
  }
  header->msg_name = &out->names[i];
  header->msg_namelen = cmsgbox_to_sockaddr(&datagram->remote, ipv6, &out->names[i]);
  write_local(header, &out->controls[i], &datagram->local);
}

int32_t cmsgbox_batch_send(
    cmsgbox_batch *batch, int32_t fd, uint32_t first, uint32_t count, int32_t ipv6,
    int32_t connected) {
  if (first >= CMSGBOX_BATCH || count > CMSGBOX_BATCH - first) return -EINVAL;
  count = (uint32_t)cmsgbox_fault_limit(CMSGBOX_CALL_SEND_BATCH, count);
  for (uint32_t i = first; i < first + count; i++) describe(&batch->out, i, ipv6, connected);
  return (int32_t)CMSGBOX_SYSCALL(
      CMSGBOX_CALL_SEND_BATCH,
      sendmmsg(fd, batch->out.headers + first, count, MSG_NOSIGNAL | MSG_DONTWAIT));
}
