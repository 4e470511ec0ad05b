// UDP ports that several sockets of this process share.
#ifndef CMSGBOX_SHARED_PORTS_H
#define CMSGBOX_SHARED_PORTS_H

#include "internal.h"

// Binds `fd`, a UDP socket, to `address` together with the others of its port, and chooses the byte by which datagrams
// are steered to it: 1...255. Returns 0 or a negated error: EADDRINUSE also when the port has 255 sockets.
int32_t cmsgbox_port_join(
    int32_t fd, const cmsgbox_address *address, int32_t ipv6, int32_t dual_stack, uint8_t *steering);

// Closes `fd` if it shares its port: 1; else does nothing: 0.
int cmsgbox_port_leave(int32_t fd);

#endif
