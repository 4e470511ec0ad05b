/* msgbox.h - one event callback for every connection: TCP or UDP, client or server.

   The three-line server:

       static void on_event(const msg_Event *e) { if (e->type == msg_request) msg_answer(e->request, e->data); }
       ...
       msg_listen("udp://127.0.0.1:2345", on_event);
       while (msg_runloop(-1) >= 0) {}

   Threads. A box and everything in it belongs to the thread that made it; a handle used from another
   thread is answered with MSG_ERR_WRONG_THREAD. Only msg_waker_wake and msg_waker_destroy may be called
   from any thread. Callbacks come only from inside msg_runloop and msg_box_runloop, and every call of this
   header is legal inside every callback, except that running the loop of its own box there is
   MSG_ERR_REENTRANT.

   When a thread ends, or ends the process by exit, its boxes end as by msg_box_destroy; those of other threads do
   not. A thread may end inside a callback too, but then some memory and descriptors of that box are lost. A forked
   child has no boxes.

   Handles. msg_Box, msg_Conn, msg_Request and msg_Get are numbers; 0 is never a handle, and none comes again before
   2^40 others of its kind and box (a box's never does). A handle that has ended is answered with MSG_ERR_BAD_HANDLE,
   never with a crash.

   What follows what. Each start has exactly one outcome, each open exactly one end, each get one answer:

       msg_connect                 connection_setup | connection_setup_error
       msg_listen                  listening | listening_error
       listening                   listening_ended
       connection_setup (client),
       connection_ready (server)   connection_closed | connection_lost, and nothing after it
       msg_get that gave MSG_OK    reply | reply_missing; the missing ones come before closed and lost
       a send with MSG_SEND_TELL
       that was accepted           delivered | undelivered; they come before closed and lost

   Bytes. What a call is given is copied before it returns, unless it is lent (msg_SendOptions.release); the bytes of an
   event live until its callback returns. */
#ifndef MSGBOX_H
#define MSGBOX_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define MSG_API __attribute__((visibility("default")))
#define MSG_NODISCARD __attribute__((warn_unused_result))
#else
#define MSG_API
#define MSG_NODISCARD
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define MSG_VERSION_MAJOR 0
#define MSG_VERSION_MINOR 1
#define MSG_VERSION_PATCH 0
#define MSG_VERSION_NUMBER (MSG_VERSION_MAJOR * 1000000 + MSG_VERSION_MINOR * 1000 + MSG_VERSION_PATCH)

/* ---- Handles and data ------------------------------------------------------------------------- */

/* A box: the sockets, connections and timers of one thread, driven by one loop. */
typedef struct msg_Box {
  uint64_t id;
} msg_Box;

/* A connection or a listener. It names its peer for life. */
typedef struct msg_Conn {
  uint64_t id;
} msg_Conn;

/* A request that was received and may be answered once, also later and outside its callback. */
typedef struct msg_Request {
  uint64_t id;
} msg_Request;

/* A get that waits for its reply: what msg_cancel takes. */
typedef struct msg_Get {
  uint64_t id;
} msg_Get;

/* Bytes that somebody else owns. `bytes` may be NULL when `count` is 0. */
typedef struct msg_Data {
  const void *bytes;
  size_t count;
} msg_Data;

/* Wraps `count` bytes at `bytes`; copies nothing. */
static inline msg_Data msg_data(const void *bytes, size_t count) {
  msg_Data data;
  data.bytes = bytes;
  data.count = count;
  return data;
}

/* Wraps a C string without its final 0; NULL is empty; copies nothing. */
static inline msg_Data msg_text(const char *text) {
  size_t count = 0;
  while (text && text[count]) count++;
  return msg_data(text, count);
}

/* ---- Status codes ----------------------------------------------------------------------------- */

/* Every code: name, number, text. Append only; a number never changes its meaning.
   0 is success, negative is a failure, positive is an end that is no failure. */
