# MsgBox: two libraries from the same sources, their tests, the demo and the installation.
# Needs a Swift toolchain, a C compiler with its binutils, and make.

CC = $(if $(shell command -v cc),cc,clang)
CXX = $(if $(shell command -v c++),c++,clang++)
SWIFT = swift
SWIFTC = swiftc
LD = ld
AR = ar
OBJCOPY = objcopy
STRIP = strip
INSTALL = install

PREFIX = /usr/local
DESTDIR =
BUILD = build
SCRATCH = .build
# Symbols cost nothing: installing strips them, and the archive is made without.
OPTIMIZE = -O -g
COVERAGE_FLOOR = 95
LIBRARY_FLOOR = 88

version_part = $(shell sed -n 's/^\#define MSG_VERSION_$(1) \([0-9]*\)$$/\1/p' include/msgbox.h)
VERSION := $(call version_part,MAJOR).$(call version_part,MINOR).$(call version_part,PATCH)
SONAME := libmsgbox.so.$(call version_part,MAJOR)

HEADERS := include/msgbox.h $(shell find Sources/CMsgBox -name '*.h')
SWIFT_SOURCES := $(shell find Sources/MsgBox -name '*.swift' | LC_ALL=C sort)
C_SOURCES := $(shell find Sources/CMsgBox -name '*.c' | LC_ALL=C sort)
C_OBJECTS := $(C_SOURCES:Sources/CMsgBox/%.c=$(BUILD)/embedded/%.o)
C_EXAMPLES := $(patsubst examples/c/%.c,$(BUILD)/examples/%,$(wildcard examples/c/*.c))
OBJECTS := $(patsubst $(BUILD)/embedded/%,$(BUILD)/placed/%,$(BUILD)/embedded/MsgBox.o $(C_OBJECTS))
EXPORTS = $(shell scripts/header-functions)

# The features of Package.swift, which is the one place that lists them.
FEATURES := $(shell sed -n \
  -e 's/.*enableUpcomingFeature("\(.*\)").*/-enable-upcoming-feature \1/p' \
  -e 's/.*enableExperimentalFeature("\(.*\)").*/-enable-experimental-feature \1/p' Package.swift)

EMBEDDED_FLAGS = -swift-version 6 -strict-memory-safety -warnings-as-errors $(FEATURES) \
  -enable-experimental-feature Embedded -wmo $(OPTIMIZE) -parse-as-library \
  -Xfrontend -function-sections -package-name msgbox -module-name MsgBox \
  -I $(BUILD)/embedded/include -module-cache-path $(BUILD)/embedded/cache
SHIM_FLAGS = -std=gnu11 -O2 -fPIC -fvisibility=hidden -fstack-protector-strong \
  -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections \
  -Wall -Wextra -Werror -ISources/CMsgBox/include $(CFLAGS)
LINK_FLAGS = -shared -Wl,-soname,$(SONAME) -Wl,--version-script=scripts/exports.map \
  -Wl,--gc-sections -Wl,--as-needed -Wl,-z,defs -Wl,-z,relro -Wl,-z,now \
  -Wl,-z,noexecstack -Wl,-z,nodelete \
  $(LDFLAGS)
EXAMPLE_FLAGS = -O2 -Wall -Wextra -Werror -Iinclude $(CFLAGS)

# SwiftPM would take CC from the environment and hand it flags that only clang knows.
unexport CC CXX LD AR
export C_COMPILER = $(CC)
export CXX_COMPILER = $(CXX)
export SWIFT SWIFTC BUILD SCRATCH COVERAGE_FLOOR LIBRARY_FLOOR

.PHONY: all lib lib-swift examples c-examples install uninstall test test-install test-examples \
  test-lossy demo lint abi coverage sanitize faults fuzz docs clean help tools
.DELETE_ON_ERROR:

all: lib

## lib: the C library without a Swift runtime, shared and static, in build/lib
lib: $(BUILD)/lib/libmsgbox.so $(BUILD)/lib/libmsgbox.a

## lib-swift: the same library as SwiftPM builds it, with the Swift runtime
lib-swift: | tools
	$(SWIFT) build --scratch-path $(SCRATCH) -c release --product msgbox

## examples: every example; the C ones are in build/examples
examples: c-examples | tools
	$(SWIFT) build --scratch-path $(SCRATCH) -c release

c-examples: $(C_EXAMPLES)

## install: header, libraries and msgbox.pc under $(DESTDIR)$(PREFIX)
install: lib
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	$(INSTALL) -m 644 include/msgbox.h $(DESTDIR)$(PREFIX)/include/msgbox.h
	$(INSTALL) -m 755 $(BUILD)/lib/$(SONAME) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	$(STRIP) --strip-unneeded $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libmsgbox.so
	$(INSTALL) -m 644 $(BUILD)/lib/libmsgbox.a $(DESTDIR)$(PREFIX)/lib/libmsgbox.a
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' msgbox.pc.in \
	  > $(DESTDIR)$(PREFIX)/lib/pkgconfig/msgbox.pc
	chmod 644 $(DESTDIR)$(PREFIX)/lib/pkgconfig/msgbox.pc

## uninstall: removes what install has put there
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/include/msgbox.h $(DESTDIR)$(PREFIX)/lib/$(SONAME) \
	  $(DESTDIR)$(PREFIX)/lib/libmsgbox.so $(DESTDIR)$(PREFIX)/lib/libmsgbox.a \
	  $(DESTDIR)$(PREFIX)/lib/pkgconfig/msgbox.pc

## test: the Swift tests, the C tests against both libraries, header, exports and archive
test: | tools
	scripts/test

## test-install: installs into a temporary prefix and builds a C program with pkg-config
test-install: | tools
	scripts/test-install

## test-lossy: peers that stop reading or flood; reliable messages and gets where nftables drops
test-lossy: | tools
	scripts/test-lossy

## demo: the echo pair in C and then in Swift, over UDP and over TCP
demo: c-examples | tools
	$(SWIFT) build --scratch-path $(SCRATCH) -c release --product swift-echo-server
	$(SWIFT) build --scratch-path $(SCRATCH) -c release --product swift-echo-client
	scripts/demo

## test-examples: the examples, C and Swift, against each other over UDP and over TCP
test-examples: examples
	scripts/test-examples

## lint: the format of the Swift sources, and the shell scripts where shellcheck is there
lint: | tools
	$(SWIFT) format lint --strict --parallel --recursive \
	  $(wildcard Sources Tests examples bench Package.swift)
	if command -v shellcheck >/dev/null; then shellcheck -x $(filter-out %.map,$(shell grep -lE "bash|/bin/sh" scripts/*)) .ci/run; fi

## coverage: line coverage by the tests; fails below COVERAGE_FLOOR (Wire, Core) and LIBRARY_FLOOR (all)
coverage: | tools
	scripts/coverage

## sanitize: Swift tests with address, undefined-behaviour and thread sanitizers, C tests with them and in valgrind
sanitize: | tools
	scripts/sanitize

## abi: include/msgbox.h against the record of its ABI, include/msgbox.abi; and whether breaks of it are found
abi: | tools
	scripts/abi
	scripts/test-abi

## faults: every system call fails in turn, with each error that it can give
faults: | tools
	scripts/faults

## fuzz: each target of Tests/Fuzz by libFuzzer for FUZZ_SECONDS (300)
fuzz: | tools
	scripts/fuzz

## docs: the Swift documentation as a site, in build/docs
docs: lib-swift
	scripts/docs

include bench/bench.mk
include Tests/Hostile/hostile.mk

## clean: removes everything that was built
clean:
	rm -rf $(BUILD) $(SCRATCH)

## help: lists these targets
help:
	@sed -n 's/^## \([a-z-]*\): \(.*\)/  make \1\t\2/p' Makefile bench/bench.mk Tests/Hostile/hostile.mk | expand -t 22

tools:
	@scripts/require $(SWIFT) $(SWIFTC) $(CC) $(LD) $(AR) $(OBJCOPY) $(STRIP)

$(BUILD)/embedded/include/module.modulemap: Makefile | tools
	@mkdir -p $(@D)
	printf 'module CMsgBox { header "%s/Sources/CMsgBox/include/CMsgBox.h" export * }\n' \
	  "$(CURDIR)" > $@

$(BUILD)/embedded/MsgBox.o: $(SWIFT_SOURCES) $(sort $(dir $(SWIFT_SOURCES))) $(HEADERS) \
  $(BUILD)/embedded/include/module.modulemap
	$(SWIFTC) $(EMBEDDED_FLAGS) -c $(SWIFT_SOURCES) -o $@
	@touch $@  # The compiler leaves an object alone that would not change.

$(BUILD)/embedded/%.o: Sources/CMsgBox/%.c $(HEADERS) Makefile | tools
	@mkdir -p $(@D)
	$(CC) $(SHIM_FLAGS) -c $< -o $@

$(BUILD)/placed/%.o: $(BUILD)/embedded/%.o scripts/place-hot scripts/hot-functions
	@mkdir -p $(@D)
	SWIFT="$(SWIFT)" OBJCOPY="$(OBJCOPY)" scripts/place-hot $< $@

$(BUILD)/lib/$(SONAME): $(OBJECTS) scripts/exports.map
	@mkdir -p $(@D)
	$(CC) $(LINK_FLAGS) -o $@ $(OBJECTS) -lm
	@$(STRIP) --strip-unneeded -o $@.stripped $@ && wc -c < $@.stripped | \
	  xargs printf '$(SONAME): %s bytes when stripped\n' && rm -f $@.stripped

$(BUILD)/lib/libmsgbox.so: $(BUILD)/lib/$(SONAME)
	ln -sf $(SONAME) $@

# One object in which all but the functions of the header is local: as global symbols its parts of
# the Swift runtime would take the place of the real ones in a program that also contains Swift.
$(BUILD)/lib/libmsgbox.a: $(OBJECTS) include/msgbox.h scripts/header-functions
	@mkdir -p $(@D)
	$(LD) -r --gc-sections $(addprefix -u ,$(EXPORTS)) -o $(BUILD)/embedded/all.o $(OBJECTS)
	$(OBJCOPY) --wildcard --keep-global-symbol='msg_*' --strip-unneeded --strip-debug \
	  --remove-section=.swift1_autolink_entries --remove-section=.comment \
	  $(BUILD)/embedded/all.o $(BUILD)/embedded/libmsgbox.o
	rm -f $@
	$(AR) rcs $@ $(BUILD)/embedded/libmsgbox.o

$(BUILD)/examples/%: examples/c/%.c include/msgbox.h $(BUILD)/lib/libmsgbox.so
	@mkdir -p $(@D)
	$(CC) $(EXAMPLE_FLAGS) -o $@ $< -L$(BUILD)/lib -Wl,-rpath,'$$ORIGIN/../lib' -lmsgbox
