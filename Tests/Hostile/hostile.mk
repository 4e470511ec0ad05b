# Programs that attack, flood, kill and soak a server over real sockets.

HOSTILE = $(BUILD)/hostile
HOSTILE_HEADERS := $(wildcard Tests/Hostile/*.h) Tests/C/test.h Tests/C/wire.h include/msgbox.h
HOSTILE_FLAGS = -std=gnu11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude -ITests/C $(CFLAGS)
HOSTILE_SHARED = $(addprefix $(HOSTILE)/o/,processes.o server.o service.o)
HOSTILE_PROGRAMS = $(addprefix $(HOSTILE)/,hostile flood restart soak)

# Datagrams of each flood; milliseconds of each attack.
FLOOD = 10000000
HOSTILE_MS = 1200
# Of a soak.
MINUTES = 10
SOAK_SECONDS = $$(($(MINUTES) * 60))
SEED =

# Virtual hours.
HOURS = 24

.PHONY: hostile hostile-programs flood restart soak soak-virtual

hostile-programs: $(HOSTILE_PROGRAMS)

## hostile: everything that bad peers do, against a server whose clients are measured
hostile: $(HOSTILE)/hostile
	timeout --kill-after=5 300 $(HOSTILE)/hostile $(HOSTILE_MS)

## flood: FLOOD (10000000) forged hellos and random datagrams: what they cost a server and its clients
flood: $(HOSTILE)/flood
	scripts/flood $(FLOOD)

## restart: a server with 500 connections is killed and started again
restart: $(HOSTILE)/restart
	$(HOSTILE)/restart

## soak: servers and clients come, are killed and go for MINUTES (10) while packets are lost; SEED=N chooses as then
soak: $(HOSTILE)/soak
	scripts/soak $(SOAK_SECONDS) $(SEED)

## soak-virtual: HOURS (24) of a server and 200 clients over bad links, in virtual time
soak-virtual: | tools
	MSGBOX_HOURS=$(HOURS) $(SWIFT) test --scratch-path $(SCRATCH) --disable-xctest --filter DayTests

$(HOSTILE)/o/%.o: Tests/Hostile/%.c $(HOSTILE_HEADERS) | tools
	@mkdir -p $(@D)
	$(CC) $(HOSTILE_FLAGS) -c $< -o $@

hostile_objects = $(addprefix $(HOSTILE)/o/,$(addsuffix .o,$(1))) $(HOSTILE_SHARED)
$(HOSTILE)/hostile: $(call hostile_objects,hostile peer forge udp_attacks tcp_attacks replay)
$(HOSTILE)/flood: $(call hostile_objects,flood forge)
$(HOSTILE)/restart: $(call hostile_objects,restart)
$(HOSTILE)/soak: $(call hostile_objects,soak guest)

$(HOSTILE_PROGRAMS): $(BUILD)/lib/libmsgbox.so
	$(CC) $(HOSTILE_FLAGS) -o $@ $(filter %.o,$^) -L$(BUILD)/lib -Wl,-rpath,'$$ORIGIN/../lib' -lmsgbox
