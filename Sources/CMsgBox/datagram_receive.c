// Datagrams received in batches, with the local address of each; the system may hand over several of one sender as one
// message (UDP_GRO).
#include "datagram.h"

#include <sys/mman.h>

enum {
  // Messages received at once after such of more than so many datagrams on average: what they hold should still be in
  // the cache when it is looked at, and be no more than a turn has time for.
  LONG_BATCH = 4,
  LONG_DATAGRAMS = 8
};

static void set_slots(cmsgbox_batch *batch, uint32_t bytes) {
  if (bytes > CMSGBOX_RECEIVE_SLOT) bytes = CMSGBOX_RECEIVE_SLOT;
  if (batch->slot == bytes) return;
  batch->slot = bytes;
  for (size_t i = 0; i < CMSGBOX_RECEIVE_BATCH; i++) batch->in.pieces[i].iov_len = bytes;
}

static void set_anonymous(cmsgbox_batch *batch, int is_anonymous) {
  if (batch->is_anonymous == is_anonymous) return;
  batch->is_anonymous = is_anonymous;
  for (size_t i = 0; i < CMSGBOX_RECEIVE_BATCH; i++) {
    struct msghdr *header = &batch->in.headers[i].msg_hdr;
    header->msg_name = is_anonymous ? NULL : &batch->in.names[i];
    header->msg_namelen = is_anonymous ? 0 : sizeof batch->in.names[i];
  }
}

cmsgbox_batch *cmsgbox_batch_create(void) {
  cmsgbox_batch *batch = cmsgbox_allocate(sizeof *batch);
  if (!batch) return NULL;
  size_t size = (size_t)CMSGBOX_RECEIVE_BATCH * RECEIVE_STRIDE;
  void *bytes = MAP_FAILED;
  if (!cmsgbox_fault_due(CMSGBOX_CALL_MEMORY)) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  }
  if (bytes == MAP_FAILED) {
    free(batch);
    return NULL;
  }
  // One small datagram must not cost 2 MiB. A system without huge pages refuses, which is as good.
  madvise(bytes, size, MADV_NOHUGEPAGE);
  batch->in_bytes = bytes;
  batch->limit = CMSGBOX_RECEIVE_BATCH;
  batch->is_anonymous = 1;
  for (size_t i = 0; i < CMSGBOX_RECEIVE_BATCH; i++) {
    struct msghdr *header = &batch->in.headers[i].msg_hdr;
    batch->in.pieces[i].iov_base = batch->in_bytes + i * RECEIVE_STRIDE;
    batch->trains[i].bytes = batch->in_bytes + i * RECEIVE_STRIDE;
    header->msg_iov = &batch->in.pieces[i];
    header->msg_iovlen = 1;
    header->msg_control = &batch->in.controls[i];
    header->msg_controllen = CONTROL_BYTES;
  }
  set_slots(batch, CMSGBOX_RECEIVE_SLOT);
  set_anonymous(batch, 0);
  return batch;
}

void cmsgbox_batch_destroy(cmsgbox_batch *batch) {
  if (!batch) return;
  munmap(batch->in_bytes, (size_t)CMSGBOX_RECEIVE_BATCH * RECEIVE_STRIDE);
  free(batch);
}

const cmsgbox_train *cmsgbox_batch_received(const cmsgbox_batch *batch) { return batch->trains; }

// Whether nobody can send from `address`, because it stands for many.
static int is_group(const cmsgbox_address *address) {
  if (!cmsgbox_is_v4(address)) return address->high >> 56 == 0xff;
  uint32_t bits = (uint32_t)address->low;
  return bits >> 28 == 0xe || bits == 0xffffffff;
}

static void read_local(const struct cmsghdr *c, cmsgbox_address *local) {
  if (c->cmsg_level == IPPROTO_IPV6) {
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(c), sizeof info);
    cmsgbox_ip_from_bytes(local, info.ipi6_addr.s6_addr);
    if (cmsgbox_is_link_local(local)) local->scope = info.ipi6_ifindex;
  } else {
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(c), sizeof info);
    local->low = 0xffff00000000u | ntohl(info.ipi_spec_dst.s_addr);
  }
  if (is_group(local)) memset(local, 0, sizeof *local);
}

// Reads the address that a train was sent to, all 0 if the system did not tell or it is a group's, and the size of its
// datagrams.
static void read_controls(struct msghdr *header, cmsgbox_train *train) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
      int size = 0;
      memcpy(&size, CMSG_DATA(c), sizeof size);
      if (size > 0 && (uint32_t)size < train->count) train->segment = (uint32_t)size;
    } else if (
        (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) ||
        (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)) {
      read_local(c, &train->local);
    }
  }
}

// Receives messages; returns how many. One alone is cheaper by a simpler call.
static int64_t receive_messages(int32_t fd, struct mmsghdr *headers, uint32_t limit) {
  if (limit != 1) return recvmmsg(fd, headers, limit, MSG_DONTWAIT, NULL);
  ssize_t count = recvmsg(fd, &headers->msg_hdr, MSG_DONTWAIT);
  if (count < 0) return -1;
  headers->msg_len = (unsigned)count;
  return 1;
}

int32_t cmsgbox_batch_receive(
    cmsgbox_batch *batch, int32_t fd, int32_t connected, uint32_t most, uint32_t slot_bytes,
    int32_t *is_full) {
  set_slots(batch, slot_bytes);
  set_anonymous(batch, connected);
  if (most > batch->limit) most = batch->limit;
  uint32_t limit = (uint32_t)cmsgbox_fault_limit(CMSGBOX_CALL_RECEIVE_BATCH, most);
  int32_t count = (int32_t)CMSGBOX_SYSCALL(
      CMSGBOX_CALL_RECEIVE_BATCH, receive_messages(fd, batch->in.headers, limit));
  if (count < 0) return count;
  uint32_t datagrams = 0;
  for (int32_t i = 0; i < count; i++) {
    struct msghdr *header = &batch->in.headers[i].msg_hdr;
    cmsgbox_train *train = &batch->trains[i];
    train->count = batch->in.headers[i].msg_len;
    train->segment = train->count;
    train->truncated = (header->msg_flags & MSG_TRUNC) != 0;
    memset(&train->local, 0, sizeof train->local);
    if (header->msg_controllen > 0) read_controls(header, train);
    datagrams += train->segment < train->count ? train->count / train->segment : 1;
    // The system wrote how much of these it used; the next call needs how much there is.
    header->msg_controllen = CONTROL_BYTES;
    if (connected) continue;
    cmsgbox_from_sockaddr(&batch->in.names[i], &train->remote);
    header->msg_namelen = sizeof batch->in.names[i];
  }
  *is_full = (uint32_t)count == most;
  batch->limit = datagrams > LONG_DATAGRAMS * (uint32_t)count ? LONG_BATCH : CMSGBOX_RECEIVE_BATCH;
  return count;
}
