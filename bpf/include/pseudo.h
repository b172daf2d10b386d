/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* File systems that are none of storage. Plain C: the CO-RE programs and those for bcc have it in common. */
#ifndef PERFLENS_PSEUDO_H
#define PERFLENS_PSEUDO_H

/* Magic numbers of include/uapi/linux/magic.h and of the file systems' own sources: no storage behind these. */
static __always_inline bool is_pseudo(__u32 magic)
{
	switch (magic) {
	case 0x00009fa0: /* proc */
	case 0x62656572: /* sysfs */
	case 0x74726163: /* tracefs */
	case 0x64626720: /* debugfs */
	case 0x0027e0eb: /* cgroup */
	case 0x63677270: /* cgroup2 */
	case 0x73636673: /* securityfs */
	case 0xf97cff8c: /* selinuxfs */
	case 0x43415d53: /* smackfs */
	case 0x6165676c: /* pstore */
	case 0xde5e81e4: /* efivarfs */
	case 0x62656570: /* configfs */
	case 0xcafe4a11: /* bpf */
	case 0x00001cd1: /* devpts */
	case 0x6e736673: /* nsfs */
	case 0x50494446: /* pidfs */
	case 0x534f434b: /* sockfs */
	case 0x50495045: /* pipefs */
	case 0x19800202: /* mqueue */
	case 0x6c6f6f70: /* binder */
	case 0x65735543: /* fusectl */
	case 0x67596969: /* rpc_pipefs */
	case 0x6e667364: /* nfsd */
	case 0x42494e4d: /* binfmt_misc */
	case 0x00000187: /* autofs */
	case 0x07655821: /* resctrl */
	case 0x00009fa2: /* usbdevfs */
	case 0x0a647361: /* functionfs */
	case 0x444d4142: /* dma-buf */
	case 0x454d444d: /* devmem */
	case 0x09041934: /* anon_inode */
	case 0xabba1974: /* xenfs */
		return true;
	default:
		return false;
	}
}

#endif