#define MSG_STATUS_MAP(X)                                                                            \
  X(OK, 0, "success")                                                                                \
  X(ERR_INVALID_ARGUMENT, -1, "an argument is out of its range")                                     \
  X(ERR_BAD_HANDLE, -2, "the handle has ended or never was")                                         \
  X(ERR_WRONG_THREAD, -3, "the handle belongs to another thread")                                    \
  X(ERR_ENDED, -4, "the end of this connection is decided")                                          \
  X(ERR_WOULD_BLOCK, -5, "the send queue is at its mark; wait for msg_writable")                     \
  X(ERR_TOO_BIG, -6, "the message is larger than this connection can carry")                         \
  X(ERR_BUSY, -7, "65535 gets are waiting for their replies")                                        \
  X(ERR_REENTRANT, -8, "the loop cannot be run from inside a callback")                              \
  X(ERR_LIMIT, -9, "a configured limit is reached")                                                  \
  X(ERR_BAD_ADDRESS, -10, "the address is not (tcp|udp)://(ip|*|[ipv6]|name):port")                  \
  X(ERR_RESOLVE, -11, "the host name has no address")                                                \
  X(ERR_ADDRESS_IN_USE, -12, "the local address is in use")                                          \
  X(ERR_NOT_PERMITTED, -13, "the system does not permit it")                                         \
  X(ERR_NO_DESCRIPTORS, -14, "the process or the system is out of descriptors")                      \
  X(ERR_REFUSED, -15, "nobody listens there")                                                        \
  X(ERR_UNREACHABLE, -16, "the network or the host cannot be reached")                               \
  X(ERR_TIMED_OUT, -17, "nothing was heard in time")                                                 \
  X(ERR_CANCELLED, -18, "ended by the program before its outcome")                                   \
  X(ERR_SYSTEM, -19, "a system call failed; see system_error")                                       \
  X(ERR_RESET, -20, "the peer's end of the stream is gone without a close")                          \
  X(ERR_PROTOCOL, -21, "the peer broke the protocol")                                                \
  X(ERR_UNKNOWN_SESSION, -22, "the peer does not know this session; it was restarted or gave it up") \
  X(ERR_DENIED, -23, "the peer denied the connection")                                               \
  X(ERR_OVERLOAD, -24, "there is no room for the connection")                                        \
  X(ERR_IDLE, -25, "the peer ended the connection for want of data")                                 \
  X(ERR_REPLACED, -26, "the peer replaced the connection by another")                                \
  X(ERR_CONNECTION_ENDED, -27, "the connection ended before the reply came")                         \
  X(ERR_NO_MEMORY, -28, "the system is out of memory")                                               \
  X(ERR_NO_ADDRESS, -29, "the address is not one of this machine's")                                 \
  X(ERR_NOT_SUPPORTED, -30, "the peer or the transport cannot do it")                                \
  X(ERR_RECEIVE_MARK, -31, "messages come faster than the program takes them")                       \
  X(ERR_EXPIRED, -32, "not on the wire before its deadline")                                         \
  X(ERR_SUPERSEDED, -33, "a newer message with the same key took its place")                         \
  X(ERR_NO_PEER, -34, "nobody is connected to the listener")                                         \
  X(END_LOCAL, 1, "closed by this program")                                                          \
  X(END_PEER, 2, "closed by the peer")                                                               \
  X(END_UNLISTENED, 3, "closed because its listener ended")

enum {
#define MSG_STATUS_ENUM(name, number, text) MSG_##name = number,
  MSG_STATUS_MAP(MSG_STATUS_ENUM)
#undef MSG_STATUS_ENUM
  MSG_STATUS_RESERVED_ = -32768
};

/* Returns the name of a status code, such as "ERR_TIMED_OUT"; "UNKNOWN" for other numbers. Static. Any thread. */
MSG_API const char *msg_status_name(int32_t code);

/* Returns one sentence on a status code for people; never NULL. Static. Any thread. */
MSG_API const char *msg_status_text(int32_t code);

/* ---- Events ----------------------------------------------------------------------------------- */

/* The types of events. Append only. */
enum {
  msg_listening = 1,              /* conn: the listener; it accepts from here on */
  msg_listening_error = 2,        /* conn: the listener that could not be; code */
  msg_listening_ended = 3,        /* conn: the listener; every connection of it has ended before */
  msg_connection_setup = 4,       /* client: somebody is there and has accepted */
  msg_connection_setup_error = 5, /* client: code; undelivered; next is set if a reconnection follows */
  msg_connection_ready = 6,       /* server: a new connection, cloned from its listener */
  msg_message = 7,                /* data */
  msg_request = 8,                /* data, request: answer it with msg_answer */
  msg_reply = 9,                  /* data, get_context */
  msg_reply_missing = 10,         /* get_context, code: ERR_TIMED_OUT, ERR_CONNECTION_ENDED, ERR_CANCELLED, or
                                     ERR_TOO_BIG for a get before setup that the peer turned out not to accept */
  msg_connection_closed = 11,     /* code: why; END_LOCAL, END_PEER, ...; undelivered */
  msg_connection_lost = 12,       /* code: why; undelivered; next is set if a reconnection follows */
  msg_writable = 13,              /* after ERR_WOULD_BLOCK: the queue is below half of its mark */
  msg_error = 14,                 /* conn: the listener or connection it happened on; nothing ends by it. code:
                                     ERR_TOO_BIG for a message before setup that the peer turned out not to
                                     accept; ERR_RECEIVE_MARK, once until the program has caught up, when the
                                     listener's connections, or the client, are at a receive mark;
                                     ERR_NO_DESCRIPTORS or another why a listener cannot accept now */
  msg_delivered = 15,             /* get_context: the context of a send with MSG_SEND_TELL; the peer's library has
                                     the whole message and has acknowledged it */
  msg_undelivered = 16            /* get_context: as of msg_delivered; the message was given up. code: ERR_EXPIRED and
                                     ERR_SUPERSEDED: it never left; ERR_TOO_BIG, before setup: the peer turned out not
                                     to accept it; ERR_CONNECTION_ENDED or why the connection could not be: whether
                                     it arrived is not known */
};

