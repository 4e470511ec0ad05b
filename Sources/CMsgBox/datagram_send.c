// Datagrams sent in batches: those that follow each other on one path and have the same size leave as one message
// (UDP_SEGMENT).
#include "datagram.h"

uint8_t *cmsgbox_batch_sending_bytes(cmsgbox_batch *batch) { return batch->out_bytes; }

cmsgbox_datagram *cmsgbox_batch_sending(cmsgbox_batch *batch) { return batch->datagrams; }

static int is_same(const cmsgbox_address *a, const cmsgbox_address *b) {
  return a->low == b->low && a->high == b->high && a->port == b->port && a->scope == b->scope;
}

// How many of the datagrams first ..< end one message can carry: all but the last have the size of the first, which the
// last may be below.
static uint32_t train_length(
    const cmsgbox_datagram *datagrams, uint32_t first, uint32_t end, int connected) {
  const cmsgbox_datagram *lead = &datagrams[first];
  uint32_t bytes = lead->count;
  if (end - first > TRAIN_DATAGRAMS) end = first + TRAIN_DATAGRAMS;
  uint32_t next = first + 1;
  while (next < end) {
    const cmsgbox_datagram *d = &datagrams[next];
    if (d->count > lead->count || d->count == 0 || d->offset != lead->offset + bytes) break;
    if (bytes + d->count > TRAIN_BYTES) break;
    if (!connected && !(is_same(&d->remote, &lead->remote) && is_same(&d->local, &lead->local))) break;
    bytes += d->count;
    next++;
    if (d->count < lead->count) break;
  }
  return next - first;
}

static void put_control(struct msghdr *header, int level, int type, const void *info, size_t count) {
  struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)header->msg_control + header->msg_controllen);
  header->msg_controllen += CMSG_SPACE(count);
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(count);
  memcpy(CMSG_DATA(c), info, count);
}

// Tells the system which address a datagram has to come from.
static void put_local(struct msghdr *header, const cmsgbox_address *local) {
  if (cmsgbox_is_v4(local)) {
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl((uint32_t)local->low)};
    put_control(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  } else {
    struct in6_pktinfo info = {.ipi6_ifindex = local->scope};
    cmsgbox_ip_to_bytes(local, info.ipi6_addr.s6_addr);
    put_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  }
}

// Makes message `index` one of the `length` datagrams from `first` on.
static void describe(
    cmsgbox_batch *batch, uint32_t index, uint32_t first, uint32_t length, int ipv6,
    int connected) {
  messages *out = &batch->out;
  struct msghdr *header = &out->headers[index].msg_hdr;
  const cmsgbox_datagram *lead = &batch->datagrams[first];
  const cmsgbox_datagram *last = &batch->datagrams[first + length - 1];
  batch->lengths[index] = length;
  out->pieces[index].iov_base = batch->out_bytes + lead->offset;
  out->pieces[index].iov_len = last->offset + last->count - lead->offset;
  header->msg_iov = &out->pieces[index];
  header->msg_iovlen = 1;
  header->msg_name = NULL;
  header->msg_namelen = 0;
  header->msg_control = &out->controls[index];
  header->msg_controllen = 0;
  if (!connected) {
    header->msg_name = &out->names[index];
    header->msg_namelen = cmsgbox_to_sockaddr(&lead->remote, ipv6, &out->names[index]);
    if (lead->local.high != 0 || lead->local.low != 0) put_local(header, &lead->local);
  }
  uint16_t size = (uint16_t)lead->count;
  if (length > 1) put_control(header, SOL_UDP, UDP_SEGMENT, &size, sizeof size);
  if (header->msg_controllen == 0) header->msg_control = NULL;
}

// Sends messages; returns how many left. One alone is cheaper by a simpler call.
static int64_t send_messages(int32_t fd, struct mmsghdr *headers, uint32_t count) {
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  if (count != 1) return sendmmsg(fd, headers, count, flags);
  return sendmsg(fd, &headers->msg_hdr, flags) < 0 ? -1 : 1;
}

// Sends the datagrams first ..< end, in trains if they may be; returns how many left, or a negated error.
static int32_t send_range(
    cmsgbox_batch *batch, int32_t fd, uint32_t first, uint32_t end, int ipv6, int connected,
    int in_trains) {
  uint32_t count = 0;
  for (uint32_t next = first; next < end; count++) {
    uint32_t length = in_trains ? train_length(batch->datagrams, next, end, connected) : 1;
    describe(batch, count, next, length, ipv6, connected);
    next += length;
  }
  int32_t sent = (int32_t)CMSGBOX_SYSCALL(
      CMSGBOX_CALL_SEND_BATCH, send_messages(fd, batch->out.headers, count));
  if (sent < 0) return sent;
  int32_t left = 0;
  for (int32_t i = 0; i < sent; i++) left += (int32_t)batch->lengths[i];
  return left;
}

// Whether a train was refused for what it is: the system, or the device on its way, cannot cut it.
static int is_unsupported(int32_t error) {
  return error == EINVAL || error == EIO;
}

// Whether the error says nothing of the datagram that was to be sent: no room, or one before it bounced.
static int is_of_another(int32_t error) {
  return error == EAGAIN || cmsgbox_is_bounce(error);
}

// Sends one datagram that needs no more than an address, or that of its socket's peer.
static int32_t send_one(
    const cmsgbox_batch *batch, const cmsgbox_datagram *datagram, int32_t fd, int32_t ipv6,
    int32_t connected) {
  const uint8_t *bytes = batch->out_bytes + datagram->offset;
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  cmsgbox_sockaddr name;
  socklen_t length = connected ? 0 : cmsgbox_to_sockaddr(&datagram->remote, ipv6, &name);
  int64_t sent = CMSGBOX_SYSCALL(
      CMSGBOX_CALL_SEND_BATCH,
      sendto(fd, bytes, datagram->count, flags, connected ? NULL : &name.any, length));
  return sent < 0 ? (int32_t)sent : 1;
}

int32_t cmsgbox_batch_send(
    cmsgbox_batch *batch, int32_t fd, uint32_t first, uint32_t count, int32_t ipv6,
    int32_t connected, int32_t *in_trains) {
  if (first >= CMSGBOX_BATCH || count == 0 || count > CMSGBOX_BATCH - first) return -EINVAL;
  const cmsgbox_datagram *lead = &batch->datagrams[first];
  if (count == 1 && (connected || (lead->local.high == 0 && lead->local.low == 0)))
    return send_one(batch, lead, fd, ipv6, connected);
  count = (uint32_t)cmsgbox_fault_limit(CMSGBOX_CALL_SEND_BATCH, count);
  uint32_t end = first + count;
  int32_t left = send_range(batch, fd, first, end, ipv6, connected, *in_trains);
  if (left >= 0 || batch->lengths[0] < 2 || is_of_another(-left)) return left;
  int32_t alone = send_range(batch, fd, first, first + batch->lengths[0], ipv6, connected, 0);
  // What cannot be sent by itself either says nothing of trains.
  if (alone >= 0 && is_unsupported(-left)) *in_trains = 0;
  return alone;
}
