// Addresses between the system's form and ours.
#include "internal.h"

#include <string.h>

socklen_t cmsgbox_to_sockaddr(const cmsgbox_address *address, int ipv6, cmsgbox_sockaddr *out) {
  memset(out, 0, sizeof *out);
  if (ipv6) {
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(address->port);
    out->v6.sin6_scope_id = address->scope;
    cmsgbox_ip_to_bytes(address, out->v6.sin6_addr.s6_addr);
    return sizeof out->v6;
  }
  out->v4.sin_family = AF_INET;
  out->v4.sin_port = htons(address->port);
  out->v4.sin_addr.s_addr = htonl((uint32_t)address->low);
  return sizeof out->v4;
}