/* What happened. Valid until the callback returns, and so are the bytes of `data`. */
typedef struct msg_Event {
  size_t size;          /* bytes of this structure that the library filled in */
  uint32_t type;        /* msg_listening ... */
  int32_t code;         /* MSG_OK or why */
  msg_Box box;          /* where it happened */
  msg_Conn conn;        /* whom it concerns */
  msg_Conn listener;    /* the listener that conn was cloned from; id 0 at a client */
  msg_Conn next;        /* the connection that replaces this one (reconnect_wait_ms); else id 0 */
  msg_Request request;  /* of msg_request; else id 0 */
  msg_Data data;        /* of msg_message, msg_request and msg_reply; borrowed */
  void *context;        /* of conn: from msg_Options or msg_set_context */
  void *get_context;    /* of msg_reply and msg_reply_missing: what msg_get was given; of msg_delivered and
                           msg_undelivered: the context of the send */
  int32_t system_error; /* the errno behind code, or 0 */
  uint64_t undelivered; /* of msg_connection_closed, _lost and _setup_error: messages, requests and replies that
                           were accepted and not given to the system or, if reliable, not acknowledged; else 0 */
} msg_Event;

/* Gets every event of the connections it was given for. Called on the thread of the box, from inside the loop. */
typedef void (*msg_Callback)(const msg_Event *event);

/* Returns the name of an event type, such as "message"; "unknown" for other numbers. Static. Any thread. */
MSG_API const char *msg_event_name(uint32_t type);

/* ---- Options ---------------------------------------------------------------------------------- */

/* How a listener and its connections, or one outgoing connection, behave. A field that is 0 means its
   default. Start from MSG_OPTIONS_INIT. Times are milliseconds, 1..86400000 unless said otherwise. */
typedef struct msg_Options {
  size_t size;                    /* sizeof(msg_Options) */
  void *context;                  /* handed out with every event; connections inherit their listener's */
  uint32_t heartbeat_ms;          /* 10000: at most so long between two packets of ours; 10.. */
  uint32_t suspect_ms;            /* 15000: silence after which a UDP path is probed each second */
  uint32_t lost_ms;               /* 30000: silence after which a connection is lost; >= 2 * heartbeat_ms + 1000 */
  uint32_t connect_timeout_ms;    /* 10000: for name, addresses and handshake together */
  uint32_t get_timeout_ms;        /* 5000: for msg_get, unless it says otherwise */
  uint32_t reconnect_wait_ms;     /* 0 = never: a client that failed or was lost tries again after this, with jitter */
  uint32_t max_message_bytes;     /* 1048576 on UDP, 16777216 on TCP: largest accepted from the peer; ..67108864 */
  uint32_t send_mark_messages;    /* 1000: messages queued per connection before ERR_WOULD_BLOCK; queued is what the
                                     system was not given or, if reliable, the peer has not acknowledged */
  uint32_t send_mark_bytes;       /* 1048576: bytes queued per connection before ERR_WOULD_BLOCK; a message is accepted
                                     while both are below their marks, so one of any size may go over */
  uint32_t max_connections;       /* 1000000: of a listener */
  uint32_t implicit_peers;        /* 0 or 1: a UDP listener accepts peers that never say hello (bare 8-byte headers) */
  uint32_t socket_buffer_bytes;   /* 4194304: asked of the kernel for UDP sockets, each way; it may give less */
  uint32_t close_timeout_ms;      /* 5000: how long msg_disconnect may take to deliver what was accepted */
  uint32_t liveness;              /* MSG_LIVENESS_BEAT, or MSG_LIVENESS_ON_DEMAND */
  uint32_t keepalive_ms;          /* 0 = off, or 1000..65535000: at most so long between two packets of ours, in each
                                     mode of liveness; 25000 keeps the mapping of most NAT gateways */
  uint32_t idle_keepalives;       /* 0 = never: closed with ERR_IDLE after so many heartbeats or keepalives of ours in
                                     a row without a message, request or reply either way */
  uint32_t receive_mark_messages; /* 65536: messages that the program has put aside (msg_untaken), of a listener's
                                     connections together or of a client. At the mark, and until below half of it,
                                     streams are not read, which fills their senders' queues; over UDP reliable
                                     messages are left to be resent and all others dropped, as MSG_DROP_RECEIVE_MARK;
                                     heartbeats and acknowledgements go on */
  uint32_t receive_mark_bytes;    /* 16777216: bytes of the same */
  uint32_t share_port;            /* 0 or 1: of a listener. Others of this process that say so too may have the same
                                     address and port, such as one in each of several boxes, each on its own thread.
                                     The system spreads new connections over them; what a UDP client sends reaches
                                     the box of its connection from whatever address it comes. At most 255 share a
                                     UDP port, else ERR_ADDRESS_IN_USE; sockets of other processes must not */
  uint32_t max_per_prefix;        /* 16384, and no limit for loopback addresses; ..1000000: of a listener's connections,
                                     those from one source prefix, /24 of IPv4 and /56 of IPv6, hellos that wait
                                     included. What comes above it is refused, as MSG_DROP_PREFIX_FULL */
} msg_Options;

