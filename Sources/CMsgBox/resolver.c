// Host names, asked of the system's resolver on threads of their own.
#include "internal.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

// A question and the room for its answer, so that no answer is lost for want of memory.
typedef struct job {
  struct job *next;
  uint16_t port;
  char name[256];
  int failure; // what the resolver is to fail with, in tests; 0 to ask it
  cmsgbox_resolved resolved;
} job;

typedef struct queue {
  job *first;
  job **last;
} queue;

struct cmsgbox_resolver {
  pthread_mutex_t mutex; // guards all the rest
  uint32_t references;   // of the box, and of each thread
  uint32_t threads;
  int released;
  int event_fd;
  queue questions, answers;
};

static void put(queue *queue, job *job) {
  job->next = NULL;
  *queue->last = job;
  queue->last = &job->next;
}

static job *take(queue *queue) {
  job *first = queue->first;
  if (!first) return NULL;
  queue->first = first->next;
  if (!queue->first) queue->last = &queue->first;
  return first;
}

// Takes the job of that id out of the queue; NULL if there is none.
static job *take_id(queue *queue, uint64_t id) {
  for (job **at = &queue->first; *at; at = &(*at)->next) {
    job *found = *at;
    if (found->resolved.id != id) continue;
    *at = found->next;
    if (!*at) queue->last = at;
    return found;
  }
  return NULL;
}

static void empty(queue *queue) {
  job *left;
  while ((left = take(queue))) free(left);
}

cmsgbox_resolver *cmsgbox_resolver_create(int32_t event_fd) {
  cmsgbox_resolver *resolver = cmsgbox_allocate(sizeof *resolver);
  if (!resolver) return NULL;
  resolver->event_fd = cmsgbox_duplicate(event_fd);
  if (resolver->event_fd < 0 || pthread_mutex_init(&resolver->mutex, NULL) != 0) {
    cmsgbox_close(resolver->event_fd);
    free(resolver);
    return NULL;
  }
  resolver->references = 1;
  resolver->questions.last = &resolver->questions.first;
  resolver->answers.last = &resolver->answers.first;
  return resolver;
}

// Gives one reference back. The mutex is held, and is given back too.
static void give_back(cmsgbox_resolver *resolver) {
  int last = --resolver->references == 0;
  pthread_mutex_unlock(&resolver->mutex);
  if (!last) return;
  empty(&resolver->questions);
  empty(&resolver->answers);
  close(resolver->event_fd);
  pthread_mutex_destroy(&resolver->mutex);
  free(resolver);
}

static int32_t error_number(int code) {
  switch (code) {
  case 0: return 0;
  case EAI_MEMORY: return ENOMEM;
  case EAI_AGAIN: return EAGAIN;
  case EAI_SYSTEM: return errno ? errno : -1;
  default: return -1;
  }
}

static int is_known(const cmsgbox_resolved *resolved, const cmsgbox_address *address) {
  for (uint32_t i = 0; i < resolved->count; i++) {
    const cmsgbox_address *other = &resolved->addresses[i];
    if (other->high == address->high && other->low == address->low &&
        other->scope == address->scope)
      return 1;
  }
  return 0;
}

static void collect(const struct addrinfo *list, job *job) {
  cmsgbox_resolved *resolved = &job->resolved;
  for (; list && resolved->count < CMSGBOX_RESOLVED_MAX; list = list->ai_next) {
    cmsgbox_sockaddr name;
    if (list->ai_addrlen > sizeof name) continue;
    memcpy(&name, list->ai_addr, list->ai_addrlen);
    if (name.any.sa_family != AF_INET && name.any.sa_family != AF_INET6) continue;
    cmsgbox_address *address = &resolved->addresses[resolved->count];
    cmsgbox_from_sockaddr(&name, address);
    address->port = job->port;
    if (!is_known(resolved, address)) resolved->count++;
  }
  if (resolved->count == 0) resolved->error = -1;
}

static void resolve(job *job) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *list = NULL;
  errno = 0;
  int code = job->failure ? job->failure : getaddrinfo(job->name, NULL, &hints, &list);
  job->resolved.error = error_number(code);
  if (job->resolved.error) return;
  collect(list, job);
  freeaddrinfo(list);
}

static void *work(void *context) {
  cmsgbox_resolver *resolver = context;
  pthread_mutex_lock(&resolver->mutex);
  job *asked;
  while (!resolver->released && (asked = take(&resolver->questions))) {
    pthread_mutex_unlock(&resolver->mutex);
    resolve(asked);
    pthread_mutex_lock(&resolver->mutex);
    put(&resolver->answers, asked);
    cmsgbox_event_raise(resolver->event_fd);
  }
  resolver->threads--;
  give_back(resolver);
  return NULL;
}

// Starts a detached thread that takes no signal of the program's. The mutex is held.
static int32_t start_thread(cmsgbox_resolver *resolver) {
  if (cmsgbox_fault_due(CMSGBOX_CALL_THREAD)) return -errno;
  sigset_t all, before;
  pthread_t thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, NULL, work, resolver);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) return -error;
  pthread_detach(thread);
  resolver->threads++;
  resolver->references++;
  return 0;
}

int32_t cmsgbox_resolver_ask(
    cmsgbox_resolver *resolver, uint64_t id, const uint8_t *name, size_t count, uint16_t port) {
  if (count >= sizeof((job *)0)->name) return -EINVAL;
  job *asked = cmsgbox_allocate(sizeof *asked);
  if (!asked) return -ENOMEM;
  memcpy(asked->name, name, count);
  asked->port = port;
  asked->resolved.id = id;
  // Faults are those of the asking thread.
  asked->failure = cmsgbox_fault_due(CMSGBOX_CALL_RESOLVE) ? errno : 0;
  pthread_mutex_lock(&resolver->mutex);
  int32_t error = resolver->threads < CMSGBOX_RESOLVER_THREADS ? start_thread(resolver) : 0;
  // A thread that runs already will come to this question too.
  if (resolver->threads > 0) {
    put(&resolver->questions, asked);
    error = 0;
  } else {
    free(asked);
  }
  pthread_mutex_unlock(&resolver->mutex);
  return error;
}

int32_t cmsgbox_resolver_forget(cmsgbox_resolver *resolver, uint64_t id) {
  pthread_mutex_lock(&resolver->mutex);
  job *waiting = take_id(&resolver->questions, id);
  pthread_mutex_unlock(&resolver->mutex);
  if (!waiting) return 0;
  free(waiting);
  return 1;
}

int32_t cmsgbox_resolver_take(cmsgbox_resolver *resolver, cmsgbox_resolved *answer) {
  pthread_mutex_lock(&resolver->mutex);
  job *done = take(&resolver->answers);
  pthread_mutex_unlock(&resolver->mutex);
  if (!done) return 0;
  *answer = done->resolved;
  free(done);
  return 1;
}

void cmsgbox_resolver_release(cmsgbox_resolver *resolver) {
  if (!resolver) return;
  pthread_mutex_lock(&resolver->mutex);
  resolver->released = 1;
  give_back(resolver);
}
