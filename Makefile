# Saros. `make help` lists the targets; these are the settings.
REAL     := float#      or double: the checking build, in build/double
PREFIX   := /usr/local
TEXT     :=#            the file that `make demo` learns from
SPEC     :=#            options for busted, such as --tags=binding
BENCH    :=#            options for the benchmarks, such as --case A --cell lstm --threads 1
PYTHON   :=#            one that has PyTorch, ONNX Runtime or NumPy, for comparisons
SANITIZE :=#            1: watch addresses, leaks and undefined behaviour; thread: watch threads
STRICT   :=#            1: warnings are errors
CROSS    :=#            aarch64-linux-gnu: compile for that system, in build/aarch64
MPICC    := mpicc#      the compiler of MPICH or Open MPI, for `make mpi`

OPTIMIZE := -O3 -g
AVX2     := -mavx2 -mfma
AVX512   := -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -mprefer-vector-width=512
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wmissing-prototypes
WATCHED  := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined $(if $(filter thread,$(SANITIZE)),\
              -fsanitize=thread,-fsanitize=undefined -fsanitize=address)
VALGRIND := SAROS_ISA=avx2 OPENBLAS_CORETYPE=Haswell valgrind -q --error-exitcode=1
LEAKS    := --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite

# --- Machinery ---------------------------------------------------------------
DOUBLE := $(filter double,$(REAL))
MACHINE := $(if $(CROSS),$(firstword $(subst -, ,$(CROSS))),$(shell uname -m))
X86    := $(filter x86_64,$(MACHINE))
MAC    := $(filter Darwin,$(shell uname))
ROOT   := build$(if $(CROSS),/$(MACHINE))$(if $(SANITIZE),/sanitize$(SANITIZE:1=))$(if $(STRICT),/strict)
B      := $(ROOT)$(if $(DOUBLE),/double)
NANOPB  = $(if $(MAC),$(shell brew --prefix 2>/dev/null)/lib/libprotobuf-nanopb.a,$(shell $(CC) -print-file-name=libprotobuf-nanopb.a))# goes into libsaros
LIBS    = $(NANOPB) $(call PKG,libs openblas jansson $(MINIZIP)) -lm -lpthread
VERSION = $(shell sed -n 's/^.define SAROS_VERSION "\(.*\)"/\1/p' src/saros/context.h)
SHARED := libsaros.$(if $(MAC),dylib,so)
SONAME  = libsaros.$(if $(MAC),$(basename $(VERSION)).dylib,so.$(basename $(VERSION)))
CFLAGS := -std=gnu11 $(if $(SANITIZE),$(WATCHED),$(OPTIMIZE)) -ffp-contract=fast -fno-math-errno \
  -fno-trapping-math -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(if $(STRICT),-Werror) \
  $(if $(DOUBLE),-DSAROS_DOUBLE) $(if $(X86),-DHAVE_X86_ISAS) -MMD -MP
MINIZIP = $(if $(call PKG,modversion minizip 2>/dev/null),minizip)# without it, zips are refused
PKG     = $(shell $(if $(CROSS),PKG_CONFIG_LIBDIR=/usr/lib/$(CROSS)/pkgconfig )pkg-config --$(1))# asked when it is needed, as `make setup` may bring it
ifneq ($(CROSS),)
  CC := $(CROSS)-gcc
  LD := $(CROSS)-ld
  AR := $(CROSS)-ar
endif
ifneq ($(MAC),)
  KEGS := $(addprefix $(shell brew --prefix 2>/dev/null)/opt/,lua@5.4 openblas libedit)
  export PATH := $(firstword $(KEGS))/bin:$(PATH)
  export PKG_CONFIG_PATH := $(subst $() ,:,$(KEGS:%=%/lib/pkgconfig)):$(PKG_CONFIG_PATH)
endif
CORES := $(shell getconf _NPROCESSORS_ONLN)
MAKEFLAGS += --no-print-directory
COMMA := ,
ifneq (,$(filter 00 01,$(MAKELEVEL)$(words $(MAKECMDGOALS))))
  MAKEFLAGS += -j$(CORES)# one goal uses every core
endif

