// Streams: bytes in and out of several places at once.
#include "internal.h"

#include <sys/uio.h>

// As many as one call takes.
#define CMSGBOX_PIECES 32

// Cuts the list such that it has no more than `limit` bytes; returns how many entries are left.
static size_t cut(struct iovec *list, size_t count, size_t limit) {
  size_t used = 0;
  for (; used < count && limit > 0; used++) {
    if (list[used].iov_len > limit) list[used].iov_len = limit;
    limit -= list[used].iov_len;
  }
  return used;
}

int64_t cmsgbox_send_pieces(int32_t fd, const cmsgbox_piece *pieces, size_t count) {
  struct iovec list[CMSGBOX_PIECES];
  if (count > CMSGBOX_PIECES) count = CMSGBOX_PIECES;
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    list[i] = (struct iovec){.iov_base = (void *)(uintptr_t)pieces[i].bytes, .iov_len = pieces[i].count};
    bytes += pieces[i].count;
  }
  size_t limit = cmsgbox_fault_limit(CMSGBOX_CALL_SEND, bytes);
  if (limit < bytes) count = cut(list, count, limit);
  // One alone is cheaper by a simpler call.
  if (count == 1) {
    return CMSGBOX_SYSCALL(
        CMSGBOX_CALL_SEND, send(fd, list->iov_base, list->iov_len, MSG_NOSIGNAL));
  }
  struct msghdr message = {.msg_iov = list, .msg_iovlen = count};
  return CMSGBOX_SYSCALL(CMSGBOX_CALL_SEND, sendmsg(fd, &message, MSG_NOSIGNAL));
}

int64_t cmsgbox_receive_two(
    int32_t fd, void *first, size_t first_count, void *second, size_t second_count) {
  struct iovec list[2] = {
      {.iov_base = first, .iov_len = first_count}, {.iov_base = second, .iov_len = second_count}};
  size_t bytes = first_count + second_count;
  size_t limit = cmsgbox_fault_limit(CMSGBOX_CALL_RECEIVE, bytes);
  size_t count = limit < bytes ? cut(list, 2, limit) : 2;
  struct msghdr message = {.msg_iov = list, .msg_iovlen = count};
  return CMSGBOX_SYSCALL(CMSGBOX_CALL_RECEIVE, recvmsg(fd, &message, 0));
}
