# Programs that attack, flood, kill and soak a server over real sockets.

HOSTILE = $(BUILD)/hostile
HOSTILE_HEADERS := $(wildcard Tests/Hostile/*.h) Tests/C/test.h Tests/C/wire.h include/msgbox.h
HOSTILE_FLAGS = -std=gnu11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude -ITests/C $(CFLAGS)
HOSTILE_SHARED = $(addprefix $(HOSTILE)/o/,processes.o server.o service.o)
HOSTILE_PROGRAMS = $(addprefix $(HOSTILE)/,hostile)

.PHONY: hostile hostile-programs

hostile-programs: $(HOSTILE_PROGRAMS)

## hostile: everything that bad peers do, against a server whose clients are measured
hostile: $(HOSTILE)/hostile
	timeout --kill-after=5 180 $(HOSTILE)/hostile

$(HOSTILE)/o/%.o: Tests/Hostile/%.c $(HOSTILE_HEADERS) | tools
	@mkdir -p $(@D)
	$(CC) $(HOSTILE_FLAGS) -c $< -o $@

hostile_objects = $(addprefix $(HOSTILE)/o/,$(addsuffix .o,$(1))) $(HOSTILE_SHARED)
$(HOSTILE)/hostile: $(call hostile_objects,hostile peer forge udp_attacks tcp_attacks replay)

$(HOSTILE_PROGRAMS): $(BUILD)/lib/libmsgbox.so
	$(CC) $(HOSTILE_FLAGS) -o $@ $(filter %.o,$^) -L$(BUILD)/lib -Wl,-rpath,'$$ORIGIN/../lib' -lmsgbox
