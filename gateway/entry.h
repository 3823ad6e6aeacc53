/*
 * A cached answer at rest: the blob that goes to Redis and comes back, perhaps years later, cut,
 * altered or somebody else's. Only what carries our keyed checksum over its own key is read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache.h"

enum
{
	ENTRY_SECRET = 32,
	ENTRY_MAC = 16
};

/* One allocation, shared by reference count within a thread; immutable. */
struct entry
{
	int references;
	uint8_t key[CACHE_KEY];
	struct cache_entry view; /* points into blob and slots */
	uint32_t *slots;
	size_t blob_len;
	char blob[];
};

/* A new entry with one reference; NULL when it may not be stored (too large, too many slots, no
 * stamp). */
struct entry *entry_make(const uint8_t secret[ENTRY_SECRET], const uint8_t key[CACHE_KEY],
						 const struct cache_entry *from);
/* The entry in a blob, or NULL unless it is whole, ours and stored under this key. */
struct entry *entry_read(const uint8_t secret[ENTRY_SECRET], const uint8_t key[CACHE_KEY],
						 const char *blob, size_t len);
void entry_keep(struct entry *entry);
void entry_release(struct entry *entry);
/* Memory it holds. */
size_t entry_size(const struct entry *entry);
