// The Embedded Swift runtime seeds its hash tables through arc4random_buf, which glibc has only
// since 2.36. This hidden copy keeps the C library usable with every libc that has getrandom.
// Only the Embedded build compiles this file.
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>

void arc4random_buf(void *buffer, size_t count);

__attribute__((visibility("hidden"))) void arc4random_buf(void *buffer, size_t count) {
  unsigned char *next = buffer;
  while (count > 0) {
    // Up to 256 bytes are never cut short and never interrupted once the system has its entropy.
    const size_t part = count < 256 ? count : 256;
    if (getrandom(next, part, 0) == (ssize_t)part) {
      next += part;
      count -= part;
    } else {
      abort();  // A predictable seed would let strangers choose colliding keys.
    }
  }
}
