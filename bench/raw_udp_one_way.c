/* raw_udp_one_way.c - one-way messages over UDP: one datagram each, in batches, packed, in segments. */
#include <netinet/udp.h>
#include <string.h>

#include "batch.h"
#include "raw.h"

static u8 bytes[BIG];

static int receiver(void) {
  int fd = udp_bound(loopback(args.port));
  set_receive_timeout(fd, 100);
  if (mode_has("spin")) set_nonblocking(fd);
  if (mode_has("gso") && !mode_has("nogro")) accept_segments(fd);
  server_ready();
  return fd;
}

static void receive_each(void) {
  int fd = receiver(), is_connected = !mode_has("unconn");
  while (!server_stopped()) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t n = is_connected ? recv(fd, bytes, sizeof bytes, 0)
                             : recvfrom(fd, bytes, sizeof bytes, 0, (void *)&from, &length);
    if (n >= 0) server_received(1);
  }
}

static u64 messages_in(Batch *batch, int count) {
  u64 messages = 0;
  size_t used;
  for (int i = 0; i < count; i++) messages += count_frames(batch_bytes(batch, i), batch->headers[i].msg_len, &used);
  return messages;
}

static void receive_batches(void) {
  int fd = receiver(), packs = mode_has("pack");
  Batch *batch = batch_new(DATAGRAM, 1);
  while (!server_stopped()) {
    int n = batch_receive(batch, fd, BATCH, MSG_WAITFORONE);
    if (n > 0) server_received(packs ? messages_in(batch, n) : (u64)n);
  }
}

/* Touches each segment, as one who looks at messages must. */
static u64 count_segments(Batch *batch, int i) {
  u32 length = batch->headers[i].msg_len, segment = segment_length(&batch->headers[i].msg_hdr, length);
  u64 messages = 0;
  for (u32 at = 0; at < length; at += segment, messages++)
    __asm__ volatile("" ::"r"(batch_bytes(batch, i)[at]));
  return messages;
}

static void receive_segmented(void) {
  enum { AT_ONCE = 16, ROOM = 65536 };
  int fd = receiver(), packs = mode_has("pack");
  Batch *batch = batch_new(ROOM, 1);
  for (int i = 0; i < AT_ONCE; i++) batch->headers[i].msg_hdr.msg_control = batch->control[i];
  while (!server_stopped()) {
    int n = batch_receive(batch, fd, AT_ONCE, MSG_WAITFORONE);
    if (n <= 0) continue;
    u64 messages = packs ? messages_in(batch, n) : 0;
    for (int i = 0; i < n && !packs; i++) messages += count_segments(batch, i);
    server_received(messages);
  }
}

static int sender(void) { return mode_has("unconn") ? udp_bound(loopback(0)) : udp_connected(args.port); }

static void send_each(void) {
  int fd = sender(), is_connected = !mode_has("unconn");
  struct sockaddr_in to = loopback(args.port);
  u64 cpu = cpu_ns();
  for (u64 sent = 0; sent < args.count; sent++) {
    window_wait(sent, 1);
    if (is_connected) send(fd, bytes, args.size, 0);
    else sendto(fd, bytes, args.size, 0, (void *)&to, sizeof to);
  }
  report_one_way(args.count, cpu_ns() - cpu);
}

static u64 packed_messages(void) {
  u64 messages = mode_has("pack") ? PACKED / frame_bytes() : 1;
  return messages ? messages : 1;
}

static Batch *batch_to_send(u64 messages) {
  int is_unconnected = mode_has("unconn");
  Batch *batch = batch_new(mode_has("pack") ? messages * frame_bytes() : args.size, is_unconnected);
  for (int i = 0; i < BATCH; i++) {
    if (mode_has("pack")) put_frames(batch_bytes(batch, i), messages);
    if (is_unconnected) batch->names[i] = loopback(args.port);
  }
  return batch;
}

static void send_batches(void) {
  int fd = sender();
  u64 messages = packed_messages(), datagrams = BATCH, sent = 0;
  Batch *batch = batch_to_send(messages);
  if (args.window && datagrams * messages > args.window / 2) datagrams = args.window / 2 / messages;
  if (!datagrams) datagrams = 1;
  u64 cpu = cpu_ns();
  while (sent < args.count) {
    window_wait(sent, datagrams * messages);
    int n = sendmmsg(fd, batch->headers, (unsigned)datagrams, 0);
    if (n > 0) sent += (u64)n * messages;
  }
  report_one_way(sent, cpu_ns() - cpu);
}

static void send_segmented(void) {
  int fd = sender(), segment = (int)(mode_has("pack") ? packed_messages() * frame_bytes() : args.size);
  u64 segments = 64000 / (u64)segment < 64 ? 64000 / (u64)segment : 64, messages = segments * packed_messages();
  if (mode_has("pack")) put_frames(bytes, messages);
  CHECK(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment));
  u64 sent = 0, cpu = cpu_ns();
  while (sent < args.count) {
    window_wait(sent, messages);
    if (send(fd, bytes, segments * (u64)segment, 0) > 0) sent += messages;
  }
  report_one_way(sent, cpu_ns() - cpu);
}

const Mode udp_one_way_modes[] = {
    {"udp.ow", receive_each, send_each},
    {"udp.ow.spin", receive_each, send_each},
    {"udp.ow.unconn", receive_each, send_each},
    {"udp.ow.mm", receive_batches, send_batches},
    {"udp.ow.mm.spin", receive_batches, send_batches},
    {"udp.ow.mm.unconn", receive_batches, send_batches},
    {"udp.ow.pack", receive_batches, send_batches},
    {"udp.ow.pack.spin", receive_batches, send_batches},
    {"udp.ow.gso", receive_segmented, send_segmented},
    {"udp.ow.pack.gso", receive_segmented, send_segmented},
    {"udp.ow.gso.nogro", receive_batches, send_segmented},
    {NULL, NULL, NULL},
};
