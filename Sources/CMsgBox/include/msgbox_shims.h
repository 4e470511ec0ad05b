// System calls and process facilities that Swift cannot import without a platform module. Each call returns a value of
// 0 or more, or a negated error number; each is repeated when a signal interrupts it. Every descriptor that is made is
// non-blocking and is closed on exec.
#ifndef MSGBOX_SHIMS_H
#define MSGBOX_SHIMS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

// ---- Error numbers -------------------------------------------------------------------------------------------------

#define CMSGBOX_ERRNO(name) static const int32_t CMSGBOX_##name = name
CMSGBOX_ERRNO(EACCES);
CMSGBOX_ERRNO(EADDRINUSE);
CMSGBOX_ERRNO(EADDRNOTAVAIL);
CMSGBOX_ERRNO(EAFNOSUPPORT);
CMSGBOX_ERRNO(EAGAIN);
CMSGBOX_ERRNO(EBADF);
CMSGBOX_ERRNO(ECONNABORTED);
CMSGBOX_ERRNO(ECONNREFUSED);
CMSGBOX_ERRNO(ECONNRESET);
CMSGBOX_ERRNO(EHOSTDOWN);
CMSGBOX_ERRNO(EHOSTUNREACH);
CMSGBOX_ERRNO(EINPROGRESS);
CMSGBOX_ERRNO(EINTR);
CMSGBOX_ERRNO(EINVAL);
CMSGBOX_ERRNO(EIO);
CMSGBOX_ERRNO(EMFILE);
CMSGBOX_ERRNO(EMSGSIZE);
CMSGBOX_ERRNO(ENETDOWN);
CMSGBOX_ERRNO(ENETUNREACH);
CMSGBOX_ERRNO(ENFILE);
CMSGBOX_ERRNO(ENOBUFS);
CMSGBOX_ERRNO(ENOMEM);
CMSGBOX_ERRNO(ENONET);
CMSGBOX_ERRNO(ENOPROTOOPT);
CMSGBOX_ERRNO(EOPNOTSUPP);
CMSGBOX_ERRNO(EPERM);
CMSGBOX_ERRNO(EPIPE);
CMSGBOX_ERRNO(EPROTO);
CMSGBOX_ERRNO(ETIMEDOUT);
#undef CMSGBOX_ERRNO

// 1 if the error is what Linux makes of an ICMP message about an earlier packet (icmp(7), and accept(2) of the errors
// that wait at a new connection), and says nothing of the call that returned it.
static inline int32_t cmsgbox_is_bounce(int32_t error) {
  switch (error) {
  case ECONNREFUSED:
  case EHOSTDOWN:
  case EHOSTUNREACH:
  case ENETDOWN:
  case ENETUNREACH:
  case ENONET:
  case ENOPROTOOPT:
  case EOPNOTSUPP:
  case EPROTO: return 1;
  default: return 0;
  }
}

// ---- Addresses -----------------------------------------------------------------------------------------------------

// An IP address and a port, all in host order; IPv4 in its mapped form ::ffff:a.b.c.d.
typedef struct cmsgbox_address {
  uint64_t high;
  uint64_t low;
  uint32_t scope; // interface of a link-local IPv6 address, else 0
  uint16_t port;
} cmsgbox_address;

// ---- Sockets -------------------------------------------------------------------------------------------------------

// Closes a descriptor. A negative one is left alone.
void cmsgbox_close(int32_t fd);

// A descriptor of nothing, to be given up when there are no others.
int32_t cmsgbox_open_reserve(void);

// Makes a UDP socket bound to `address`, of the family of `address`; `dual_stack` lets an IPv6 one serve IPv4 too.
// `buffer_bytes` is asked of the kernel, each way. The local address of each datagram is told (pktinfo) if asked for.
// Unless `steering` is NULL, it shares its port with others of this process, at most 255, and `steering` gets the first
// byte, 1...255, of the session ids whose datagrams come to it; such a socket must be closed by cmsgbox_close.
int32_t cmsgbox_udp_bind(
    const cmsgbox_address *address, int32_t dual_stack, uint32_t buffer_bytes, int32_t packet_info,
    uint8_t *steering);