#define MSG_OPTIONS_INIT {sizeof(msg_Options), NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* How a connection proves that it lives. Append only. */
enum {
  MSG_LIVENESS_BEAT = 0,     /* heartbeats when nothing else is sent; silence for lost_ms is a loss */
  MSG_LIVENESS_ON_DEMAND = 1 /* silent when idle; a loss is judged only while something waits for an answer */
};

/* What all connections of a box share. A field that is 0 means its default. Start from MSG_BOX_OPTIONS_INIT. */
typedef struct msg_BoxOptions {
  size_t size;                 /* sizeof(msg_BoxOptions) */
  uint32_t send_mark_messages; /* 262144: messages queued over all connections before ERR_WOULD_BLOCK; a connection
                                  that has next to nothing queued may then still queue its share, one small message
                                  at least, of a sixteenth more, so peers that take nothing do not silence a box */
  uint32_t turn_datagrams;     /* 1000: datagrams that one turn of the loop sends, shared fairly by the connections;
                                  and four times as many of what is in no connection's queue, as answers to strangers */
  uint64_t send_mark_bytes;    /* 268435456: bytes queued over all connections before ERR_WOULD_BLOCK, likewise */
  uint64_t receive_bytes;      /* 268435456: bytes held of incomplete messages, and of such that wait for others
                                  before them, over UDP, and as many over TCP. Of what comes above over UDP,
                                  reliable parts are resent and others dropped; the connections whose messages
                                  come most slowly for what they hold are closed with ERR_OVERLOAD. As much
                                  again at most is used to know requests that come again */
  uint32_t spin_us;            /* 0, ..1000000: so long a turn that may wait polls without sleeping before it does,
                                  which answers sooner and keeps a core busy meanwhile */
} msg_BoxOptions;

#define MSG_BOX_OPTIONS_INIT {sizeof(msg_BoxOptions), 0, 0, 0, 0, 0}

/* Flags of msg_SendOptions; others are ERR_INVALID_ARGUMENT. */
enum {
  MSG_SEND_RELIABLE = 1, /* resent until the peer acknowledges it, and delivered once */
  MSG_SEND_TELL = 2,     /* exactly one of msg_delivered and msg_undelivered follows; needs MSG_SEND_RELIABLE */
  MSG_SEND_ALONE = 4     /* over UDP it gets a datagram of its own, so that one that is lost takes no other message with
                            it; by default the small messages of a turn share datagrams, which costs a fraction */
};

/* How one message is sent. All 0 is as msg_send. Start from MSG_SEND_OPTIONS_INIT. */
typedef struct msg_SendOptions {
  size_t size;          /* sizeof(msg_SendOptions) */
  uint32_t flags;       /* MSG_SEND_RELIABLE, MSG_SEND_TELL, MSG_SEND_ALONE */
  uint32_t channel;     /* of a reliable message: 0 is unordered; 1..255 are ordered, each in itself: one that is late
                           holds up the later ones of its channel alone. Over TCP all is in order anyway */
  uint32_t deadline_ms; /* 0 = never, ..86400000: dropped if it is not on the wire within this; ERR_EXPIRED. One of
                           which a part has left is sent to its end */
  uint64_t key;         /* not 0: a message to the same peer with the same key that is still waiting to be sent is
                           dropped with ERR_SUPERSEDED, and this one takes its place: for states of which only the
                           newest counts */
  void *context;        /* comes back as get_context with msg_delivered or msg_undelivered */
  void (*release)(void *release_context, msg_Data data); /* not NULL: the bytes are lent, not copied. They must stay as
                           they are until this is called: once, if the call returned OK (msg_broadcast: 0 or more),
                           when they are needed no more, which may be before the call returns, and at the latest when
                           the box ends; never after an error. On the thread of the box; it must not call this
                           library. For messages of many kilobytes */
  void *release_context; /* what release is given */
} msg_SendOptions;

