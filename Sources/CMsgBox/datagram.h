// The buffers of a batch of datagrams, for the two files that send and receive with them.
#ifndef CMSGBOX_DATAGRAM_H
#define CMSGBOX_DATAGRAM_H

#include "internal.h"

#include <string.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
  // The local address and the size of the datagrams of a train.
  CONTROL_BYTES = CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)),
  // From one slot to the next: slots that lie 64 KiB apart would share the sets of every cache.
  RECEIVE_STRIDE = CMSGBOX_RECEIVE_SLOT + 128,
  // What one message may be: datagrams (UDP_MAX_SEGMENTS of Linux 4.18) and bytes (the largest of IPv4).
  TRAIN_DATAGRAMS = 64,
  TRAIN_BYTES = 65507
};

// The control data of one message, aligned for its header.
typedef union control {
  struct cmsghdr header;
  uint8_t bytes[CONTROL_BYTES];
} control;

// What the calls need to know of one direction. One message is one train.
typedef struct messages {
  struct mmsghdr headers[CMSGBOX_BATCH];
  struct iovec pieces[CMSGBOX_BATCH];
  cmsgbox_sockaddr names[CMSGBOX_BATCH];
  control controls[CMSGBOX_BATCH];
} messages;

_Static_assert((int)CMSGBOX_RECEIVE_BATCH <= (int)CMSGBOX_BATCH, "messages serve both ways");

struct cmsgbox_batch {
  messages in;
  cmsgbox_train trains[CMSGBOX_RECEIVE_BATCH];
  // Address space for the slots; pages that nothing was received into cost no memory.
  uint8_t *in_bytes;
  // How many messages are received at once, and most bytes of each.
  uint32_t limit;
  uint32_t slot;
  // Whether the headers of `in` ask for no addresses.
  int is_anonymous;

  messages out;
  // Datagrams in each message of `out`.
  uint32_t lengths[CMSGBOX_BATCH];
  cmsgbox_datagram datagrams[CMSGBOX_BATCH];
  uint8_t out_bytes[CMSGBOX_BATCH * CMSGBOX_SEND_SLOT];
};

#endif
