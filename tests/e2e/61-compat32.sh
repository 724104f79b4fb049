#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# compat32: 32-bit libraries in lib32 and in the merged cache. A 32-bit program without a libc asks the
# kernel for everything that has 32 bits too few when numbers grow: stat(), getdents(), offsets. One with
# glibc loads a library as any program does.
set -eu
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

[ "$(uname -m)" = x86_64 ] || skip_all "no 32-bit programs on $(uname -m)"
command -v runc >/dev/null || skip_all "no runc"
TREE=/usr/local/nvidia

# Kernel calls by int 0x80, whatever libraries the machine has: LIST DIR prints each name with its size;
# a call that fails ends it with the errno.
build_raw()
{
	cat >"$SCRATCH/raw.c" <<-'END'
		typedef unsigned int u32;
		typedef unsigned long long u64;
		struct old_stat { /* arch/x86/include/uapi/asm/stat.h, i386 */
			u32 dev, ino; unsigned short mode, nlink, uid, gid; u32 rdev, size, rest[14];
		};
		struct old_dirent { u32 ino, off; unsigned short len; char name[]; };
		static long call(long n, long a, long b, long c)
		{
			long r;
			__asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
			return r;
		}
		static u32 length(const char *s) { u32 n = 0; while (s[n]) n++; return n; }
		static void put(const char *s) { call(4, 1, (long)s, length(s)); }
		static void put_number(u32 n)
		{
			char buf[12]; int at = 11;
			buf[at] = 0;
			do buf[--at] = '0' + n % 10; while (n /= 10);
			put(buf + at);
		}
		static void end(const char *what, long r)
		{
			put(what); put(" errno "); put_number(-r); put("\n");
			call(1, 1, 0, 0);
		}
		static void show(const char *name)
		{
			u32 st64[32];
			struct old_stat st;
			long r = call(195, (long)name, (long)st64, 0); /* stat64 */
			if (r < 0) end("stat64", r);
			if (st64[0x58 / 4 + 1]) end("st_ino of 64 bits", -75);
			r = call(106, (long)name, (long)&st, 0); /* stat, which refuses what does not fit */
			if (r < 0) end("stat", r);
			put(name); put(" "); put_number(st.size); put("\n");
		}
		void list(char **argv)
		{
			static char buf[512]; /* small: the directory is read in several calls, by offset */
			long fd, n;
			if (call(12, (long)argv[1], 0, 0) < 0) end("chdir", -2);
			fd = call(5, (long)".", 0200000, 0);
			if (fd < 0) end("open", fd);
			while ((n = call(141, fd, (long)buf, sizeof(buf))) > 0) /* getdents */
				for (long at = 0; at < n;) {
					struct old_dirent *d = (void *)(buf + at);
					if (d->name[0] != '.') show(d->name);
					at += d->len;
				}
			if (n < 0) end("getdents", n);
			call(1, 0, 0, 0);
		}
		__asm__(".globl _start\n_start: mov %esp, %eax\nadd $4, %eax\nand $-16, %esp\nsub $12, %esp\npush %eax\ncall list\n");
	END
	cc -m32 -O1 -w -nostdlib -static -fno-pie -no-pie -fno-stack-protector -fno-builtin -o "$SCRATCH/raw" "$SCRATCH/raw.c"
}

# The libc of 32 bits, without its headers' package: one of them is empty for us.
build_dynamic()
{
	mkdir -p "$SCRATCH/include/gnu"
	: >"$SCRATCH/include/gnu/stubs-32.h"
	cat >"$SCRATCH/dynamic.c" <<-'END'
		#include <dirent.h>
		#include <dlfcn.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <sys/stat.h>
		int start(char **argv)
		{
			void *library = dlopen(argv[2], RTLD_NOW);
			const char *(*soname)(void) = library ? dlsym(library, "sample_soname") : 0;
			DIR *dir = opendir(argv[1]);
			int n = 0;
			struct stat st;
			struct dirent *entry;
			char path[512];

			if (!soname) { puts(dlerror()); exit(1); }
			while (dir && (entry = readdir(dir))) {
				snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
				if (stat(path, &st) < 0) { perror(path); exit(1); }
				n++;
			}
			printf("%s %d bits, %d names\n", soname(), (int)sizeof(void *) * 8, n);
			exit(0);
		}
		__asm__(".globl _start\n_start: mov %esp, %eax\nadd $4, %eax\nand $-16, %esp\nsub $12, %esp\npush %eax\ncall start\n");
	END
	cc -m32 -O1 -w -nostdlib -fno-pie -no-pie -fno-stack-protector -I"$SCRATCH/include" \
		-idirafter "/usr/include/$(cc -dumpmachine)" -o "$SCRATCH/dynamic" \
		"$SCRATCH/dynamic.c" "$LIBC32" -Wl,--dynamic-linker=/lib/ld-linux.so.2
}

