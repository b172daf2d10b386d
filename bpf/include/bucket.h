/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which bucket a duration falls into. Plain C: the CO-RE programs and those for bcc have it in common. */
#ifndef PERFLENS_BUCKET_H
#define PERFLENS_BUCKET_H

/*
 * bounds[0] is 2^-20 s (the native zero bucket), then four buckets an octave up to 2^12 s: native schema 2.
 * bounds[i] = floor(10^9 * 2^((i - 80) / 4)) ns, upper-inclusive; the agent writes the table.
 */
#define BUCKETS 129
#define BOUNDS (BUCKETS + 3) /* three more, which a masked index may reach */

/* 1 when value > bound, for values below 2^63: without a branch, which neither the CPU nor the verifier has to follow. */
static __always_inline __u32 above(__u64 value, __u64 bound)
{
	return (bound - value) >> 63;
}

static __always_inline __u32 floor_log2(__u64 value)
{
	__u32 log = above(value, 0xffffffff) << 5, step;

	value >>= log;
	step = above(value, 0xffff) << 4;
	value >>= step, log |= step;
	step = above(value, 0xff) << 3;
	value >>= step, log |= step;
	step = above(value, 0xf) << 2;
	value >>= step, log |= step;
	step = above(value, 3) << 1;
	value >>= step, log |= step;
	return log | above(value, 1);
}

/*
 * The first bucket whose bound is not below `ns`; BUCKETS when there is none.
 * 2^e ns lies above bounds[4e - 40] and 2^(e+1) ns not above bounds[4e - 35], so four compares end the search.
 */
static __always_inline __u32 bucket_in(const volatile __u64 *bounds, __u64 ns)
{
	__u32 octave, at;

	if (ns < 1024)
		return above(ns, bounds[0]);
	if (ns > bounds[BUCKETS - 1])
		return BUCKETS;
	octave = floor_log2(ns);
	at = (4 * octave - 39) & 127; /* 1 to 125; the mask is for the verifier */
	return at + above(ns, bounds[at]) + above(ns, bounds[at + 1]) + above(ns, bounds[at + 2]) + above(ns, bounds[at + 3]);
}

#endif
