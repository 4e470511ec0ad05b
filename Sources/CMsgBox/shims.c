#include "msgbox_shims.h"
