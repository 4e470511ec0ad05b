# The benchmark programs, each against the library it is named after; bench/run runs them.

BENCH = $(BUILD)/bench
BENCH_COMMON = $(addprefix $(BENCH)/o/,common.o many.o sockets.o)
BENCH_HEADERS := $(wildcard bench/*.h) include/msgbox.h
BENCH_FLAGS = -std=gnu11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude $(CFLAGS)
BENCH_OWN = $(addprefix $(BENCH)/,msgbox manycli quiet ccshim.so allocs.so)

.PHONY: bench-own bench-callgrind bench-guard

# Once the header has the flag, the programs use it.
BENCH_FLAGS += $(if $(shell grep -w MSG_SEND_ALONE include/msgbox.h),-DMSG_HAS_SEND_ALONE)

## bench-own: the benchmark programs of MsgBox, in build/bench, to be run by bench/once
bench-own: $(BENCH_OWN)

## bench-callgrind: instructions per message of MsgBox, by valgrind
bench-callgrind: $(BENCH)/msgbox
	bench/callgrind

## bench-guard: fails where a message costs more instructions or allocations than bench/thresholds allows
bench-guard: $(BENCH)/msgbox $(BENCH)/allocs.so
	bench/guard

$(BENCH)/o/%.o: bench/%.c $(BENCH_HEADERS) | tools
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -c $< -o $@

$(BENCH)/msgbox: $(BENCH)/o/msgbox.o $(BENCH_COMMON) $(BUILD)/lib/libmsgbox.a
	$(CC) $(BENCH_FLAGS) -o $@ $^ -lm

$(BENCH)/manycli: $(addprefix $(BENCH)/o/,manycli.o manyudp.o manytcp.o manywire.o) $(BENCH_COMMON)
	$(CC) $(BENCH_FLAGS) -o $@ $^

$(BENCH)/quiet: $(BENCH)/o/quiet.o $(BENCH)/o/common.o
	$(CC) $(BENCH_FLAGS) -o $@ $^ -pthread

$(BENCH)/%.so: bench/%.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -shared -fPIC -o $@ $< -ldl