#define MSG_SEND_OPTIONS_INIT {sizeof(msg_SendOptions), 0, 0, 0, 0, NULL, NULL, NULL}

/* ---- The default box: one per thread, made on first use ---------------------------------------- */

/* Starts to listen in the thread's default box. `address` is "(tcp|udp)://(ip|*|[ipv6]|name):port", * is every
   address of both families, port 0 lets the system choose (msg_local_port tells).
   Returns the listener, whose outcome is msg_listening or msg_listening_error, always as an event; id 0 only if
   callback is NULL, or no box or handle can be made. Owner thread: the calling one. */
MSG_API msg_Conn msg_listen(const char *address, msg_Callback callback);

/* Starts to connect in the thread's default box; `address` as for msg_listen, without *. Messages and gets may be
   queued at once, within the marks. Returns the connection, whose outcome is msg_connection_setup or
   msg_connection_setup_error, always as an event; id 0 only if callback is NULL, or no box or handle can be made. */
MSG_API msg_Conn msg_connect(const char *address, msg_Callback callback);

/* Runs one turn of the thread's default box: sends what is queued, waits up to `timeout_ms` (0: not at all, negative:
   without limit) until something happens, and calls the callbacks. Returns the number of events delivered, which is 0
   after a time-out, a wake, or a turn of heartbeats alone; or ERR_REENTRANT, or when no box can be made or waiting
   fails ERR_LIMIT, ERR_NO_DESCRIPTORS, ERR_NO_MEMORY or ERR_SYSTEM. */
MSG_API int32_t msg_runloop(int32_t timeout_ms);

/* Returns the calling thread's default box, made on first use; id 0 if it cannot be made. */
MSG_API msg_Box msg_default_box(void);

/* ---- Connections ------------------------------------------------------------------------------ */

/* Queues one message of 0 or more bytes; it leaves at the end of the turn, or before. Over UDP a message may be lost
   or arrive out of order, and one of more than 1184 bytes, which travels in parts, is lost with any part of it; over
   TCP a message arrives unless the connection ends. The most is what the peer accepts: its max_message_bytes.
   Returns OK, ERR_WOULD_BLOCK (nothing was queued; msg_writable follows), ERR_TOO_BIG, ERR_ENDED, ERR_BAD_HANDLE,
   ERR_WRONG_THREAD or ERR_INVALID_ARGUMENT. */
MSG_API int32_t msg_send(msg_Conn conn, msg_Data data);

/* As msg_send, with options (NULL: as msg_send). A reliable message arrives once, and in the order of its channel,
   unless the connection ends before; what was not acknowledged until then may have arrived or not. The options are
   read before it returns.
   Returns what msg_send returns; ERR_INVALID_ARGUMENT also for options out of range: a channel above 255, a channel or
   MSG_SEND_TELL without MSG_SEND_RELIABLE; ERR_NOT_SUPPORTED for a reliable message to an implicit peer. After
   anything but OK no event follows. */
MSG_API int32_t msg_send_with(msg_Conn conn, msg_Data data, const msg_SendOptions *options);

/* Queues one message to one of the open connections of a listener, as msg_send_with does: to each in turn, passing over
   those that do not take it, such as those at their marks. `chosen` (NULL: not wanted) gets whom, or id 0 after
   anything but OK.
   Returns OK; ERR_NO_PEER if there is no open connection; if none takes it, ERR_WOULD_BLOCK when one of them was at its
   mark (msg_writable follows on each of those), else why the last one did not; ERR_ENDED, ERR_BAD_HANDLE,
   ERR_WRONG_THREAD, or ERR_INVALID_ARGUMENT, also for a connection. */
MSG_API int32_t msg_send_any(
    msg_Conn listener, msg_Data data, const msg_SendOptions *options, msg_Conn *chosen);

/* Queues one message to every open connection of a listener, as msg_send_with does to each; who does not take it is
   skipped, and the others get it all the same. With MSG_SEND_TELL one outcome follows for each that it was queued to.
   `skipped_count` (NULL: not wanted) is, when called, the room at `skipped`, and then how many were skipped, which may
   be more; `skipped` gets the first of them. msg_writable follows on each that was at its mark.
   Returns to how many it was queued, 0 or more; or ERR_NO_PEER before msg_listening, ERR_ENDED, ERR_BAD_HANDLE,
   ERR_WRONG_THREAD, or ERR_INVALID_ARGUMENT, also for a connection; nothing was queued then, and skipped_count is 0. */
MSG_API int32_t msg_broadcast(
    msg_Conn listener, msg_Data data, const msg_SendOptions *options, msg_Conn *skipped, size_t *skipped_count);

