# SPDX-License-Identifier: Apache-2.0
#
# make            nvfs, nvinject, nvfs-runtime and nvidia-container-cli in $(BUILD)
# make demo       set up, build, and show a driver tree inside a runc container (root)
# make check      set up, build, unit and end-to-end tests (root)
# make unit       unit tests: no root, no network
# make e2e        end-to-end tests and attacks (root)
# make settings   the same twice more, as on kernels without passthrough and without FUSE_NOTIFY_RESEND (root)
# make fuzz       each fuzz target for FUZZ_SECONDS=60 (clang; FUZZ_ONLY="elf ..." for some): no root
# make bench      ratios against the host's own files and the existing way (root)
# make qemu       tests on older kernels in qemu (root; after tests/deps qemu); KERNEL=5.10, 6.1, 6.12
# make cross      build for aarch64, and run the unit tests for it under qemu's user emulation (root, the first time)
# make bundle     a folder that runs on another glibc 2.34 machine as it is
# make deb        set up, Debian packages in $(BUILD)/deb; their build runs the unit tests (DEB_BUILD_OPTIONS=nocheck: not)
# make install    DESTDIR= PREFIX=/usr/local
# SAN=address,undefined builds with sanitizers, WERROR=1 makes warnings errors, V=1 shows commands.

# CROSS=aarch64-linux-gnu- and SYSROOT=, a root with the libraries for that machine, build for another one.
CC       := $(if $(CROSS),$(CROSS)gcc,$(CC))
AR       := $(if $(CROSS),$(CROSS)ar,$(AR))
SYSROOT_CF = $(if $(SYSROOT),--sysroot=$(SYSROOT))
PKG_CONFIG ?= $(if $(SYSROOT),PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) \
             PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(CROSS:-=)/pkgconfig:$(SYSROOT)/usr/share/pkgconfig) pkg-config
CFLAGS   ?= -O2 -g
PREFIX   ?= /usr/local
BUILD    ?= build$(if $(SAN),-san)
VERSION  := 0.1.0
space    := $(subst ,, )
Q        := $(if $(V),,@)
say       = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
HARDEN   := $(if $(SAN),,-D_FORTIFY_SOURCE=2) -fstack-protector-strong -fPIE
SANITIZE := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
ALL_CF    = $(SYSROOT_CF) -std=gnu11 -D_GNU_SOURCE -DNVFS_VERSION='"$(VERSION)"' -I. $(WARN) \
            $(if $(WERROR),-Werror) $(HARDEN) $(SANITIZE) -ffunction-sections -fdata-sections \
            -ffile-prefix-map=$(CURDIR)=. -MMD -MP $(CFLAGS) $(CPPFLAGS)
ALL_LD    = $(SYSROOT_CF) -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections $(SANITIZE) $(LDFLAGS)
# -pie and -static together give a program that is not PIE; sanitizers refuse -static.
STATIC_LD = $(SYSROOT_CF) $(if $(SAN),-pie,-static-pie) -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections \
            $(SANITIZE) $(LDFLAGS)

# Where the distribution's libfuse is older than 3.14: FUSE_STATIC=PREFIX links libfuse3.a of another one, built with
# meson's -Ddefault_library=static, into nvfs.
FUSE_DIRS  = $(foreach dir,lib lib64 lib/$(shell $(CC) -print-multiarch),$(FUSE_STATIC)/$(dir)/pkgconfig)
FUSE_PKG   = $(if $(FUSE_STATIC),PKG_CONFIG_LIBDIR=$(subst $(space),:,$(FUSE_DIRS)) )$(PKG_CONFIG)
FUSE_CF    = $(shell $(FUSE_PKG) --cflags fuse3)
FUSE_LIBS  = $(patsubst $(if $(FUSE_STATIC),-lfuse3),-l:libfuse3.a,$(shell $(FUSE_PKG) --libs $(if $(FUSE_STATIC),--static) fuse3))
# Units of systemd are told of their containers' devices where libsystemd is to be had: make SYSTEMD= is without.
SYSTEMD   ?= $(shell $(PKG_CONFIG) --exists libsystemd && echo libsystemd)
NVFS_LIBS  = $(FUSE_LIBS) $(shell $(PKG_CONFIG) --libs jansson libelf libcap libseccomp inih $(SYSTEMD)) -pthread
INJECT_LIBS = $(shell $(PKG_CONFIG) $(if $(SAN),,--static) --libs jansson libcap inih)
RUNTIME_LIBS = $(shell $(PKG_CONFIG) --libs jansson inih libelf)
CHECK_LIBS = $(shell $(PKG_CONFIG) --libs check)

