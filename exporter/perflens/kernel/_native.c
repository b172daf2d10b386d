// SPDX-License-Identifier: GPL-3.0-only
/*
 * The three loops that must be fast, over memory that the agent shares with its BPF programs: harvest of the histogram
 * cells, scan of the operation slots, drain of the event ring. They translate and add; what it means is decided in Python.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Buffers of one call, released together. */
typedef struct {
	Py_buffer view[5];
	int used;
} Buffers;

static void *buffer(Buffers *all, PyObject *object, bool writable)
{
	Py_buffer *view = &all->view[all->used];

	if (PyObject_GetBuffer(object, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE))
		return NULL;
	all->used++;
	return view->buf;
}

static Py_ssize_t length(const Buffers *all, int index)
{
	return all->view[index].len;
}

static PyObject *release(Buffers *all, PyObject *result)
{
	while (all->used)
		PyBuffer_Release(&all->view[--all->used]);
	return result;
}

static PyObject *refuse(Buffers *all, const char *why)
{
	PyErr_SetString(PyExc_ValueError, why);
	return release(all, NULL);
}

/* Take what a word has counted since the last harvest; a word that is 0 is not written. */
#define TAKE(type, base, offset)                                                                                                 \
	(__atomic_load_n((type *)((base) + (offset)), __ATOMIC_RELAXED)                                                             \
		 ? __atomic_exchange_n((type *)((base) + (offset)), 0, __ATOMIC_RELAXED)                                            \
		 : 0)

typedef struct {
	Py_ssize_t cell_size, bucket_offset, buckets, sum_offset, slow_offset, slow_sum_offset, wait_offset, waits, shards, key_size,
		state_offset;
} CellLayout;

/* A histogram row: count, sum, every bucket, then one count an octave (the classic buckets, four of ours each). */
#define ROW_HEAD 2
/* A slow row: count, sum, then the time off the CPU by reason, of all operations. */
#define SLOW_HEAD 2

static void take_cell(const CellLayout *l, char *shard, uint64_t *row, uint64_t *slow)
{
	uint64_t *buckets = row + ROW_HEAD, *octaves = buckets + l->buckets;

	for (Py_ssize_t i = 0; i < l->buckets; i++) {
		uint32_t taken = TAKE(uint32_t, shard, l->bucket_offset + 4 * i);

		if (taken) {
			row[0] += taken;
			buckets[i] += taken;
			octaves[(i + 3) / 4] += taken;
		}
	}
	row[1] += TAKE(uint64_t, shard, l->sum_offset);
	slow[0] += TAKE(uint32_t, shard, l->slow_offset);
	slow[1] += TAKE(uint64_t, shard, l->slow_sum_offset);
	for (Py_ssize_t i = 0; i < l->waits; i++)
		slow[SLOW_HEAD + i] += TAKE(uint64_t, shard, l->wait_offset + 8 * i);
}

static bool fits(Py_ssize_t offset, Py_ssize_t size, Py_ssize_t whole)
{
	return offset >= 0 && offset <= whole - size;
}

static bool is_sound(const CellLayout *l)
{
	return l->cell_size > 0 && l->key_size > 0 && l->shards > 0 && l->buckets > 0 && l->buckets <= l->cell_size / 4 &&
	       fits(l->bucket_offset, 4 * l->buckets, l->cell_size) && fits(l->sum_offset, 8, l->cell_size) &&
	       fits(l->slow_offset, 4, l->cell_size) && fits(l->slow_sum_offset, 8, l->cell_size) && l->waits >= 0 &&
	       l->waits <= l->cell_size / 8 && fits(l->wait_offset, 8 * l->waits, l->cell_size) && fits(l->state_offset, 4, l->key_size);
}