/* Asks for a reply. `context` comes back with msg_reply or msg_reply_missing, exactly one of which follows OK. Over UDP
   the request is resent until the reply comes or its time is over; the peer's program gets it at most once.
   Returns what msg_send returns, or ERR_BUSY; after anything but OK the get has not begun. */
MSG_API int32_t msg_get(msg_Conn conn, msg_Data data, void *context);

/* As msg_get, with a time-out of its own in milliseconds; 0 means the connection's. `get` (NULL: not wanted) receives
   what msg_cancel takes, or id 0 after anything but OK. */
MSG_API int32_t msg_get_within(msg_Conn conn, msg_Data data, void *context, uint32_t timeout_ms, msg_Get *get);

/* Gives up a get: msg_reply_missing with ERR_CANCELLED follows. The peer's program may have had the request, or get it
   still. Returns OK, ERR_BAD_HANDLE if the outcome is decided already, or ERR_WRONG_THREAD. */
MSG_API int32_t msg_cancel(msg_Get get);

/* Answers a request, once: from its callback or later, in any order.
   Returns what msg_send returns; ERR_BAD_HANDLE if it was answered, or its connection has ended. After ERR_WOULD_BLOCK
   or ERR_TOO_BIG the request is still open. */
MSG_API int32_t msg_answer(msg_Request request, msg_Data data);

/* Ends a connection: what was accepted is delivered, then a close is sent; its end follows as an event,
   msg_connection_closed, or msg_connection_setup_error with ERR_CANCELLED if it had no outcome yet. Delivered means
   acknowledged by the peer for reliable messages, and given to the system for all others: over UDP they may be lost as
   ever, over TCP the system sends them before its end of the stream. That takes as long as it must, at most
   close_timeout_ms; the event says in `undelivered` what was left then. Gets do not wait for their replies, but end
   with ERR_CONNECTION_ENDED. The program must go on running the loop until the event.
   Returns OK, ERR_ENDED, ERR_BAD_HANDLE, ERR_WRONG_THREAD, or ERR_INVALID_ARGUMENT for a listener. */
MSG_API int32_t msg_disconnect(msg_Conn conn);

/* As msg_disconnect, but what is queued is dropped and the end follows at once, also when msg_disconnect is still
   delivering; `undelivered` says how much. The peer is told if that can be done without waiting.
   Returns OK, ERR_ENDED, ERR_BAD_HANDLE, ERR_WRONG_THREAD, or ERR_INVALID_ARGUMENT for a listener. */
MSG_API int32_t msg_abort(msg_Conn conn);

/* Ends a listener: msg_connection_closed for each of its connections, then msg_listening_ended; or
   msg_listening_error with ERR_CANCELLED if it had no outcome yet.
   Returns OK, ERR_ENDED, ERR_BAD_HANDLE, ERR_WRONG_THREAD, or ERR_INVALID_ARGUMENT for a connection. */
MSG_API int32_t msg_unlisten(msg_Conn listener);

/* Tells that the program has put so many messages, requests or replies more aside for later, such as for another
   thread, and so many bytes; negative numbers when it has taken some of them. They count against the receive marks of
   the connection's listener, or of a client itself; what a callback is done with when it returns need not be told.
   `conn` is a connection or its listener, so that it can be told after the connection has ended.
   Returns OK, ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_untaken(msg_Conn conn, int32_t messages, int64_t bytes);

/* Replaces the context of a connection or listener. Returns OK, ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_set_context(msg_Conn conn, void *context);

/* Returns the context of a connection or listener; NULL for a bad handle. */
MSG_API void *msg_context(msg_Conn conn);

/* Writes the peer's address (a listener's: its own), such as "udp://[::1]:2345", with a final 0; of a UDP client that
   has come to have another one, the new one. 64 bytes always suffice for addresses; `capacity` is the room at `buffer`.
   Returns the length without the 0, or ERR_BAD_HANDLE, ERR_WRONG_THREAD, or ERR_INVALID_ARGUMENT when it does not
   fit. */
MSG_API int32_t msg_address(msg_Conn conn, char *buffer, size_t capacity);

/* Returns the local port, 0..65535 (0: not known yet), or ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_local_port(msg_Conn conn);

/* ---- Explicit boxes and foreign loops ---------------------------------------------------------- */

/* Makes a box that belongs to the calling thread. Returns it, or id 0 if the system gives no descriptor or memory, or
   16777215 boxes were made in this process. */
MSG_API msg_Box msg_box_create(void);

/* Ends a box: closes are sent, every handle of it ends, nothing is called. Inside a callback it takes effect after
   it. Returns OK, ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_box_destroy(msg_Box box);

/* Sets what all connections of a box share (NULL: the defaults), for all sends and receptions from here on.
   Returns OK, ERR_INVALID_ARGUMENT for options whose size holds not even itself, ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_box_set_options(msg_Box box, const msg_BoxOptions *options);

/* As msg_listen, in `box`, with options (NULL: the defaults). Options out of range give msg_listening_error with
   ERR_INVALID_ARGUMENT. Returns id 0 also if `box` has ended or is another thread's. */