// Makes a UDP socket connected to `remote`.
int32_t cmsgbox_udp_connect(const cmsgbox_address *remote, uint32_t buffer_bytes);

// Makes a TCP socket that listens on `address`, if `shared` with others that do.
int32_t cmsgbox_tcp_listen(const cmsgbox_address *address, int32_t dual_stack, int32_t shared);

// Makes a TCP socket that is connecting, or connected, to `remote`.
int32_t cmsgbox_tcp_connect(const cmsgbox_address *remote);

// Accepts one connection and writes its peer's address.
int32_t cmsgbox_tcp_accept(int32_t fd, cmsgbox_address *remote);

// Takes the pending error of a socket: 0 or an error number, or a negated one if it cannot be told.
int32_t cmsgbox_socket_error(int32_t fd);

// What the system has measured on a TCP connection: microseconds, 0 where it has not, and segments sent again.
typedef struct {
  uint32_t round_trip, variation, least_round_trip, resent;
} cmsgbox_tcp_measures;

// Returns 0 or a negative errno.
int32_t cmsgbox_tcp_measure(int32_t fd, cmsgbox_tcp_measures *measures);

// Writes the local address of a socket.
int32_t cmsgbox_local_address(int32_t fd, cmsgbox_address *local);

// Reads up to `capacity` bytes; 0 is the end of the stream.
int64_t cmsgbox_receive(int32_t fd, void *bytes, size_t capacity);

// Sends up to `count` bytes, without a signal.
int64_t cmsgbox_send(int32_t fd, const void *bytes, size_t count);

// Some of the bytes that are sent by one call.
typedef struct cmsgbox_piece {
  const void *bytes;
  size_t count;
} cmsgbox_piece;

// Sends from the front of up to 32 pieces, without a signal.
int64_t cmsgbox_send_pieces(int32_t fd, const cmsgbox_piece *pieces, size_t count);

// Reads into `first`, and what has no room there into `second`; 0 is the end of the stream.
int64_t cmsgbox_receive_two(int32_t fd, void *first, size_t first_count, void *second, size_t second_count);

int32_t cmsgbox_shutdown_write(int32_t fd);

// Makes the next close of a TCP socket a reset.
int32_t cmsgbox_linger_reset(int32_t fd);

// ---- Datagrams in batches ------------------------------------------------------------------------------------------

enum {
  CMSGBOX_BATCH = 64,           // datagrams sent by one call
  CMSGBOX_RECEIVE_BATCH = 32,   // messages received by one call
  CMSGBOX_RECEIVE_SLOT = 65536, // room for a message received; more than the largest that is valid
  CMSGBOX_SEND_SLOT = 1280      // largest datagram to be sent
};

// One message received: datagrams of one sender, one behind the other. All have `segment` bytes but the last, which may
// have fewer. It is one datagram unless the system has put several together (UDP_GRO).
typedef struct cmsgbox_train {
  cmsgbox_address remote; // not told on a connected socket
  cmsgbox_address local;  // where it came to; all 0 if not known
  const uint8_t *bytes;
  uint32_t count;     // bytes in all
  uint32_t segment;   // 0 only if `count` is
  uint32_t truncated; // 1 if it was larger than its slot, so that the last datagram is not whole
} cmsgbox_train;

// One datagram to be sent.
typedef struct cmsgbox_datagram {
  cmsgbox_address remote; // of no meaning on a connected socket
  cmsgbox_address local;  // where it has to come from; all 0 if the system may choose; of no meaning like `remote`
  uint32_t offset;        // where it begins in the bytes of the batch
  uint32_t count;         // bytes
} cmsgbox_datagram;

// The buffers of one batch each way.
typedef struct cmsgbox_batch cmsgbox_batch;

cmsgbox_batch *cmsgbox_batch_create(void);
void cmsgbox_batch_destroy(cmsgbox_batch *batch);

