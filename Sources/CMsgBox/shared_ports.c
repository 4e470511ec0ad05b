// UDP ports that several sockets of this process share (SO_REUSEPORT), and the program by which the kernel finds the
// socket of a datagram (SO_ATTACH_REUSEPORT_CBPF): by the first byte of its session id, wherever it comes from; of a
// hello by that of its cookie, which only the socket knows that gave it.
//
// The kernel numbers the sockets of a port in the order in which they were bound, and moves the last one into the place
// of one that is closed. The register here does the same, under one lock around each bind and close, and makes the
// program anew each time. Between a close and the new program the socket that moved gets what was meant for the one that
// closed; its box finds a byte that is not its own, and drops it.
#include "shared_ports.h"

#include <linux/filter.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

enum {
  SOCKETS_MAX = 255,
  // What a packet with a session id begins with: message_type, of which bits 15, 14 and 11 are 1, six more bytes, and
  // the id, whose first byte is the one that steers.
  SESSION_BITS = 0xc800,
  SESSION_OFFSET = 8,
  SESSION_END = 16,
  // The message_type of a hello, where its cookie is, and the least size that it has.
  HELLO = 0xc805,
  COOKIE_OFFSET = 32,
  HELLO_END = 48,
  PROGRAM_MAX = 15 + 2 * SOCKETS_MAX
};

// What the kernel takes as one port.
typedef struct port {
  struct port *next;
  cmsgbox_address address;
  int32_t ipv6;
  int32_t dual_stack;
  uint32_t count;
  // By the kernel's number of a socket: its descriptor and its byte.
  int32_t fds[SOCKETS_MAX];
  uint8_t bytes[SOCKETS_MAX];
} port;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static port *ports;
// Sockets in the register: most processes have none, and need no lock to close others.
static atomic_uint registered;

static void acquire(void) { pthread_mutex_lock(&lock); }

static void release(void) { pthread_mutex_unlock(&lock); }

// A child has the descriptors too, but the ports are its parent's: what it closes leaves no port.
static void forget_all(void) {
  ports = NULL;
  atomic_store(&registered, 0);
  release();
}

static void prepare_forks(void) { pthread_atfork(acquire, release, forget_all); }

static struct sock_filter statement(uint16_t code, uint32_t value) {
  return (struct sock_filter){.code = code, .k = value};
}

static struct sock_filter skip_if(uint16_t test, uint32_t value) {
  return (struct sock_filter){.code = BPF_JMP | test | BPF_K, .jt = 1, .k = value};
}

static struct sock_filter skip_unless(uint16_t test, uint32_t value, uint8_t count) {
  return (struct sock_filter){.code = BPF_JMP | test | BPF_K, .jf = count, .k = value};
}