MSG_API msg_Conn msg_box_listen(msg_Box box, const char *address, msg_Callback callback, const msg_Options *options);

/* As msg_connect, in `box`, with options (NULL: the defaults); those out of range give msg_connection_setup_error.
   Returns id 0 also if `box` has ended or is another thread's. */
MSG_API msg_Conn msg_box_connect(msg_Box box, const char *address, msg_Callback callback, const msg_Options *options);

/* As msg_runloop, for `box`; also ERR_BAD_HANDLE and ERR_WRONG_THREAD. */
MSG_API int32_t msg_box_runloop(msg_Box box, int32_t timeout_ms);

/* Returns one descriptor that is readable (level-triggered) whenever the box has something to receive, or
   ERR_BAD_HANDLE or ERR_WRONG_THREAD. It belongs to the box; only poll it. With msg_box_deadline_ms and
   msg_box_runloop(box, 0) a box lives inside any event loop. */
MSG_API int32_t msg_box_descriptor(msg_Box box);

/* Returns the milliseconds (rounded up) after which msg_box_runloop(box, 0) should run although the descriptor is
   silent: 0 when something is queued, -1 when nothing is due at all; or a code below -1. */
MSG_API int32_t msg_box_deadline_ms(msg_Box box);

/* Sends what is queued without waiting for the end of the turn. Returns OK, ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_box_flush(msg_Box box);

/* Wakes a loop from another thread; it stays valid after its box has ended, and then does nothing. */
typedef struct msg_Waker msg_Waker;

/* Makes a waker of `box`; NULL for a bad handle or without memory. The caller destroys it. Owner thread only. */
MSG_API msg_Waker *msg_waker_create(msg_Box box);

/* Makes the running or next msg_box_runloop return without waiting. Any thread, any time; NULL does nothing. */
MSG_API void msg_waker_wake(msg_Waker *waker);

/* Frees a waker; NULL does nothing. Any thread. */
MSG_API void msg_waker_destroy(msg_Waker *waker);

/* ---- Seeing what happens ----------------------------------------------------------------------- */

/* Why something was dropped. Append only. */
#define MSG_DROP_MAP(X)                                                                              \
  X(SHORT, 0, "shorter than its header says")                                                        \
  X(NOT_MSGBOX, 1, "does not begin with the two bits of this protocol")                              \
  X(VERSION, 2, "another version of the protocol")                                                   \
  X(KIND, 3, "an unknown kind")                                                                      \
  X(MALFORMED, 4, "fields that contradict each other")                                               \
  X(OPTION, 5, "an option that must be understood and is not")                                       \
  X(FRAGMENT, 6, "a fragment that cannot be placed")                                                 \
  X(NO_SESSION, 7, "no session, and neither hello nor implicit")                                     \
  X(UNKNOWN_SESSION, 8, "a session that is not known here")                                          \
  X(WRONG_PATH, 9, "a known session from another address")                                           \
  X(TOMBSTONE, 10, "late for a session that has ended")                                              \
  X(STALE_CLOSE, 11, "a close that ends nothing here")                                               \
  X(STALE_ACCEPT, 12, "an accept or a cookie that nobody waits for")                                 \
  X(STALE_REPLY, 13, "a reply to no waiting get: late, second or forged")                            \
  X(STALE_RESPONSE, 14, "a path response to no challenge")                                           \
  X(PENDING_FULL, 15, "a hello while too many are pending")                                          \
  X(CONNECTIONS_FULL, 16, "a hello above the limit of connections")                                  \
  X(REQUESTS_FULL, 17, "a request above the limit of open requests")                                 \
  X(ANSWER_BUDGET, 18, "an answer to a stranger above the budget")                                   \
  X(TOO_BIG, 19, "a message above the largest accepted")                                             \
  X(ENDED, 20, "queued for a connection that has ended")                                             \
  X(SEND_FAILED, 21, "refused by the system when sending")                                           \
  X(RECEIVE_MARK, 22, "received faster than the program takes it")                                   \
  X(TRUNCATED, 23, "a datagram larger than any of this protocol")                                    \
  X(DUPLICATE, 24, "a copy of what was received already")                                            \
  X(INCOMPLETE, 25, "a message whose packets did not all come in time")                              \
  X(MEMORY, 26, "no memory left for incomplete messages")                                            \
  X(STALE_ACK, 27, "an acknowledgement of what was never sent")                                      \
  X(EXPIRED, 28, "not on the wire before its deadline")                                              \
  X(SUPERSEDED, 29, "a newer message with the same key took its place")                              \
  X(PREFIX_FULL, 30, "above the limit of connections of one source prefix")

