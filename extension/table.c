/* Hash tables keyed by the bytes of a fixed-size key. */
#include "postgres.h"

#include "saleshub.h"

HTAB *
sh_table(const char *name, Size key, Size entry, long size, MemoryContext context)
{
	HASHCTL control = { 0 };

	control.keysize = key;
	control.entrysize = entry;
	control.hcxt = context;
	return hash_create(name, size, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}
