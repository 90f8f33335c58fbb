# addcow: build, test and install. `make help` lists the targets.
#
# Sources are found by wildcard, so a new file needs no line here. Everything
# made goes below $(BUILD). The engine and the tool see 64-bit file offsets by
# _FILE_OFFSET_BITS; the shim must not, because with it a definition of `pread`
# would export `pread64` alone, and it must not be fortified, because the
# checking inlines call the very symbols it defines.

PREFIX ?= /usr/local
ARCH ?= 64
BUILD ?= $(if $(filter 32,$(ARCH)),build/32,build)
V ?= 0
CFLAGS ?= -O2 -g
ifeq ($(origin CC),default)
CC := gcc
endif

ifeq ($(V),0)
quiet = @printf '  %-5s %s\n' '$(1)' '$@';
.SILENT: install uninstall clean
endif

version := 0.1
base := -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE -DADDCOW_VERSION='"$(version)"'
machine := $(if $(filter 32,$(ARCH)),-m32)
compile = $(CC) $(machine) $(base) $(CPPFLAGS) $(CFLAGS) $(part_flags) -MMD -MP -c -o $@ $<
link = $(CC) $(machine) $(CFLAGS) $(LDFLAGS) -o $@

engine_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard engine/*.c))
shim_src_64 := $(wildcard shim/*.c)
shim_src_32 := $(filter-out $(addprefix shim/,hook_syscall.c hook_signal.c deep.c deep_trap.c), \
	$(wildcard shim/*.c shim/narrow/*.c))
shim_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(shim_src_$(ARCH)))
tool_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tool/*.c))
unit_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/unit/*.c) $(UNIT_RUNNER))
tool_unit_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/tool/*.c) $(UNIT_RUNNER))
power_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/power/*.c))
kill_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/kill/*.c))
exercise_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/exercise/*.c))

archive := $(BUILD)/libaddcow.a
preload := $(BUILD)/libaddcow-preload.so
tool := $(BUILD)/addcow-img
micro := $(BUILD)/bench/micro
unit := $(BUILD)/tests/unit
tool_unit := $(BUILD)/tests/tool
power := $(BUILD)/tests/power
fuzzers := $(patsubst tests/fuzz/target_%.c,$(BUILD)/tests/fuzz_%,$(wildcard tests/fuzz/target_*.c))
kill := $(BUILD)/tests/kill
kill_preload := $(BUILD)/tests/libaddcow-impatient.so
exercise := $(BUILD)/tests/exercise

PYTHON ?= /usr/bin/python3
export PYTHONDONTWRITEBYTECODE := 1

all: $(archive) $(if $(machine),$(dir $(BUILD))both,$(tool)) $(preload) ## build the library, the tool and the preload library (the default)

.PHONY: all deps demo check bench asan tsan install uninstall clean help FORCE

# ---- compile and link ------------------------------------------------------

large := -D_FILE_OFFSET_BITS=64
$(BUILD)/obj/engine/%.o: part_flags = $(large) -iquote engine -fPIC -fvisibility=hidden
$(BUILD)/obj/tool/%.o: part_flags = $(large) -iquote engine
$(BUILD)/obj/tests/%.o: part_flags = $(large) -iquote engine -iquote tool
$(BUILD)/obj/tests/kill/lib/%.o: part_flags = $(large) -iquote engine -fPIC
$(BUILD)/obj/bench/%.o: part_flags = $(large)
for_shim = -U_FORTIFY_SOURCE -iquote engine -fPIC -fvisibility=hidden -ftls-model=initial-exec
$(BUILD)/obj/shim/%.o: part_flags = -U_FILE_OFFSET_BITS $(if $(machine),$(large)) $(for_shim)
$(BUILD)/obj/shim/narrow/%.o: part_flags = -U_FILE_OFFSET_BITS $(for_shim)

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,CC)$(compile)

$(shim_obj): | $(if $(machine),,$(BUILD)/have-libunwind)

$(archive): $(engine_obj)
	@rm -f $@
	$(call quiet,AR)$(AR) rcs $@ $^

# Static, so that in a shell that has the shim the tool still sees the files themselves.
$(tool): $(tool_obj) $(archive)
	$(call quiet,LD)$(link) $(if $(findstring -fsanitize,$(CFLAGS)),,-static) $^ -lpthread

# The rows of hooks.def are the only list of what is exported.
$(BUILD)/shim.map: shim/hooks.def $(BUILD)/flags
	$(call quiet,GEN){ echo '{ global:' && $(CC) $(machine) -E -P -x c -D'HOOK(f,s,b)=s;' $< && \
		echo 'local: *; };'; } > $@.new && mv $@.new $@

link_preload = $(call quiet,LD)$(link) -shared -Wl,-soname,$(@F) -Wl,-z,defs -Wl,-z,now \
	-Wl,--version-script=$(BUILD)/shim.map $(filter %.o %.a,$^) -ldl -lpthread

$(preload): $(shim_obj) $(archive) $(BUILD)/shim.map
	$(link_preload)

# LD_PRELOAD can name the 32-bit and the 64-bit library by one path with $LIB in it, for which a dynamic
# linker puts what its system calls the folder of libraries: that of Debian, those of others, and what the
# linkers here say. $(call both,DIR) makes these folders in DIR, where the libraries are.
linker_says = $(shell $(1) --list-diagnostics 2>/dev/null | sed -n 's/^dl_dst_lib="\(.*\)"/\1/p')
folders_64 = $(sort lib/x86_64-linux-gnu lib64 $(call linker_says,/lib64/ld-linux-x86-64.so.2))
folders_32 = $(sort lib/i386-linux-gnu lib32 $(call linker_says,/lib/ld-linux.so.2))
both = for folder in $(folders_64) $(folders_32); do mkdir -p '$(1)/both/'$$folder || exit; done && \
	for folder in $(folders_64); do ln -sfr '$(1)/$(notdir $(preload))' '$(1)/both/'$$folder || exit; done && \
	for folder in $(folders_32); do ln -sfr '$(1)/32/$(notdir $(preload))' '$(1)/both/'$$folder || exit; done

ifdef machine
$(dir $(BUILD))both: $(preload)
	@$(call both,$(abspath $(@D)))
	@touch $@
endif

$(micro): $(BUILD)/obj/bench/micro.o
	@mkdir -p $(@D)
	$(call quiet,LD)$(link) $^

criterion = $(if $(UNIT_RUNNER),,-lcriterion)

$(unit): $(unit_obj) $(archive)
	@mkdir -p $(@D)
	$(call quiet,LD)$(link) $^ $(criterion) -lpthread

# A test may put a function of its own in an engine function's place.
$(tool_unit): $(tool_unit_obj) $(filter-out %/main.o,$(tool_obj)) $(archive)
	@mkdir -p $(@D)
	$(call quiet,LD)$(link) -Wl,--allow-multiple-definition $^ $(criterion) -lpthread

$(power): $(power_obj) $(archive)
	@mkdir -p $(@D)
	$(call quiet,LD)$(link) $^ -lpthread

# With libFuzzer's main if the flags ask for it, else with one that replays. They share the unit
# tests' support, but for what a failed check does, and so need only Criterion's stand-in.
fuzz_main := $(if $(findstring fuzzer,$(CFLAGS)),,replay mutate)
fuzz_obj := $(patsubst %,$(BUILD)/obj/tests/fuzz/%.o,input watch flat $(fuzz_main)) \
	$(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %/support_check.c,$(wildcard tests/unit/support_*.c)))
$(fuzzers): $(BUILD)/tests/fuzz_%: $(BUILD)/obj/tests/fuzz/target_%.o $(fuzz_obj) $(archive)
	@mkdir -p $(@D)
	$(call quiet,LD)$(link) $^ -lpthread

# A plain program: the disks it uses come by the preload library.
$(kill): $(kill_obj) | $(kill_preload)
	@mkdir -p $(@D)
	$(call quiet,LD)$(link) $^ -lpthread

$(kill_preload): $(shim_obj) $(BUILD)/obj/tests/kill/lib/impatient.o $(archive) $(BUILD)/shim.map
	@mkdir -p $(@D)
	$(link_preload)

# A plain program too, and it must pass on a plain file.
$(exercise): $(exercise_obj)
	@mkdir -p $(@D)
	$(call quiet,LD)$(link) $^ -lpthread -ldl

# Another compiler or other flags make everything anew.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(machine) $(base) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))' > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(BUILD)/have-libunwind:
	@mkdir -p $(@D)
	@echo '#include <libunwind.h>' | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 || { echo \
		"addcow: libunwind.h is missing: run 'make deps', or install libunwind-dev" >&2; exit 1; }
	@touch $@

-include $(patsubst %.o,%.d,$(engine_obj) $(shim_obj) $(tool_obj) $(unit_obj) $(tool_unit_obj) \
	$(power_obj) $(kill_obj) $(exercise_obj)) $(wildcard $(BUILD)/obj/tests/fuzz/*.d)

# ---- test --------------------------------------------------------------------

# One row per part: its name, and the command that runs it. Each ends with its own
# total, and tests/check.sh adds them up. The slow ones stand first.
parts := boot e2e crosscheck exercise kill-workers kill-programs selftest hostile watch badinput full fuzz unit power tool-unit tool-cli narrow wrapper layers symbols symbols-32
run_narrow = $(PYTHON) tests/e2e/narrow.py $(if $(EVERY),--every $(EVERY))
run_boot := $(PYTHON) tests/e2e/boot.py
run_e2e = $(PYTHON) tests/e2e/harness.py $(if $(MOST),--most $(MOST))
run_crosscheck = $(PYTHON) tests/e2e/crosscheck.py $(if $(ROUNDS),-n $(ROUNDS))
run_exercise = $(PYTHON) tests/exercise/exercise.py -n $(or $(OPS),120000) -s $(or $(SEED),1) \
	$(if $(FAMILIES),-f $(FAMILIES))
run_kill-workers = $(kill) -n $(or $(KILLS),60) -s $(or $(SEED),1) -l $(kill_preload)
run_kill-programs = $(PYTHON) tests/kill/programs.py -n $(shell expr $(or $(KILLS),60) / 4) -s $(or $(SEED),1)
run_selftest := tests/e2e/selftests.sh
run_watch := $(PYTHON) tests/e2e/watch.py
run_badinput := $(PYTHON) tests/e2e/badinput.py
run_hostile := $(PYTHON) tests/e2e/hostile.py
run_fuzz := tests/fuzz/fuzz.sh replay $(BUILD)/fuzz
run_full := $(PYTHON) tests/e2e/full.py
run_unit := $(unit) --verbose
run_power = $(power) --states $(or $(STATES),60000) --seed $(or $(SEED),1)
run_tool-unit := $(tool_unit) --verbose
run_tool-cli := tests/tool/test_tool.sh
run_wrapper := tests/wrapper/test_wrapper.sh
run_layers := tests/layers.sh
run_symbols := $(PYTHON) tests/symbols.py
run_symbols-32 := $(PYTHON) tests/symbols_32.py

part_targets := $(addprefix check-,$(parts))
.PHONY: $(part_targets) library-32 check-fault check-hooks check-tool check-kill check-build exercise fuzz fuzzers fuzzers-replay
export CC BUILD

check-power: STATES ?= 1000000
check-kill check-kill-workers check-kill-programs: KILLS ?= 1000
exercise: OPS ?= 10000000

# Each command on one shape of disk, in turn; on all of them with check-e2e. Of what a 32-bit program does like
# any other, and of random rounds, a part: all of it with check-narrow and check-crosscheck.
check: MOST ?= 1
check: EVERY ?= 7
check: ROUNDS ?= 20
check: deps ## run every test, after installing what they need
	@$(MAKE) --no-print-directory check-build
	@tests/check.sh $(foreach p,$(parts),'$(p)=$(call under,$(p))$(run_$(p))')

check-build: all $(unit) $(tool_unit) $(power) $(kill) $(exercise) fuzzers-replay $(if $(SANITIZER),,library-32)

# Where the compiler has no 32-bit libraries the tests say so.
library-32:
	@if echo '#include <stdio.h>' | gcc -m32 -E -x c - >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory ARCH=32 CC=gcc BUILD=$(BUILD)/32; fi

check-boot: all ## run one part: boot a guest from a disk
check-e2e: all ## … real programs, on a plain file and on a disk
check-crosscheck: all ## … random operations against an independent decoder
check-exercise: all $(exercise) ## … random operations by every way to a file, in processes and threads (OPS=120000 SEED=1)
check-kill: check-kill-workers check-kill-programs ## … programs killed and stopped at random points (KILLS=1000 SEED=1)
check-kill-workers: $(tool) $(kill)
check-kill-programs: all
check-selftest: all ## … that the two above see what they should
check-watch: all ## … tracing, summaries, messages, and what is durable when
check-badinput: all ## … hostile and broken input
check-hostile: all ## … files that change under programs, and odd places
check-fuzz: fuzzers-replay ## … every fuzz target on its seeds and what chance makes of them
check-full: all ## … programs on a full filesystem, and under a limit of file size
check-unit: $(unit) ## … the engine's unit tests
check-power: $(power) ## … every state a power cut could leave (STATES=1000000 SEED=1)
check-fault: $(unit) ## … every system call, failing with every errno (a part of it is in check-unit)
	ADDCOW_FAULTS=all $(unit) --filter '@(*fault*|kill)/*'
check-hooks: all ## … each hook taken out: some program's test fails, and says so (BODIES='attr/* sync/fsync')
	$(PYTHON) tests/e2e/hooks.py $(if $(filter 1,$(V)),-v) $(foreach b,$(BODIES),'$(b)')
check-tool: check-tool-unit check-tool-cli ## … addcow-img
check-tool-unit: $(tool_unit)
check-tool-cli: all
check-wrapper: all library-32 ## … addcow-preload.sh
check-layers: all ## … who may include and call what
check-symbols: all ## … which symbols of libc are hooked, and why not the others
check-symbols-32: library-32 ## … the same of what 32-bit programs have beyond that
check-narrow: all library-32 ## … 32-bit programs, in a guest where the kernel runs none

under = $(if $(SANITIZER),tests/sanitize/run.sh $(SANITIZER) $(1) )
$(part_targets): check-%:
	$(call under,$*)$(run_$*)

# Fuzz targets are of use with sanitizers alone, so they have a build of their own.
fuzzers: $(fuzzers)
fuzzers-replay:
	$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz fuzzers CPPFLAGS='-I tests/tsan' \
		CFLAGS='$(or $($(SANITIZER)_flags),$(asan_flags))'

exercise: all $(exercise) ## the same as check-exercise, for long (OPS=10000000 SEED=1 FAMILIES=rw,map,…)
	$(run_exercise)

TIME ?= 60
fuzz: ## let libFuzzer look for what breaks the engine, TIME seconds for each target (needs clang)
	@tests/deps.sh clang libclang-rt-dev
	$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)/libfuzzer fuzzers CPPFLAGS='-I tests/tsan' \
		CFLAGS='$(asan_flags) -fsanitize=fuzzer-no-link' LDFLAGS=-fsanitize=fuzzer
	tests/fuzz/fuzz.sh run $(BUILD)/libfuzzer $(TIME)

# ---- test with sanitizers ------------------------------------------------------

# All of `parts` over a build of its own, but for those in which no code of that build runs: a
# script with a stand-in for the library, those that read sources and symbols, and 32-bit programs.
unsanitized := wrapper layers symbols symbols-32 narrow
# power: its processes and threads take turns, so there is no race to see, and "pages of bits" is too slow.
tsan_cannot := power
sanitized = $(filter-out $(unsanitized) $($(1)_cannot),$(parts))

asan_flags := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
tsan_flags := -O1 -g -fsanitize=thread

check_under = @CHECK_TIMEOUT=$(or $(CHECK_TIMEOUT),20000) $(MAKE) --no-print-directory check BUILD=build/$(1) \
	SANITIZER=$(1) CFLAGS='$($(1)_flags)' STATES=$(or $(STATES),20000) MOST=$(or $(MOST),1) \
	parts='$(call sanitized,$(1))'

asan: ## run the tests under the address, leak and undefined-behaviour sanitizers (parts='unit …')
	$(call check_under,asan)

# Criterion cannot work there: tests/tsan stands in for it.
tsan: ## … under the thread sanitizer
	$(call check_under,tsan) UNIT_RUNNER=tests/tsan/runner.c CPPFLAGS='-I tests/tsan'

# ---- for people --------------------------------------------------------------

deps: ## install what demo and check need (Debian; elsewhere: say what that is)
	@tests/deps.sh

demo: deps ## see real programs use a disk
	@$(MAKE) --no-print-directory all
	@tests/demo.sh

bench: all $(micro) ## compare a disk with a raw file and with qcow2
	@$(PYTHON) bench/run.py

bindir = $(DESTDIR)$(PREFIX)/bin
libdir = $(DESTDIR)$(PREFIX)/lib/addcow

install: all ## install below PREFIX (/usr/local), DESTDIR in front
	install -d '$(bindir)' '$(libdir)'
	install -m 755 $(tool) addcow-preload.sh '$(bindir)'
	install -m 644 $(preload) '$(libdir)'
	[ ! -f $(BUILD)/32/$(notdir $(preload)) ] || { install -d '$(libdir)/32' && \
		install -m 644 $(BUILD)/32/$(notdir $(preload)) '$(libdir)/32' && $(call both,$(libdir)); }

uninstall: ## remove what install put there
	rm -f '$(bindir)/addcow-img' '$(bindir)/addcow-preload.sh' '$(libdir)/libaddcow-preload.so'
	rm -rf '$(libdir)/32' '$(libdir)/both'
	[ ! -d '$(libdir)' ] || rmdir '$(libdir)'

clean: ## remove build/
	rm -rf build

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | \
		while IFS='	' read -r name what; do printf '  %-18s %s\n' "$$name" "$$what"; done
	@echo '  Variables: CC CFLAGS V=1 (show commands) PREFIX DESTDIR ARCH=32 (the library for 32-bit programs)'
