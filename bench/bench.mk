# The benchmarks: bench/run runs each program of bench/ against itself, as bench/cases says, and writes
# $(BUILD)/bench/bench.md, .json and .svg. A peer whose package is not installed is left out.

BENCH = $(BUILD)/bench
BENCH_HEADERS := $(wildcard bench/*.h)
BENCH_FLAGS = -std=gnu11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude $(CFLAGS)
BENCH_SHARED = $(addprefix $(BENCH)/o/,blocking.o common.o many.o sockets.o)
BENCH_OWN = $(addprefix $(BENCH)/,msgbox raw manycli quiet ccshim.so allocs.so)
BENCH_PEERS = enet nng zmq uv
BENCH_PACKAGES = libenet-dev libnng-dev libzmq3-dev libuv1-dev valgrind python3
GROUPS =
REPS = 7

# A header that is there says that its peer can be built.
bench_has = $(shell echo '\#include <$(1)>' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
bench_header = $(if $(filter $(1),zmq uv),$(1).h,$(1)/$(1).h)
BENCH_FOUND = $(foreach peer,$(BENCH_PEERS),$(if $(call bench_has,$(call bench_header,$(peer))),$(peer)))

.PHONY: bench bench-own bench-programs bench-peers bench-callgrind bench-guard

## bench: MsgBox against bare sockets and peers; GROUPS="rr pipe" and REPS=1 make it shorter
bench: bench-programs | tools
	bench/run --repetitions $(REPS) $(GROUPS)

## bench-own: builds the benchmark programs that need no package, for bench/once and bench/callgrind
bench-own: $(BENCH_OWN)

## bench-programs: those, the one in Swift, and those of the peers whose packages are installed
bench-programs: bench-own $(BENCH)/msgbox-swift
	@$(MAKE) --no-print-directory $(foreach peer,$(BENCH_FOUND),$(BENCH)/$(peer))

## bench-peers: installs the peers' Debian packages and valgrind; needs root
bench-peers:
	apt-get update
	apt-get install -y --no-install-recommends $(BENCH_PACKAGES)

## bench-callgrind: instructions per message of MsgBox, by valgrind
bench-callgrind: $(BENCH)/msgbox
	bench/callgrind

## bench-guard: fails where a message costs more instructions or allocations than bench/thresholds allows
bench-guard: $(BENCH)/msgbox $(BENCH)/allocs.so
	bench/guard

$(BENCH)/o/%.o: bench/%.c $(BENCH_HEADERS) | tools
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -c $< -o $@

# What the header has, the program uses.
$(BENCH)/o/msgbox.o: include/msgbox.h
$(BENCH)/o/msgbox.o: BENCH_FLAGS += $(if $(shell grep -w MSG_SEND_ALONE include/msgbox.h),-DMSG_HAS_SEND_ALONE)

bench_objects = $(addprefix $(BENCH)/o/,$(addsuffix .o,$(1))) $(BENCH_SHARED)
$(BENCH)/msgbox: $(call bench_objects,msgbox) $(BUILD)/lib/libmsgbox.a
$(BENCH)/raw: $(call bench_objects,raw raw_udp_echo raw_udp_one_way raw_tcp raw_many batch frames)
$(BENCH)/manycli: $(call bench_objects,manycli manyudp manytcp manywire)
$(BENCH)/quiet: $(call bench_objects,quiet)
$(foreach peer,$(BENCH_PEERS),$(eval $(BENCH)/$(peer): $(call bench_objects,$(peer) $(if $(filter uv,$(peer)),frames))))
$(BENCH)/msgbox: BENCH_LIBS = -lm
$(BENCH)/enet: BENCH_LIBS = -lenet
$(BENCH)/nng: BENCH_LIBS = -lnng -pthread
$(BENCH)/zmq: BENCH_LIBS = -lzmq
$(BENCH)/uv: BENCH_LIBS = -luv
$(BENCH)/quiet: BENCH_LIBS = -pthread

$(addprefix $(BENCH)/,msgbox raw manycli quiet $(BENCH_PEERS)):
	$(CC) $(BENCH_FLAGS) -o $@ $^ $(BENCH_LIBS)

$(BENCH)/msgbox-swift: $(SWIFT_SOURCES) $(HEADERS) $(BENCH_HEADERS) bench/common.c Package.swift \
  $(shell find bench/swift -name '*.swift' -o -name '*.h') | tools
	@mkdir -p $(@D)
	$(SWIFT) build --scratch-path $(SCRATCH) -c release --product msgbox-swift
	cp $$($(SWIFT) build --scratch-path $(SCRATCH) -c release --show-bin-path)/msgbox-swift $@

$(BENCH)/%.so: bench/%.c | tools
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -shared -fPIC -o $@ $< -ldl
