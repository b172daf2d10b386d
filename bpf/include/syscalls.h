/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The system calls of the file family: number, the kernel's function behind it, and how it names its files. Numbers are an ABI:
 * arch/x86/entry/syscalls/, include/uapi/asm-generic/unistd.h, arch/arm/tools/syscall.tbl. Those of 32-bit callers are a list of
 * their own; of this family no number is in both.
 */
#ifndef PERFLENS_SYSCALLS_H
#define PERFLENS_SYSCALLS_H

/* 0 is no call of this family. */
enum file_form {
	FORM_NONE,
	FORM_READ,
	FORM_WRITE,
	FORM_FSYNC,
	FORM_SYNC_RANGE,
	FORM_COPY_FIRST_TO_THIRD,
	FORM_COPY_SECOND_TO_FIRST,
};

#define SYSCALLS_MAX 512
#define COMPAT 0x80 /* the number is of the 32-bit table */

#if defined(__TARGET_ARCH_x86)

#define FIRST_SYSCALL "__x64_sys_read"

#define EACH_SYSCALL(X)                                                                                                          \
	X(0, __x64_sys_read, FORM_READ)                                                                                          \
	X(17, __x64_sys_pread64, FORM_READ)                                                                                      \
	X(19, __x64_sys_readv, FORM_READ)                                                                                        \
	X(295, __x64_sys_preadv, FORM_READ)                                                                                      \
	X(327, __x64_sys_preadv2, FORM_READ)                                                                                     \
	X(1, __x64_sys_write, FORM_WRITE)                                                                                        \
	X(18, __x64_sys_pwrite64, FORM_WRITE)                                                                                    \
	X(20, __x64_sys_writev, FORM_WRITE)                                                                                      \
	X(296, __x64_sys_pwritev, FORM_WRITE)                                                                                    \
	X(328, __x64_sys_pwritev2, FORM_WRITE)                                                                                   \
	X(74, __x64_sys_fsync, FORM_FSYNC)                                                                                       \
	X(75, __x64_sys_fdatasync, FORM_FSYNC)                                                                                   \
	X(277, __x64_sys_sync_file_range, FORM_SYNC_RANGE)                                                                       \
	X(275, __x64_sys_splice, FORM_COPY_FIRST_TO_THIRD)                                                                       \
	X(40, __x64_sys_sendfile64, FORM_COPY_SECOND_TO_FIRST)

#define EACH_COMPAT_SYSCALL(X)                                                                                                   \
	X(3, __ia32_sys_read, FORM_READ)                                                                                         \
	X(180, __ia32_sys_ia32_pread64, FORM_READ)                                                                               \
	X(145, __ia32_sys_readv, FORM_READ)                                                                                      \
	X(333, __ia32_compat_sys_preadv, FORM_READ)                                                                              \
	X(378, __ia32_compat_sys_preadv2, FORM_READ)                                                                             \
	X(4, __ia32_sys_write, FORM_WRITE)                                                                                       \
	X(181, __ia32_sys_ia32_pwrite64, FORM_WRITE)                                                                             \
	X(146, __ia32_sys_writev, FORM_WRITE)                                                                                    \
	X(334, __ia32_compat_sys_pwritev, FORM_WRITE)                                                                            \
	X(379, __ia32_compat_sys_pwritev2, FORM_WRITE)                                                                           \
	X(118, __ia32_sys_fsync, FORM_FSYNC)                                                                                     \
	X(148, __ia32_sys_fdatasync, FORM_FSYNC)                                                                                 \
	X(314, __ia32_sys_ia32_sync_file_range, FORM_SYNC_RANGE)                                                                 \
	X(313, __ia32_sys_splice, FORM_COPY_FIRST_TO_THIRD)                                                                      \
	X(187, __ia32_compat_sys_sendfile, FORM_COPY_SECOND_TO_FIRST)                                                            \
	X(239, __ia32_compat_sys_sendfile64, FORM_COPY_SECOND_TO_FIRST)

