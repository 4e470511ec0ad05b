// What Swift sees of C: the public header and the shims for system calls.
#ifndef CMSGBOX_H
#define CMSGBOX_H

#include "../../../include/msgbox.h"
#include "msgbox_shims.h"
#include "msgbox_threads.h"

#endif