NOT_BUILT  = $(if $(SYSTEMD),fs/unitbus-none.c,fs/unitbus.c)
sources   = $(filter-out $(NOT_BUILT),$(sort $(wildcard $(1)/*.c)))
objects   = $(patsubst %.c,$(BUILD)/%.o,$(1))
MAINS    := cli/nvfs.c cli/nvfs-runtime.c cli/dropin.c inject/nvinject.c
LIB_DIRS := common nvml fs inject cli
lib       = $(BUILD)/lib$(1).a

UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(call sources,tests/unit))
FUZZ     := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(call sources,tests/fuzz))
FUZZ_NAMES = $(or $(FUZZ_ONLY),$(patsubst tests/fuzz/fuzz_%.c,%,$(call sources,tests/fuzz)))
FUZZ_SECONDS ?= 60
HELPERS  := $(patsubst tests/helpers/%.c,$(BUILD)/tests/helpers/%,$(call sources,tests/helpers))
E2E      := $(sort $(wildcard tests/e2e/[0-9]*.sh tests/attack/[0-9]*.sh))

.PHONY: all programs tests units cross deps demo demo-only check check-only unit fuzz fuzz-only e2e settings bench qemu \
	bundle deb deb-only install clean compile_commands.json
.DELETE_ON_ERROR:
.SECONDARY: $(UNIT:=.o) $(FUZZ:=.o) $(BUILD)/tests/fuzz/replay/main.o
all: programs
programs: $(BUILD)/nvfs $(BUILD)/nvinject $(BUILD)/nvfs-runtime $(BUILD)/nvidia-container-cli
tests: programs units $(HELPERS)
units: $(UNIT) $(FUZZ)

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CF) $(EXTRA_CF) -c -o $@ $<

$(BUILD)/fs/%.o: EXTRA_CF = $(FUSE_CF)
$(BUILD)/tests/unit/test_hostread.o: EXTRA_CF = $(FUSE_CF)

define archive
$(call lib,$(1)): $(call objects,$(filter-out $(MAINS),$(call sources,$(1))))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $(AR) rcsD $$@ $$^
endef
$(foreach d,$(LIB_DIRS),$(eval $(call archive,$(d))))

$(BUILD)/nvfs: $(BUILD)/cli/nvfs.o $(call lib,cli) $(call lib,fs) $(call lib,nvml) $(call lib,common)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LD) -o $@ $^ $(NVFS_LIBS)

$(BUILD)/nvidia-container-cli: $(BUILD)/cli/dropin.o $(call lib,cli) $(call lib,inject) $(call lib,nvml) $(call lib,common)
	$(call say,LD,$@)
	$(Q)$(CC) $(STATIC_LD) -o $@ $^ $(INJECT_LIBS)

$(BUILD)/nvinject: $(BUILD)/inject/nvinject.o $(call lib,inject) $(call lib,common)
	$(call say,LD,$@)
	$(Q)$(CC) $(STATIC_LD) -o $@ $^ $(INJECT_LIBS)

$(BUILD)/nvfs-runtime: $(BUILD)/cli/nvfs-runtime.o $(call lib,cli) $(call lib,fs) $(call lib,inject) $(call lib,nvml) \
		$(call lib,common)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LD) -o $@ $^ $(RUNTIME_LIBS)

# Every unit test may use every module: the order follows the arrows of the layers.
TEST_ARCHIVES := $(call lib,cli) $(call lib,fs) $(call lib,inject) $(call lib,nvml) $(call lib,common)
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(TEST_ARCHIVES)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LD) -o $@ $^ $(NVFS_LIBS) $(CHECK_LIBS)

# Fuzz targets replay their corpus as a unit test; `make fuzz` links the same objects with a fuzzer.
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay/main.o $(TEST_ARCHIVES)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LD) -o $@ $^ $(NVFS_LIBS)

$(BUILD)/fuzzers/%: $(BUILD)/tests/fuzz/fuzz_%.o $(TEST_ARCHIVES)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LD) -fsanitize=fuzzer -o $@ $^ $(NVFS_LIBS)

# Small programs for the end-to-end tests: each is one file, statically linked where it can be.
$(BUILD)/tests/helpers/%: tests/helpers/%.c
	$(call say,CCLD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SYSROOT_CF) -std=gnu11 -D_GNU_SOURCE -I. $(WARN) $(if $(WERROR),-Werror) $(CFLAGS) -o $@ $< \
		$$(sed -n 's/^.*LINK: //p' $<)
# Those whose LINK names sources of ours are as old as these.
$(BUILD)/tests/helpers/cgroupctl: $(call lib,inject) $(call lib,common)
$(BUILD)/tests/helpers/choosebench: $(call lib,fs) $(call lib,nvml) $(call lib,common)

deps:
	$(Q)tests/deps

# After deps, in a make of its own: pkg-config answers only then.
demo check: deps
	$(Q)$(MAKE) --no-print-directory $@-only
demo-only: programs tests
	$(Q)BUILD=$(abspath $(BUILD)) tests/demo
check-only: tests
	$(Q)BUILD=$(abspath $(BUILD)) tests/run $(UNIT) $(FUZZ) $(E2E)
unit: $(UNIT) $(FUZZ)
	$(Q)BUILD=$(abspath $(BUILD)) tests/run $^
cross:
	$(Q)tests/deps cross
	$(Q)tests/cross
# Everything once more, by clang and instrumented, in a folder of its own.
fuzz:
	$(Q)tests/deps fuzz
	$(Q)$(MAKE) --no-print-directory BUILD=build-fuzz CC=clang SAN=address,undefined \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined' fuzz-only
fuzz-only: $(patsubst %,$(BUILD)/fuzzers/%,$(FUZZ_NAMES))
	$(Q)tests/fuzz/run $(FUZZ_SECONDS) $^
e2e: tests
	$(Q)BUILD=$(abspath $(BUILD)) tests/run $(E2E)
settings: tests
	$(Q)set -e; for without in passthrough passthrough,resend; do echo "without $$without:"; \
		NVFS_DISABLE=$$without BUILD=$(abspath $(BUILD)) tests/run $(E2E); done
bench: tests
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/run
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/starts
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/filesystem
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/firstkernel
qemu: tests
	$(Q)BUILD=$(abspath $(BUILD)) tests/qemu $(or $(KERNEL),all)
bundle: tests
	$(Q)BUILD=$(abspath $(BUILD)) tests/bundle $(BUILD)/bundle

# dpkg looks for debian/ at the top, which has other folders: a copy of the tree has it there. What this make was told
# is not the copy's business.
DEB_TREE  = $(BUILD)/deb/nvfs-$(VERSION)
deb:
	$(Q)tests/deps deb
	$(Q)$(MAKE) --no-print-directory deb-only
deb-only:
	$(Q)rm -rf $(BUILD)/deb && mkdir -p $(DEB_TREE)
	$(Q)cp -a Makefile README.md CHANGELOG.md SECURITY.md LICENSE $(LIB_DIRS) tests contrib $(DEB_TREE)
	$(Q)mv $(DEB_TREE)/contrib/debian $(DEB_TREE)/debian
	$(Q)cd $(DEB_TREE) && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u BUILD dpkg-buildpackage -us -uc -b -j$$(nproc)

install: programs
	install -D -m 0755 $(BUILD)/nvfs $(DESTDIR)$(PREFIX)/bin/nvfs
	install -D -m 0755 $(BUILD)/nvinject $(DESTDIR)$(PREFIX)/bin/nvinject
	install -D -m 0755 $(BUILD)/nvfs-runtime $(DESTDIR)$(PREFIX)/bin/nvfs-runtime
	install -d $(DESTDIR)$(PREFIX)/libexec/nvfs
	ln -sf ../../bin/nvinject $(DESTDIR)$(PREFIX)/libexec/nvfs/nvidia-container-runtime-hook
	install -D -m 0644 cli/nvfs-runtime.8 $(DESTDIR)$(PREFIX)/share/man/man8/nvfs-runtime.8
	install -D -m 0755 $(BUILD)/nvidia-container-cli $(DESTDIR)$(PREFIX)/libexec/nvfs/nvidia-container-cli
	install -D -m 0644 cli/nvidia-container-cli.1 $(DESTDIR)$(PREFIX)/share/man/man1/nvidia-container-cli.1
	install -D -m 0644 cli/PARITY.md $(DESTDIR)$(PREFIX)/share/doc/nvfs/PARITY.md
	install -D -m 0644 cli/nvfs.1 $(DESTDIR)$(PREFIX)/share/man/man1/nvfs.1
	install -D -m 0644 inject/nvinject.1 $(DESTDIR)$(PREFIX)/share/man/man1/nvinject.1
	install -D -m 0644 fs/nvfs.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5/nvfs.conf.5
	install -D -m 0644 contrib/nvfs.conf $(DESTDIR)$(PREFIX)/share/doc/nvfs/examples/nvfs.conf
	install -D -m 0644 contrib/needrestart/nvfs.conf $(DESTDIR)$(PREFIX)/share/doc/nvfs/examples/needrestart/nvfs.conf
	install -D -m 0644 cli/nvfs.7 $(DESTDIR)$(PREFIX)/share/man/man7/nvfs.7
	install -D -m 0644 contrib/70-nvfs.rules $(DESTDIR)$(PREFIX)/share/doc/nvfs/examples/70-nvfs.rules
	install -D -m 0644 contrib/completion/nvfs.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/nvfs
	install -D -m 0644 contrib/completion/_nvfs $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nvfs
	install -D -m 0644 contrib/nvfs.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/nvfs.conf
	install -D -m 0644 contrib/nvfs.catalog $(DESTDIR)$(PREFIX)/lib/systemd/catalog/nvfs.catalog
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in nvfs.service nvfs-rescan.service nvfs-metrics.service nvfs-metrics.timer; do \
		sed 's|/usr/local/bin/|$(PREFIX)/bin/|' contrib/$$unit \
			>$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit; \
	done
	install -D -m 0755 contrib/hook.sh $(DESTDIR)$(PREFIX)/share/doc/nvfs/examples/hook.sh
	for file in docker/daemon.json containerd/config.toml containerd/base-spec.jq podman/90-nvfs.json crio/90-nvfs.conf \
		lxc/nvidia.conf; do \
		install -d $(DESTDIR)$(PREFIX)/share/doc/nvfs/examples/$${file%/*} && \
		sed 's|/usr/local/bin/|$(PREFIX)/bin/|' contrib/$$file >$(DESTDIR)$(PREFIX)/share/doc/nvfs/examples/$$file || exit; \
	done

compile_commands.json:
	$(Q)$(MAKE) -Bnk V=1 tests | awk -v dir='$(CURDIR)' 'BEGIN { print "[" } \
		/ -c -o / { f = $$NF; gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); \
		printf "%s{\"directory\":\"%s\",\"file\":\"%s\",\"command\":\"%s\"}", s, dir, f, $$0; s = ",\n" } \
		END { print "\n]" }' > $@

clean:
	rm -rf build build-san build-fuzz build-aarch64 compile_commands.json

-include $(shell find $(BUILD) -name '*.d' -type f -not -path '*/deb/*' 2>/dev/null)