MODULES := $(sort $(shell find lua/saros -name '*.lua' ! -path '*/meta/*'))
FOLDERS := $(shell find lua/saros -type d)# newer than their files when one is added or removed
KERNELS := $(patsubst src/kernel/%.c,%.o,$(filter-out %/dispatch.c,$(wildcard src/kernel/*.c)))
CORE    := $(patsubst src/%.c,$(B)/%.o,$(wildcard src/kernel/dispatch.c src/core/*/*.c src/core/*/*/*.c)) \
  $(foreach isa,baseline $(if $(X86),avx2 avx512),$(KERNELS:%=$(B)/kernel/$(isa)/%))
PARTS   := $(addprefix -I,$(wildcard src/core/*) src/core/recurrent/cells)
BINDING := $(patsubst src/%.c,$(B)/%.o,$(wildcard src/lua/*.c)) $(B)/lua_modules.o
OBJECTS := $(CORE) $(BINDING)
PROGRAM := $(patsubst src/%.c,$(B)/%.o,$(wildcard src/*.c))
C_SPECS := $(patsubst spec/c/%.c,$(B)/spec/%,$(wildcard spec/c/*.c))
BENCHES := $(B)/bench/peak.so $(B)/bench/micro $(B)/bench/step $(B)/bench/own
THREADED := $(patsubst %,build/sanitizethread/spec/%,team threads sharing interrupt)
TEXTS   := /usr/share/state/us-constitution.gz /usr/share/state/us-declaration.gz# of miscfiles, for the demo
ARM64    := $(if $(MAC),,$(X86:x86_64=aarch64-linux-gnu))# what `make test-arm` compiles for
ARM64_LUA := one_definition recurrent session program_loop exact gradient padding activation attention beam cell conv1d \
  crf ctc generator model_file nn operation optim pytorch reference safetensors scan session_program tape tensor
ARM64_DOUBLE := gradient pytorch operation scan program_loop# of the double build
ARM64_C   = $(filter-out $(addprefix %/,allocator finalizers fork hostile interrupt session states),$(C_SPECS))# in minutes, not hours
ARM64_SUITES = $(call LUA_SPECS,$(1)/emulated,$(2:%=spec/%_spec.lua),--filter-out=elsewhere) \
  $(patsubst $(B)/%,"qemu-aarch64 $(1)/%",$(ARM64_C))
SUITES   = $(call LUA_SPECS,$(1)/saros,$(wildcard spec/*_spec.lua)) $(C_SPECS:$(B)/%=$(1)/%)
ISAS      = $(shell $(B)/saros -e 'print(table.concat(saros.info().isas, " "))')# that this processor runs, best first
DIFFERING := recurrent precision quantised session# specs of what AVX-512 sets have of their own
ON_ISA    = $(call LUA_SPECS,SAROS_ISA=$(isa) $(B)/saros,$(1))
LUA_SPECS = $(patsubst %,"$(1) spec/busted.lua $(3) $(SPEC) %",$(2))# each in a process, whose heap stays small

all: $(B)/libsaros.a $(B)/saros.so $(B)/saros $(if $(CROSS),$(B)/emulated) $(if $(word 2,$(wildcard $(TEXTS))),build/demo.txt) ## build the library, the Lua module and the program

# For hosts: the core and the binding as one object each, in which only what saros.h
# declares has a name (on macOS ld -r does that by itself). For specs: all objects.
$(B)/whole/core.o: $(CORE)
$(B)/whole/lua.o: $(BINDING)
$(B)/whole/core.o $(B)/whole/lua.o:
	@mkdir -p $(@D); $(LD) -r $^ $(if $(filter %/core.o,$@),$(NANOPB)) -o $@ $(if $(MAC),,&& $(if $(CROSS),$(CROSS)-)objcopy \
	  --localize-hidden -w --localize-symbol='pb_*' $@)
$(B)/libsaros.a: $(B)/whole/core.o $(B)/whole/lua.o
$(B)/internal.a: $(OBJECTS)
$(B)/libsaros.a $(B)/internal.a:
	@echo "ar  $@"; rm -f $@; $(AR) rcs $@ $^
$(B)/$(SHARED): $(OBJECTS)
	@echo "ld  $@"; $(CC) $(CFLAGS) -shared $(if $(MAC),-undefined dynamic_lookup,-Wl,-soname,$(SONAME) -Wl,--exclude-libs,libprotobuf-nanopb.a) $^ $(LIBS) -o $@
	@ln -sf $(SHARED) $(B)/$(SONAME)
$(B)/saros.so: $(B)/$(SHARED)
	@ln -sf $(<F) $@
$(B)/saros: $(PROGRAM) $(B)/libsaros.a
	@echo "ld  $@"; $(CC) $(CFLAGS) $(if $(MAC),,-Wl,-E) $^ $(call PKG,libs lua5.4 libedit) $(LIBS) -o $@

# MPI is here alone: a module that saros.ranks loads where mpirun has started the script.
$(B)/saros_mpi.so $(B)/mpich/saros_mpi.so $(B)/openmpi/saros_mpi.so: $(wildcard src/mpi/*.[ch] src/saros/*.h) | $(B)/$(SHARED)
	@mkdir -p $(@D); echo "ld  $@"; $(MPICC) $(filter-out -M%,$(CFLAGS)) -Isrc $(call PKG,cflags lua5.4) -shared $(wildcard src/mpi/*.c) \
	  $(if $(MAC),-undefined dynamic_lookup,-L$(B) -lsaros -Wl$(COMMA)-rpath$(COMMA)'$$ORIGIN:$$ORIGIN/..:$$ORIGIN/../..') -o $@
$(B)/mpich/saros_mpi.so $(B)/openmpi/saros_mpi.so: MPICC = mpicc.$(notdir $(@D))

# Runs the program of another processor; specs that start the interpreter start this.
$(B)/emulated: Makefile
	@mkdir -p $(@D); printf '#!/bin/sh\nexec qemu-$(MACHINE) -0 "$$0" $(B)/saros "$$@"\n' > $@; chmod +x $@

COMPILE = @mkdir -p $(@D); echo "cc  $@"; $(CC) $(CFLAGS) $(SEES) -c $< -o $@
$(B)/kernel/%: SEES = -Isrc/kernel $(call PKG,cflags openblas)
$(B)/core/%:   SEES = -Isrc -Isrc/kernel $(PARTS) $(if $(MAC),-I$(shell brew --prefix)/include/nanopb) $(call PKG,cflags openblas jansson $(MINIZIP)) $(MINIZIP:%=-DHAVE_MINIZIP)
$(B)/lua%:     SEES = -Isrc $(call PKG,cflags lua5.4)
$(B)/saros%:   SEES = -Isrc $(call PKG,cflags lua5.4 libedit)
$(B)/spec/%:   SEES = -Isrc $(PARTS) -Isrc/kernel -Ispec/c $(call PKG,cflags lua5.4)
$(B)/bench/%:  SEES = -Isrc $(PARTS) -Isrc/kernel $(if $(CROSS),,-march=native) $(call PKG,cflags lua5.4 openblas)
$(B)/kernel/baseline/%.o: src/kernel/%.c Makefile
	$(COMPILE) -DISA=baseline
$(B)/kernel/avx2/%.o: src/kernel/%.c Makefile
	$(COMPILE) -DISA=avx2 $(AVX2)
$(B)/kernel/avx512/step_vnni.o $(B)/kernel/avx512/packed_vnni.o: AVX512 += -mavx512vnni
$(B)/kernel/avx512/packed_avx512bf16.o: AVX512 += -mavx512bf16
$(B)/kernel/avx512/packed_amx.o: AVX512 += -mavx512bf16 -mamx-tile -mamx-bf16
$(B)/kernel/avx512/packed_amx_int8.o: AVX512 += -mamx-tile -mamx-int8
$(B)/kernel/avx512/%.o: src/kernel/%.c Makefile
	$(COMPILE) -DISA=avx512 $(AVX512)
$(B)/%.o: src/%.c Makefile
	$(COMPILE)
$(B)/bench/%.o: bench/%.c Makefile
	$(COMPILE)
$(B)/bench/peak.so: $(B)/bench/peak.o $(B)/bench/lua_peak.o
	@echo "ld  $@"; $(CC) $(CFLAGS) -shared $(if $(MAC),-undefined dynamic_lookup) $^ -o $@
$(B)/bench/step: $(B)/bench/plain.o
$(B)/bench/micro $(B)/bench/step $(B)/bench/own: $(B)/bench/%: $(B)/bench/%.o $(B)/bench/peak.o $(B)/internal.a
	@echo "ld  $@"; $(CC) $(CFLAGS) $^ $(LIBS) -o $@
$(B)/lua_modules.o: $(B)/lua_modules.c
	$(COMPILE)
$(B)/lua_modules.c: src/lua/embed.lua $(MODULES) $(FOLDERS)
	@mkdir -p $(@D); lua5.4 src/lua/embed.lua $(MODULES) > $@
$(B)/spec/%: spec/c/%.c $(B)/internal.a
	@mkdir -p $(@D); echo "cc  $@"; $(CC) $(CFLAGS) $(SEES) $< $(B)/internal.a $(call PKG,libs lua5.4) $(LIBS) -o $@
build/demo.txt:
	@mkdir -p $(@D); gzip -dc $(TEXTS) > $@
specs: all $(C_SPECS) $(BENCHES) $(if $(CROSS)$(SANITIZE),,$(if $(shell command -v $(MPICC)),$(B)/saros_mpi.so))
	@:
-include $(patsubst %.o,%.d,$(OBJECTS) $(PROGRAM)) $(C_SPECS:%=%.d) $(wildcard $(B)/bench/*.d)

demo: ## install what is missing, train on TEXT=file for a minute, show what came out
	@$(if $(MAC),false,src/setup.sh build $(if $(TEXT),,text) report) || src/setup.sh build $(if $(TEXT),,text) || \
	  { echo "demo: for another text: make demo TEXT=file"; exit 1; }
	@$(MAKE) -s all $(if $(TEXT),,build/demo.txt)
	@$(B)/saros examples/demo.lua $(or $(TEXT),build/demo.txt)

test: ## install what is missing, run all specs on the float and the double build
	@src/setup.sh build spec mpi $(if $(MAC),,report)
	@$(MAKE) specs REAL=float && $(MAKE) specs REAL=double
	@spec/run.sh -j $(CORES) $(call SUITES,$(ROOT)) $(call SUITES,$(ROOT)/double)

mpi: ## build saros_mpi.so with the MPI of MPICC, for scripts that mpirun starts
	@src/setup.sh build mpi && rm -f $(B)/saros_mpi.so && $(MAKE) -s all $(B)/saros_mpi.so

mpi-test: ## run the specs of many ranks with MPICH and with Open MPI
	@src/setup.sh build spec mpi-all && $(MAKE) -s all $(foreach mpi,mpich openmpi,$(B)/$(mpi)/saros_mpi.so)
	@spec/run.sh $(foreach mpi,mpich openmpi,"LUA_CPATH='$(B)/$(mpi)/?.so;;' MPIRUN=mpirun.$(mpi) $(B)/saros spec/busted.lua spec/ranks_spec.lua" \
	  "LUA_CPATH='$(B)/$(mpi)/?.so;;' MPIRUN=mpirun.$(mpi) $(B)/saros spec/busted.lua spec/ranks_fit_spec.lua")

test-isas: specs ## run the Lua specs with the kernels for older processors, where these differ little, some
	@spec/run.sh -j $(CORES) $(foreach isa,$(filter avx2 baseline,$(ISAS)),$(call ON_ISA,$(wildcard spec/*_spec.lua))) \
	  $(foreach isa,$(filter-out $(firstword $(ISAS)) avx2 baseline,$(ISAS)),$(call ON_ISA,$(DIFFERING:%=spec/%_spec.lua)))

test-arm: ## on x86-64 Debian: compile for ARM64, run specs of arithmetic, files and sessions under emulation
	@src/setup.sh build spec arm
	@if [ -e /usr/lib/$(ARM64)/pkgconfig/openblas.pc ]; then \
	  $(MAKE) specs CROSS=$(ARM64) REAL=float && $(MAKE) specs CROSS=$(ARM64) REAL=double && \
	  OPENBLAS_NUM_THREADS=1 spec/run.sh -j $(CORES) \
	    $(call ARM64_SUITES,build/aarch64,$(ARM64_LUA)) $(call ARM64_SUITES,build/aarch64/double,$(ARM64_DOUBLE)); \
	else echo '0 passed, 0 failed'; fi

bench: ## measure speed and memory, as lines of JSON; BENCH=--help tells what can be chosen
	@src/setup.sh build >&2 && $(MAKE) -s all $(BENCHES) >&2
	@$(B)/saros bench/bench.lua $(BENCH)

bench-peers: ## the same work on PyTorch and ONNX Runtime, by turns, where a python3 (or PYTHON=...) can import them
	@src/setup.sh build >&2 && $(MAKE) -s all $(BENCHES) >&2
	@$(B)/saros bench/peers.lua --python="$(PYTHON)" $(BENCH)

interchange: ## random nets from here in ONNX Runtime, and from PyTorch here, COUNT=500 each, where PYTHON=... can import them
	@src/setup.sh build spec >&2 && $(MAKE) -s all REAL=float >&2 && $(MAKE) -s all REAL=double >&2
	@build/saros spec/interchange/run.lua --python="$(or $(PYTHON),python3)" --count=$(or $(COUNT),500)

bench-ranks: ## measure updates on one rank and on several, in turns; BENCH=--help tells what can be chosen
	@src/setup.sh build mpi >&2 && $(MAKE) -s all $(B)/saros_mpi.so >&2
	@$(B)/saros bench/ranks.lua $(BENCH)

performance: ## measure this processor with both, and make docs/performance.md; BENCH=--quick: in 12 minutes at most
	@src/setup.sh build >&2 && $(MAKE) -s all $(BENCHES) >&2
	@$(B)/saros bench/performance.lua --python="$(PYTHON)" $(BENCH)

real: ## published nets beside their originals: fetch them with pip into build/real, compare, stream, write C files
	@src/setup.sh build text && $(MAKE) -s all build/demo.txt
	@$(B)/saros bench/real.lua $(if $(PYTHON),--python="$(PYTHON)")

check: ## run the specs under the sanitizers, in a browser and for ARM, some of them under valgrind
	@src/setup.sh build spec check arm
	@$(MAKE) specs SANITIZE=1 && $(MAKE) $(THREADED) SANITIZE=thread && $(MAKE) specs SANITIZE=
	@ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 spec/run.sh -j $(CORES) \
	  "$(MAKE) test-arm" "$(MAKE) mpi-test SANITIZE=" $(call SUITES,build/sanitize) \
	  $(THREADED) "$(VALGRIND) build/spec/threads" \
	  $(call LUA_SPECS,$(VALGRIND) $(LEAKS) build/saros,$(shell grep -l '#binding' spec/*_spec.lua),--tags=binding)

lint: ## check the style of Lua and C, and that no compiler warning is left
	@src/setup.sh build lint
	@luacheck -q --no-color . && clang-format --dry-run --Werror $(shell find src bench spec/c examples -name '*.[ch]')
	@$(MAKE) specs STRICT=1 REAL=float && $(MAKE) specs STRICT=1 REAL=double

DEST = $(DESTDIR)$(PREFIX)
# What hosts link and what require loads are links to one file, so a process has one copy.
install: all ## copy the program, the libraries, saros.h and saros/, the Lua module and the examples below PREFIX
	@mkdir -p $(addprefix $(DEST)/,bin include/saros lib/pkgconfig lib/lua/5.4 share/saros/examples/host share/saros/meta)
	@install -m 755 $(B)/saros $(DEST)/bin
	@install -m 644 src/saros.h $(DEST)/include
	@install -m 644 src/saros/*.h $(DEST)/include/saros
	@install -m 644 $(B)/libsaros.a $(DEST)/lib
	@install -m 755 $(B)/$(SHARED) $(DEST)/lib/$(SONAME)
	@$(if $(MAC),install_name_tool -id $(PREFIX)/lib/$(SONAME) $(DEST)/lib/$(SONAME))
	@ln -sf $(SONAME) $(DEST)/lib/$(SHARED)
	@ln -sf ../../$(SONAME) $(DEST)/lib/lua/5.4/saros.so
	@if [ -e $(B)/saros_mpi.so ]; then install -m 755 $(B)/saros_mpi.so $(DEST)/lib/lua/5.4; fi
	@install -m 644 examples/*.lua $(DEST)/share/saros/examples
	@install -m 644 examples/host/*.c $(DEST)/share/saros/examples/host
	@install -m 644 lua/saros/meta/*.lua $(DEST)/share/saros/meta
	@printf '%s\n' 'Name: saros' 'Description: Lua-scriptable recurrent networks' 'Version: $(VERSION)' \
	  'Requires: lua5.4' 'Requires.private: openblas jansson $(MINIZIP)' 'Libs: -L$(PREFIX)/lib -lsaros' \
	  'Libs.private: -lm -lpthread' 'Cflags: -I$(PREFIX)/include$(if $(DOUBLE), -DSAROS_DOUBLE)' > $(DEST)/lib/pkgconfig/saros.pc
	@echo "installed below $(DEST): bin/saros, lib, include, share/saros"
uninstall: ## remove what install copied
	@rm -f $(addprefix $(DEST)/,bin/saros include/saros.h lib/libsaros.a lib/$(SHARED) lib/$(SONAME) lib/lua/5.4/saros.so \
	  lib/lua/5.4/saros_mpi.so \
	  lib/pkgconfig/saros.pc)
	@rm -rf $(addprefix $(DEST)/,share/saros include/saros)
clean: ## remove build/
	@rm -rf build
setup: ## install what building and testing need
	@src/setup.sh build text spec mpi $(if $(MAC),,report)
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile
.PHONY: all specs demo test mpi mpi-test test-isas bench bench-ranks bench-peers interchange performance real check lint install uninstall clean setup help
.DELETE_ON_ERROR:
