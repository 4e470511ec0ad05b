// The shared part of the benchmark programs, as a module for Swift.
#include "../../common.c"