# install_libc ROOT: where that loader looks for it without any cache
install_libc()
{
	mkdir -p "$1/usr/lib32"
	[ -e "$1/lib32" ] || ln -s usr/lib32 "$1/lib32"
	cp -L "$LIBC32" "$1/usr/lib32/libc.so.6"
	cp -L /lib/ld-linux.so.2 "$1/lib/ld-linux.so.2"
	cp "$SCRATCH/dynamic" "$1/usr/local/bin/dynamic32"
}

entries_of()
{
	in_container "$1" ldconfig -p | grep -F "$TREE/" || true
}

host_snapshot
SAMPLE_COMPAT32=yes use_sample_driver
build_raw
RUNS_32=yes
"$SCRATCH/raw" "$SCRATCH" >/dev/null 2>"$SCRATCH/raw.log" || ! grep -q 'Exec format' "$SCRATCH/raw.log" || RUNS_32=no
LIBC32=/lib32/libc.so.6
start_daemon --config "$CONFIG"

make_rootfs glibc
cp "$SCRATCH/raw" "$ROOTFS/usr/local/bin/raw32"
if [ -e "$LIBC32" ]; then
	build_dynamic
	install_libc "$ROOTFS"
fi
run_container one "$ROOTFS"
ok "inject with compat32" nvinject --pid "$PID" --id one --devices all \
	--driver-capabilities compute,utility,compat32
if [ "$RUNS_32" = yes ]; then
	try in_container one raw32 $TREE/lib32
	is "a 32-bit program lists and stats lib32" "$STATUS" 0
	like "and sees the library" "$OUT" "libcuda.so.999.10.01 [1-9]"
	for dir in lib64 bin proc/driver/nvidia .nvfs etc; do
		ok "and $dir" in_container one raw32 $TREE/$dir
	done
else
	skip "a 32-bit program lists and stats lib32" "this kernel runs no 32-bit programs"
fi
like "the cache has the library for 32 bits" "$(entries_of one)" \
	"libcuda.so.1 \(libc6\) => $TREE/lib32/libcuda.so.1"
like "and the one for 64 bits" "$(entries_of one)" "libcuda.so.1 \(libc6,x86-64\) => $TREE/lib64/libcuda.so.1"
# It calls a library that needs no libc, as the sample's do, plain ELF.
like "a later ldconfig keeps both" "$(in_container one sh -c 'ldconfig && ldconfig -p')" \
	"libcuda.so.1 \((libc6|ELF)\) => $TREE/lib32/libcuda.so.1"
if [ "$RUNS_32" = no ]; then
	skip "a 32-bit program with glibc" "this kernel runs no 32-bit programs"
elif [ -e "$LIBC32" ]; then
	try in_container one dynamic32 $TREE/lib32 libcuda.so.1
	like "a 32-bit program loads the library of its kind" "$OUT" '^libcuda.so.1 32 bits, [1-9]'
	try in_container one dynamic32 $TREE/lib64 libnvidia-opencl.so.1
	like "and reads the other directory" "$OUT" '^libnvidia-opencl.so.1 32 bits, [1-9]'
else
	skip "a 32-bit program with glibc" "no 32-bit libc; run tests/deps"
fi
ok "remove" nvinject --remove --id one
unlike "takes the entries back" "$(entries_of one)" lib32
kill_container one

make_rootfs glibc two
run_container two "$ROOTFS"
ok "inject without compat32" nvinject --pid "$PID" --id two --devices all --driver-capabilities compute,utility
ok "there is no lib32" in_container two test ! -e $TREE/lib32
unlike "nor an entry in the cache" "$(entries_of two)" lib32
kill_container two

stop_daemon
host_compare
done_testing