static PyObject *harvest(PyObject *module, PyObject *args)
{
	PyObject *cells_object, *keys_object, *bindings_object, *rows_object, *slow_object, *unbound = NULL;
	Buffers b = {.used = 0};
	CellLayout l;
	Py_ssize_t capacity, row_length, row_count, slow_length, slow_count, found = 0;
	int32_t *list = NULL;
	bool bad = false;

	(void)module;
	if (!PyArg_ParseTuple(args, "OOOOO(nnnnnnnnnnn)", &cells_object, &keys_object, &bindings_object, &rows_object, &slow_object, &l.cell_size,
			      &l.bucket_offset, &l.buckets, &l.sum_offset, &l.slow_offset, &l.slow_sum_offset, &l.wait_offset, &l.waits,
			      &l.shards, &l.key_size, &l.state_offset))
		return NULL;
	char *cells = buffer(&b, cells_object, true);
	const char *keys = cells ? buffer(&b, keys_object, false) : NULL;
	const int32_t *bindings = keys ? buffer(&b, bindings_object, false) : NULL;
	uint64_t *rows = bindings ? buffer(&b, rows_object, true) : NULL;
	uint64_t *slow = rows ? buffer(&b, slow_object, true) : NULL;

	if (!slow)
		return release(&b, NULL);
	if (!is_sound(&l))
		return refuse(&b, "the layout of a cell is not sound");
	capacity = length(&b, 1) / l.key_size;
	row_length = ROW_HEAD + l.buckets + (l.buckets + 3) / 4;
	row_count = length(&b, 3) / 8 / row_length;
	slow_length = SLOW_HEAD + l.waits;
	slow_count = length(&b, 4) / 8 / slow_length;
	if (length(&b, 0) < capacity * l.shards * l.cell_size || length(&b, 2) < capacity * 8)
		return refuse(&b, "the cells or the bindings are shorter than the keys");
	list = PyMem_Malloc((size_t)capacity * sizeof(*list) + 1);
	if (!list) {
		release(&b, NULL);
		return PyErr_NoMemory();
	}
	Py_BEGIN_ALLOW_THREADS
	for (Py_ssize_t i = 0; i < capacity; i++) {
		int32_t row = bindings[2 * i], slow_row = bindings[2 * i + 1];

		if (!__atomic_load_n((const uint32_t *)(keys + i * l.key_size + l.state_offset), __ATOMIC_ACQUIRE))
			continue;
		if (row < 0) {
			list[found++] = (int32_t)i;
			continue;
		}
		if (row >= row_count || slow_row < 0 || slow_row >= slow_count) {
			bad = true;
			break;
		}
		for (Py_ssize_t shard = 0; shard < l.shards; shard++)
			take_cell(&l, cells + (i * l.shards + shard) * l.cell_size, rows + row * row_length, slow + slow_row * slow_length);
	}
	Py_END_ALLOW_THREADS
	if (bad)
		PyErr_SetString(PyExc_IndexError, "a cell is bound to a row that does not exist");
	else
		unbound = PyList_New(found);
	for (Py_ssize_t i = 0; unbound && i < found; i++)
		PyList_SetItem(unbound, i, PyLong_FromLong(list[i]));
	PyMem_Free(list);
	return release(&b, unbound);
}

/* At most this many slots are listed by one scan; the next scan lists the others. */
#define SCAN_LIST 1024

static PyObject *scan(PyObject *module, PyObject *args)
{
	PyObject *slots_object, *listed;
	Buffers b = {.used = 0};
	Py_ssize_t size, start_offset, tid_offset, begun_offset, in_flight = 0, found = 0, unlisted = 0;
	unsigned long long before, begun = 0;
	struct {
		uint64_t start;
		uint32_t tid;
		Py_ssize_t offset;
	} list[SCAN_LIST];

	(void)module;
	if (!PyArg_ParseTuple(args, "O(nnnn)K", &slots_object, &size, &start_offset, &tid_offset, &begun_offset, &before))
		return NULL;
	const char *slots = buffer(&b, slots_object, false);

	if (!slots)
		return NULL;
	if (size <= 0 || !fits(start_offset, 8, size) || !fits(tid_offset, 4, size) || !fits(begun_offset, 8, size))
		return refuse(&b, "the layout of a slot is not sound");
	Py_BEGIN_ALLOW_THREADS
	for (Py_ssize_t at = 0; at + size <= length(&b, 0); at += size) {
		uint64_t start = __atomic_load_n((const uint64_t *)(slots + at + start_offset), __ATOMIC_ACQUIRE);

		begun += __atomic_load_n((const uint64_t *)(slots + at + begun_offset), __ATOMIC_RELAXED);
		if (!start)
			continue;
		in_flight++;
		if (start < before && found == SCAN_LIST) {
			unlisted++;
		} else if (start < before) {
			list[found].start = start;
			list[found].tid = *(const uint32_t *)(slots + at + tid_offset);
			list[found++].offset = at + start_offset;
		}
	}
	Py_END_ALLOW_THREADS
	listed = PyList_New(found);
	for (Py_ssize_t i = 0; listed && i < found; i++)
		PyList_SetItem(listed, i, Py_BuildValue("(nKI)", list[i].offset, (unsigned long long)list[i].start, list[i].tid));
	release(&b, NULL);
	return listed ? Py_BuildValue("(nKnN)", in_flight, begun, unlisted, listed) : NULL;
}

