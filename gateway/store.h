/* Answers kept in this thread's memory: a table by key, bounded in bytes, least recently used goes
 * first. */
#pragma once

#include <stddef.h>

#include "entry.h"

struct store;

struct store *store_new(size_t bytes);
void store_free(struct store *store);
/* The entry, still the store's: entry_keep it to use it past the next call. NULL: none. */
struct entry *store_get(struct store *store, const uint8_t key[CACHE_KEY]);
/* Takes a reference of its own; gives way to what is there when that is from a later stamp. */
void store_put(struct store *store, struct entry *entry);
/* Forgets this very entry, not a newer one under its key. */
void store_drop(struct store *store, const struct entry *entry);