/* Beside the function kernel/sys_ni.c has one for kernels without it, of another prototype in BTF. */
#define EACH_CONDITIONAL_SYSCALL(X) X(326, __x64_sys_copy_file_range, FORM_COPY_FIRST_TO_THIRD)
#define EACH_CONDITIONAL_COMPAT_SYSCALL(X) X(377, __ia32_sys_copy_file_range, FORM_COPY_FIRST_TO_THIRD)

#define EACH_COMPAT_SYSCALL_OF_64_BIT(X)

#elif defined(__TARGET_ARCH_arm64)

#define FIRST_SYSCALL "__arm64_sys_read"

#define EACH_SYSCALL(X)                                                                                                          \
	X(63, __arm64_sys_read, FORM_READ)                                                                                       \
	X(67, __arm64_sys_pread64, FORM_READ)                                                                                    \
	X(65, __arm64_sys_readv, FORM_READ)                                                                                      \
	X(69, __arm64_sys_preadv, FORM_READ)                                                                                     \
	X(286, __arm64_sys_preadv2, FORM_READ)                                                                                   \
	X(64, __arm64_sys_write, FORM_WRITE)                                                                                     \
	X(68, __arm64_sys_pwrite64, FORM_WRITE)                                                                                  \
	X(66, __arm64_sys_writev, FORM_WRITE)                                                                                    \
	X(70, __arm64_sys_pwritev, FORM_WRITE)                                                                                   \
	X(287, __arm64_sys_pwritev2, FORM_WRITE)                                                                                 \
	X(82, __arm64_sys_fsync, FORM_FSYNC)                                                                                     \
	X(83, __arm64_sys_fdatasync, FORM_FSYNC)                                                                                 \
	X(84, __arm64_sys_sync_file_range, FORM_SYNC_RANGE)                                                                      \
	X(76, __arm64_sys_splice, FORM_COPY_FIRST_TO_THIRD)                                                                      \
	X(71, __arm64_sys_sendfile64, FORM_COPY_SECOND_TO_FIRST)

#define EACH_CONDITIONAL_SYSCALL(X) X(285, __arm64_sys_copy_file_range, FORM_COPY_FIRST_TO_THIRD)
#define EACH_CONDITIONAL_COMPAT_SYSCALL(X)

#define EACH_COMPAT_SYSCALL(X)                                                                                                   \
	X(180, __arm64_compat_sys_aarch32_pread64, FORM_READ)                                                                    \
	X(361, __arm64_compat_sys_preadv, FORM_READ)                                                                             \
	X(392, __arm64_compat_sys_preadv2, FORM_READ)                                                                            \
	X(181, __arm64_compat_sys_aarch32_pwrite64, FORM_WRITE)                                                                  \
	X(362, __arm64_compat_sys_pwritev, FORM_WRITE)                                                                           \
	X(393, __arm64_compat_sys_pwritev2, FORM_WRITE)                                                                          \
	X(341, __arm64_compat_sys_aarch32_sync_file_range2, FORM_SYNC_RANGE)                                                     \
	X(187, __arm64_compat_sys_sendfile, FORM_COPY_SECOND_TO_FIRST)                                                           \
	X(239, __arm64_compat_sys_sendfile64, FORM_COPY_SECOND_TO_FIRST)

/* Those whose arguments need no translation share the functions of 64-bit callers. */
#define EACH_COMPAT_SYSCALL_OF_64_BIT(X)                                                                                         \
	X(3, __arm64_sys_read, FORM_READ)                                                                                        \
	X(145, __arm64_sys_readv, FORM_READ)                                                                                     \
	X(4, __arm64_sys_write, FORM_WRITE)                                                                                      \
	X(146, __arm64_sys_writev, FORM_WRITE)                                                                                   \
	X(118, __arm64_sys_fsync, FORM_FSYNC)                                                                                    \
	X(148, __arm64_sys_fdatasync, FORM_FSYNC)                                                                                \
	X(391, __arm64_sys_copy_file_range, FORM_COPY_FIRST_TO_THIRD)                                                            \
	X(340, __arm64_sys_splice, FORM_COPY_FIRST_TO_THIRD)

#endif

#endif
