// What the Swift program uses of what all benchmark programs share.
#ifndef CBENCH_H
#define CBENCH_H

#include "../../../common.h"

// As bench_init, with a name that stays.
static inline void bench_begin(int argc, char **argv) { bench_init(argc, argv, "msgbox-swift"); }

#endif