// What was received last, up to CMSGBOX_RECEIVE_BATCH messages.
const cmsgbox_train *cmsgbox_batch_received(const cmsgbox_batch *batch);

// Bytes (CMSGBOX_BATCH * CMSGBOX_SEND_SLOT) and descriptions (CMSGBOX_BATCH) of the datagrams to send, which the caller
// fills in; those that are to leave as one message must lie one behind the other.
uint8_t *cmsgbox_batch_sending_bytes(cmsgbox_batch *batch);
cmsgbox_datagram *cmsgbox_batch_sending(cmsgbox_batch *batch);

// Receives up to `most` messages, at most CMSGBOX_RECEIVE_BATCH, of at most `slot_bytes` bytes, fewer while they are of many
// datagrams; returns how many. `is_full` tells whether there was no room for more. A socket that is `connected` tells no
// addresses. To ask for one message costs the system less than to get one of many that were asked for.
int32_t cmsgbox_batch_receive(
    cmsgbox_batch *batch, int32_t fd, int32_t connected, uint32_t most, uint32_t slot_bytes, int32_t *is_full);

// Sends the datagrams first ..< first + count, 1 or more; returns how many left, from the first. `ipv6` tells the family
// of the socket; one that is `connected` gets no addresses. While `in_trains` is not 0, those that follow each other on
// one path and have the same size, but for the last, leave as one message; it becomes 0 when the socket cannot do that.
int32_t cmsgbox_batch_send(
    cmsgbox_batch *batch, int32_t fd, uint32_t first, uint32_t count, int32_t ipv6,
    int32_t connected, int32_t *in_trains);

// ---- Waiting -------------------------------------------------------------------------------------------------------

enum {
  CMSGBOX_READABLE = 1,
  CMSGBOX_WRITABLE = 2,
  CMSGBOX_FAILED = 4 // an error or a hang-up; always watched
};

typedef struct cmsgbox_ready {
  uint64_t token;
  uint32_t flags;
} cmsgbox_ready;

int32_t cmsgbox_poller_create(void);

// Watches a descriptor for `flags`, level-triggered.
int32_t cmsgbox_poller_add(int32_t poller, int32_t fd, uint64_t token, uint32_t flags);
int32_t cmsgbox_poller_change(int32_t poller, int32_t fd, uint64_t token, uint32_t flags);
int32_t cmsgbox_poller_remove(int32_t poller, int32_t fd);

// Waits up to `timeout_ms` (-1: without limit); returns how many of `ready` were filled in. A signal ends the wait.
int32_t cmsgbox_poller_wait(int32_t poller, cmsgbox_ready *ready, int32_t capacity, int32_t timeout_ms);

// An event counter: `raise` makes it readable until `clear`.
int32_t cmsgbox_event_create(void);
int32_t cmsgbox_event_raise(int32_t fd);
int32_t cmsgbox_event_clear(int32_t fd);

// Wakes a loop from any thread. Counted references; it holds a duplicate of the event counter.
struct msg_Waker;
struct msg_Waker *cmsgbox_waker_create(int32_t event_fd);
struct msg_Waker *cmsgbox_waker_retain(struct msg_Waker *waker);
void cmsgbox_waker_release(struct msg_Waker *waker); // NULL does nothing
void cmsgbox_waker_wake(struct msg_Waker *waker);    // NULL does nothing

// ---- Names ---------------------------------------------------------------------------------------------------------

enum { CMSGBOX_RESOLVED_MAX = 16, CMSGBOX_RESOLVER_THREADS = 4 };

// The answer to one question. `error` is 0, an error number, or -1 if the name has no address.
typedef struct cmsgbox_resolved {
  uint64_t id;
  int32_t error;
  uint32_t count;
  cmsgbox_address addresses[CMSGBOX_RESOLVED_MAX];
} cmsgbox_resolved;

// Asks the system's resolver on threads of its own; raises an event counter, of which it keeps a duplicate, when there
// is an answer.
typedef struct cmsgbox_resolver cmsgbox_resolver;

