// SPDX-License-Identifier: GPL-3.0-only
/* What a libbpf that is linked into the native module takes for `stderr`: see setup.py. */
#include <stdio.h>

__attribute__((visibility("hidden"))) FILE *libbpf_stderr;

__attribute__((constructor)) static void set_stderr(void)
{
	libbpf_stderr = stderr;
}