enum {
#define MSG_DROP_ENUM(name, number, text) MSG_DROP_##name = number,
  MSG_DROP_MAP(MSG_DROP_ENUM)
#undef MSG_DROP_ENUM
  MSG_DROP_RESERVED_ = 32767
};

/* Returns the name of a drop reason, such as "WRONG_PATH"; NULL for other numbers, so that 0.. can be listed. Static. */
MSG_API const char *msg_drop_name(uint32_t reason);

/* Returns one sentence on a drop reason; NULL for other numbers. Static. Any thread. */
MSG_API const char *msg_drop_text(uint32_t reason);

/* Counters of a box since it was made, and what it holds. */
typedef struct msg_Statistics {
  size_t size; /* in: sizeof(msg_Statistics); out: the bytes that were filled in */
  uint64_t datagrams_received, datagrams_sent;
  uint64_t bytes_received, bytes_sent;       /* on both transports, with headers, without IP's */
  uint64_t messages_received, messages_sent; /* one-way messages, requests and replies */
  uint64_t heartbeats_received, heartbeats_sent;
  uint64_t drops;                            /* of all reasons; msg_box_drops has each */
  uint64_t connections, listeners;           /* in being, handshakes included */
  uint64_t pending_hellos, tombstones;
  uint64_t gets_waiting, requests_open;
  uint64_t queued_messages, queued_bytes;    /* not given to the system or, if reliable, not acknowledged */
  uint64_t incomplete_bytes;                 /* held of messages that are incomplete or wait for others before them */
} msg_Statistics;

/* Fills in the statistics of a box. Returns OK, ERR_INVALID_ARGUMENT, ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_box_statistics(msg_Box box, msg_Statistics *statistics);

/* Returns how much was dropped for `reason` since the box was made; 0 for an unknown reason or a bad handle. */
MSG_API uint64_t msg_box_drops(msg_Box box, uint32_t reason);

/* Counters of a connection. */
typedef struct msg_ConnStatistics {
  size_t size; /* in: sizeof(msg_ConnStatistics); out: the bytes that were filled in */
  uint64_t messages_received, messages_sent;
  uint64_t bytes_received, bytes_sent; /* of messages, without headers */
  uint64_t queued_messages, queued_bytes; /* not given to the system or, if reliable, not acknowledged */
  uint64_t gets_waiting;
  uint64_t silence_ms;                /* since something was heard from the peer */
  uint64_t rtt_us;                    /* smoothed round-trip time in microseconds (RFC 6298); 0 while not known */
  uint64_t rtt_variation_us;          /* its mean deviation; 0 while not known */
  uint64_t least_rtt_us;              /* the least that was measured; 0 while not known. Over TCP the system measures */
  uint64_t tracked_sent;              /* UDP: datagrams that the peer is to acknowledge; */
  uint64_t tracked_lost;              /* and those of them that were found lost (RFC 9002): their share is the loss */
  uint64_t resent;                    /* UDP: requests and parts of messages sent again; TCP: segments, by the system */
  uint64_t congestion_window;         /* UDP: bytes that may be on their way without acknowledgement; */
  uint64_t bytes_in_flight;           /* and that are */
  uint64_t drops;                     /* of all reasons; msg_conn_drops has each */
} msg_ConnStatistics;

/* Fills in the statistics of a connection. Returns OK, ERR_INVALID_ARGUMENT, ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_conn_statistics(msg_Conn conn, msg_ConnStatistics *statistics);

/* Returns how much was dropped on a connection for `reason`; 0 for an unknown reason or a bad handle. What belongs to
   no connection counts only for the box. */
MSG_API uint64_t msg_conn_drops(msg_Conn conn, uint32_t reason);

/* Levels of the log: warnings tell what failed or was lost, infos what opened and ended, debug lines messages and what
   was dropped. Append only. */
enum { MSG_LOG_ERROR = 1, MSG_LOG_WARNING = 2, MSG_LOG_INFO = 3, MSG_LOG_DEBUG = 4 };

/* Gets one line of the log, without a line end; `text` lives until it returns. It must call nothing of this header. */
typedef void (*msg_LogCallback)(void *user, uint32_t level, const char *text);

/* Sets who gets the log of a box, up to `level`; NULL, or level 0, ends it. Nothing is logged by default.
   Returns OK, ERR_BAD_HANDLE or ERR_WRONG_THREAD. */
MSG_API int32_t msg_box_set_log(msg_Box box, uint32_t level, msg_LogCallback callback, void *user);

/* Returns the version of the library at hand, as MSG_VERSION_NUMBER. Any thread. */
MSG_API uint32_t msg_version(void);

#ifdef __cplusplus
}
#endif

#endif