// Gives the kernel the program of a port by way of its socket `fd`. A number that no socket has makes the kernel choose
// by the addresses, as it does without a program.
static int32_t attach(const port *p, int32_t fd) {
  const struct sock_filter no_session = statement(BPF_RET | BPF_K, UINT32_MAX);
  struct sock_filter code[PROGRAM_MAX];
  uint16_t n = 0;
  code[n++] = statement(BPF_LD | BPF_W | BPF_LEN, 0);
  code[n++] = skip_if(BPF_JGE, SESSION_END);
  code[n++] = no_session;
  code[n++] = statement(BPF_LD | BPF_H | BPF_ABS, 0);
  code[n++] = statement(BPF_ALU | BPF_AND | BPF_K, SESSION_BITS);
  code[n++] = skip_if(BPF_JEQ, SESSION_BITS);
  code[n++] = no_session;
  code[n++] = statement(BPF_LD | BPF_H | BPF_ABS, 0);
  code[n++] = skip_unless(BPF_JEQ, HELLO, 4);
  code[n++] = statement(BPF_LD | BPF_W | BPF_LEN, 0);
  code[n++] = skip_unless(BPF_JGE, HELLO_END, 2);
  code[n++] = statement(BPF_LD | BPF_B | BPF_ABS, COOKIE_OFFSET);
  code[n++] = statement(BPF_JMP | BPF_JA | BPF_K, 1);
  code[n++] = statement(BPF_LD | BPF_B | BPF_ABS, SESSION_OFFSET);
  for (uint32_t i = 0; i < p->count; i++) {
    code[n++] = skip_unless(BPF_JEQ, p->bytes[i], 1);
    code[n++] = statement(BPF_RET | BPF_K, i);
  }
  code[n++] = no_session;
  const struct sock_fprog program = {.len = n, .filter = code};
  return cmsgbox_set_option(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}

// The port of a bound socket, made if it is the first; NULL without memory.
static port *find(const cmsgbox_address *address, int32_t ipv6, int32_t dual_stack) {
  for (port *p = ports; p; p = p->next) {
    if (p->address.high == address->high && p->address.low == address->low &&
        p->address.port == address->port && p->address.scope == address->scope &&
        p->ipv6 == ipv6 && p->dual_stack == dual_stack)
      return p;
  }
  port *made = cmsgbox_allocate(sizeof *made);
  if (!made) return NULL;
  made->address = *address;
  made->ipv6 = ipv6;
  made->dual_stack = dual_stack;
  made->next = ports;
  ports = made;
  return made;
}

static void forget_if_empty(port *empty) {
  if (empty->count > 0) return;
  port **link = &ports;
  while (*link != empty) link = &(*link)->next;
  *link = empty->next;
  free(empty);
}

// The least byte that no socket of a port has.
static uint8_t free_byte(const port *p) {
  uint8_t taken[SOCKETS_MAX + 1] = {0};
  for (uint32_t i = 0; i < p->count; i++) taken[p->bytes[i]] = 1;
  uint32_t byte = 1;
  while (byte < SOCKETS_MAX && taken[byte]) byte++;
  return (uint8_t)byte;
}

static int32_t share(int32_t fd) {
  int one = 1;
  return cmsgbox_set_option(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
}

static int32_t bind_shared(int32_t fd, const cmsgbox_address *address, int32_t ipv6) {
  // A port that the system is to choose must be nobody's yet: with the option it could be one that is shared already.
  int32_t error = address->port == 0 ? 0 : share(fd);
  if (error) return error;
  cmsgbox_sockaddr name;
  socklen_t length = cmsgbox_to_sockaddr(address, ipv6, &name);
  error = (int32_t)CMSGBOX_SYSCALL(CMSGBOX_CALL_BIND, bind(fd, &name.any, length));
  if (error) return error;
  return address->port == 0 ? share(fd) : 0;
}

// Registers a socket that was bound.
static int32_t enter(int32_t fd, int32_t ipv6, int32_t dual_stack, uint8_t *steering) {
  cmsgbox_address local;
  int32_t error = cmsgbox_local_address(fd, &local);
  if (error) return error;
  port *p = find(&local, ipv6, dual_stack);
  if (!p) return -ENOMEM;
  if (p->count == SOCKETS_MAX) return -EADDRINUSE;
  *steering = free_byte(p);
  p->fds[p->count] = fd;
  p->bytes[p->count] = *steering;
  p->count++;
  error = attach(p, fd);
  // One alone needs no program, and can have none if the system chose its port.
  if (error && p->count > 1) {
    p->count--;
    return error;
  }
  atomic_fetch_add(&registered, 1);
  return 0;
}

int32_t cmsgbox_port_join(
    int32_t fd, const cmsgbox_address *address, int32_t ipv6, int32_t dual_stack,
    uint8_t *steering) {
  pthread_once(&once, prepare_forks);
  acquire();
  int32_t error = bind_shared(fd, address, ipv6);
  if (!error) error = enter(fd, ipv6, dual_stack, steering);
  // It was the last to be bound, so that no other moves.
  if (error) close(fd);
  release();
  return error;
}

// Takes a socket out, if it is there: the last one takes its place.
static int leave(int32_t fd) {
  for (port *p = ports; p; p = p->next) {
    for (uint32_t i = 0; i < p->count; i++) {
      if (p->fds[i] != fd) continue;
      p->count--;
      p->fds[i] = p->fds[p->count];
      p->bytes[i] = p->bytes[p->count];
      atomic_fetch_sub(&registered, 1);
      close(fd);
      if (p->count > 0) attach(p, p->fds[0]);
      forget_if_empty(p);
      return 1;
    }
  }
  return 0;
}

int cmsgbox_port_leave(int32_t fd) {
  if (atomic_load_explicit(&registered, memory_order_acquire) == 0) return 0;
  acquire();
  int result = leave(fd);
  release();
  return result;
}
