#include "batch.h"

#include <netinet/udp.h>
#include <string.h>

Batch *batch_new(size_t each, int has_names) {
  Batch *batch = must_alloc(sizeof *batch);
  batch->each = each;
  batch->bytes = must_alloc(BATCH * each);
  for (int i = 0; i < BATCH; i++) {
    batch->parts[i] = (struct iovec){batch_bytes(batch, i), each};
    struct msghdr *header = &batch->headers[i].msg_hdr;
    *header = (struct msghdr){.msg_iov = &batch->parts[i], .msg_iovlen = 1};
    if (has_names) *header = (struct msghdr){.msg_iov = &batch->parts[i], .msg_iovlen = 1,
                                             .msg_name = &batch->names[i], .msg_namelen = sizeof batch->names[i]};
  }
  return batch;
}

int batch_receive(Batch *batch, int fd, int most, int flags) {
  for (int i = 0; i < most; i++) {
    struct msghdr *header = &batch->headers[i].msg_hdr;
    batch->parts[i].iov_len = batch->each;
    if (header->msg_name) header->msg_namelen = sizeof batch->names[i];
    if (header->msg_control) header->msg_controllen = CONTROL;
  }
  return recvmmsg(fd, batch->headers, (unsigned)most, flags, NULL);
}

void batch_send(Batch *batch, int fd, int count) {
  for (int sent = 0; sent < count;) {
    int n = sendmmsg(fd, batch->headers + sent, (unsigned)(count - sent), 0);
    if (n <= 0) return;
    sent += n;
  }
}

u32 segment_length(struct msghdr *header, u32 length) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control))
    if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
      int segment;
      memcpy(&segment, CMSG_DATA(control), sizeof segment);
      return (u32)segment;
    }
  return length;
}

ssize_t receive_segments(int fd, void *bytes, size_t room, struct sockaddr_in *from, u32 *segment) {
  char control[CONTROL];
  struct iovec part = {bytes, room};
  struct msghdr header = {.msg_name = from, .msg_namelen = from ? sizeof *from : 0, .msg_iov = &part,
                          .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t count = recvmsg(fd, &header, 0);
  if (count >= 0) *segment = segment_length(&header, (u32)count);
  return count;
}

void send_segments(int fd, void *bytes, size_t count, struct sockaddr_in *to, size_t segment) {
  union {
    char bytes[CMSG_SPACE(sizeof(u16))];
    struct cmsghdr header;
  } control = {{0}};
  struct iovec part = {bytes, count};
  struct msghdr header = {.msg_name = to, .msg_namelen = to ? sizeof *to : 0, .msg_iov = &part, .msg_iovlen = 1};
  if (count > segment) {
    u16 length = (u16)segment;
    header.msg_control = control.bytes;
    header.msg_controllen = sizeof control.bytes;
    control.header.cmsg_level = SOL_UDP;
    control.header.cmsg_type = UDP_SEGMENT;
    control.header.cmsg_len = CMSG_LEN(sizeof length);
    memcpy(CMSG_DATA(&control.header), &length, sizeof length);
  }
  if (sendmsg(fd, &header, 0) < 0) die("sendmsg with segments");
}

void accept_segments(int fd) {
  int one = 1;
  CHECK(setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof one));
}