/*
 * Clear the start at `offset` if it still holds `expected`, and withdraw the operation's claim if slots are shared (else there is none):
 * how the slot of a thread that is gone is given back. The claim goes last: until then nobody else takes the slot.
 */
static PyObject *reclaim(PyObject *module, PyObject *args)
{
	PyObject *slots_object;
	Buffers b = {.used = 0};
	Py_ssize_t offset, claims_offset;
	unsigned long long value;

	(void)module;
	if (!PyArg_ParseTuple(args, "OnnK", &slots_object, &offset, &claims_offset, &value))
		return NULL;
	char *slots = buffer(&b, slots_object, true);
	uint64_t expected = value;

	if (!slots)
		return NULL;
	if (offset % 8 || !fits(offset, 8, length(&b, 0)) || claims_offset % 4 || !fits(claims_offset, 4, length(&b, 0)))
		return refuse(&b, "the offset is outside of the slots");
	bool cleared = __atomic_compare_exchange_n((uint64_t *)(slots + offset), &expected, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	uint32_t *claims = (uint32_t *)(slots + claims_offset);

	if (cleared && __atomic_load_n(claims, __ATOMIC_RELAXED))
		__atomic_fetch_sub(claims, 1, __ATOMIC_RELEASE);
	return release(&b, PyBool_FromLong(cleared));
}

/* Record header of Documentation/bpf/ringbuf.rst: u32 length with two flag bits, u32 page offset. */
#define RING_BUSY (1u << 31)
#define RING_DISCARD (1u << 30)
#define RING_HEADER 8

/*
 * Move finished records into `out`, each as u32 length, u32 0, then the payload padded to 8 bytes, until the ring is empty
 * or the next one does not fit. Returns (records, bytes used, bytes still in the ring).
 */
static PyObject *drain(PyObject *module, PyObject *args)
{
	PyObject *consumer_object, *producer_object, *out_object;
	Buffers b = {.used = 0};
	Py_ssize_t page, used = 0, records = 0;
	uint64_t position, end;

	(void)module;
	if (!PyArg_ParseTuple(args, "OOOn", &consumer_object, &producer_object, &out_object, &page))
		return NULL;
	uint64_t *consumer = buffer(&b, consumer_object, true);
	const char *producer = consumer ? buffer(&b, producer_object, false) : NULL;
	char *out = producer ? buffer(&b, out_object, true) : NULL;

	if (!out)
		return release(&b, NULL);
	Py_ssize_t size = (length(&b, 1) - page) / 2; /* the data pages are mapped twice, so that no record wraps */

	if (page <= 0 || size <= 0 || size & (size - 1) || length(&b, 0) < 8)
		return refuse(&b, "the ring's pages are not mapped as the kernel lays them out");
	Py_BEGIN_ALLOW_THREADS
	position = __atomic_load_n(consumer, __ATOMIC_RELAXED);
	end = __atomic_load_n((const uint64_t *)producer, __ATOMIC_ACQUIRE);
	while (position < end) {
		const char *record = producer + page + (position & (uint64_t)(size - 1));
		uint32_t head = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE), bytes = head & ~(RING_BUSY | RING_DISCARD);
		Py_ssize_t padded = RING_HEADER + (((Py_ssize_t)bytes + 7) & ~(Py_ssize_t)7);

		if (head & RING_BUSY)
			break;
		if (!(head & RING_DISCARD)) {
			if (used + padded > length(&b, 2))
				break;
			memcpy(out + used + RING_HEADER, record + RING_HEADER, padded - RING_HEADER);
			((uint32_t *)(out + used))[0] = bytes;
			((uint32_t *)(out + used))[1] = 0;
			used += padded;
			records++;
		}
		position += padded;
	}
	__atomic_store_n(consumer, position, __ATOMIC_RELEASE);
	Py_END_ALLOW_THREADS
	release(&b, NULL);
	return Py_BuildValue("(nnK)", records, used, (unsigned long long)(end - position));
}

static PyMethodDef methods[] = {
	{"harvest", harvest, METH_VARARGS, NULL},
	{"scan", scan, METH_VARARGS, NULL},
	{"reclaim", reclaim, METH_VARARGS, NULL},
	{"drain", drain, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&definition);
}