cmsgbox_resolver *cmsgbox_resolver_create(int32_t event_fd);

// Queues a question.
int32_t cmsgbox_resolver_ask(
    cmsgbox_resolver *resolver, uint64_t id, const uint8_t *name, size_t count, uint16_t port);

// Takes a question back: 1, or 0 if it is being asked, was answered or never was.
int32_t cmsgbox_resolver_forget(cmsgbox_resolver *resolver, uint64_t id);

// Takes an answer: 1, or 0 if there is none.
int32_t cmsgbox_resolver_take(cmsgbox_resolver *resolver, cmsgbox_resolved *answer);

// Forgets what is queued and gives the resolver up; threads that still run free it.
void cmsgbox_resolver_release(cmsgbox_resolver *resolver);

// ---- The process ---------------------------------------------------------------------------------------------------

// Nanoseconds of the monotonic clock.
uint64_t cmsgbox_now(void);

// The same clock as it was when the system last looked at it: up to some milliseconds behind, for a fifth of the cost.
uint64_t cmsgbox_now_coarse(void);

// Fills `bytes` from the system's generator; ends the process if there is none.
void cmsgbox_random(void *bytes, size_t count);

// One pointer per thread. The destructor given last is called with it when the thread ends, unless it is NULL.
void *cmsgbox_tls_get(void);
void cmsgbox_tls_set(void *value, void (*destructor)(void *));

// 1, 2, 3, ... 2^24 - 1, then 0 for ever. Any thread.
uint32_t cmsgbox_next_box(void);

// ---- Faults, for tests ---------------------------------------------------------------------------------------------

// The calls that a test can make fail.
enum {
  CMSGBOX_CALL_SOCKET,
  CMSGBOX_CALL_BIND,
  CMSGBOX_CALL_CONNECT,
  CMSGBOX_CALL_ACCEPT,
  CMSGBOX_CALL_RECEIVE,
  CMSGBOX_CALL_SEND,
  CMSGBOX_CALL_RECEIVE_BATCH,
  CMSGBOX_CALL_SEND_BATCH,
  CMSGBOX_CALL_POLL,
  CMSGBOX_CALL_OPEN,
  CMSGBOX_CALL_THREAD,
  CMSGBOX_CALL_RESOLVE, // of a name; its errors are those of getaddrinfo
  CMSGBOX_CALL_OFFLOAD, // the option by which datagrams come together
  CMSGBOX_CALL_OPTION,
  CMSGBOX_CALL_LISTEN,
  CMSGBOX_CALL_NAME,  // of a socket's own address
  CMSGBOX_CALL_QUERY, // of an option's value
  CMSGBOX_CALL_SHUTDOWN,
  CMSGBOX_CALL_WATCH,   // the first one of a descriptor
  CMSGBOX_CALL_REWATCH, // for something else
  CMSGBOX_CALL_UNWATCH,
  CMSGBOX_CALL_EVENT, // reading and writing an event counter
  CMSGBOX_CALL_DUPLICATE,
  CMSGBOX_CALL_MEMORY,
  CMSGBOX_CALLS
};

// Lets the calls of this kind and thread after the next `after` ones fail with `error`, `times` times. With `error` 0
// they are cut short instead: to `limit` bytes, or messages or datagrams of a batch. Returns 0 in builds without DEBUG, where
// nothing can fail on purpose.
int32_t cmsgbox_fault_set(int32_t call, uint32_t after, uint32_t times, int32_t error, uint32_t limit);

// Takes all faults of this thread back. Returns how many calls were made to fail or cut short since the last time.
uint32_t cmsgbox_fault_clear(void);

// How many calls of this kind this thread has made since the last `clear`; 0 in builds without DEBUG.
uint32_t cmsgbox_fault_calls(int32_t call);

// Bytes of the heap that are in use, in the main arena; 0 in builds without DEBUG.
uint64_t cmsgbox_fault_heap(void);

#endif
