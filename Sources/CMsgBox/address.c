// Addresses between the system's form and ours.
#include "internal.h"

#include <endian.h>
#include <string.h>

void cmsgbox_ip_to_bytes(const cmsgbox_address *address, uint8_t bytes[16]) {
  uint64_t halves[2] = {htobe64(address->high), htobe64(address->low)};
  memcpy(bytes, halves, sizeof halves);
}

void cmsgbox_ip_from_bytes(cmsgbox_address *address, const uint8_t bytes[16]) {
  uint64_t halves[2];
  memcpy(halves, bytes, sizeof halves);
  address->high = be64toh(halves[0]);
  address->low = be64toh(halves[1]);
}

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

void cmsgbox_from_sockaddr(const cmsgbox_sockaddr *in, cmsgbox_address *address) {
  memset(address, 0, sizeof *address);
  if (in->any.sa_family == AF_INET6) {
    cmsgbox_ip_from_bytes(address, in->v6.sin6_addr.s6_addr);
    address->port = ntohs(in->v6.sin6_port);
    if (cmsgbox_is_link_local(address)) address->scope = in->v6.sin6_scope_id;
  } else if (in->any.sa_family == AF_INET) {
    address->low = 0xffff00000000u | ntohl(in->v4.sin_addr.s_addr);
    address->port = ntohs(in->v4.sin_port);
  }
}
