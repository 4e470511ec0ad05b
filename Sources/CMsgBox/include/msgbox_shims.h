// System calls and process facilities that Swift cannot import without a platform module.
#ifndef MSGBOX_SHIMS_H
#define MSGBOX_SHIMS_H

#include <stddef.h>
#include <stdint.h>

#endif
