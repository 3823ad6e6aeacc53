#include <stdlib.h>
#include <string.h>

#include <h2o.h>

#include "store.h"

struct node
{
	struct node *chain;
	h2o_linklist_t age;
	struct entry *entry;
};

struct store
{
	size_t limit, bytes;
	size_t mask;
	h2o_linklist_t newest_first;
	struct node *buckets[];
};

/* Keys are digests: any of their bytes are as good as a hash. */
static struct node **
find(struct store *store, const uint8_t key[CACHE_KEY])
{
	size_t hash;

	memcpy(&hash, key, sizeof hash);
	struct node **at = &store->buckets[hash & store->mask];
	while (*at && memcmp((*at)->entry->key, key, CACHE_KEY) != 0)
		at = &(*at)->chain;
	return at;
}

static void
drop(struct store *store, struct node **at)
{
	struct node *node = *at;

	*at = node->chain;
	h2o_linklist_unlink(&node->age);
	store->bytes -= entry_size(node->entry) + sizeof *node;
	entry_release(node->entry);
	free(node);
}

static bool
is_later(const struct entry *a, const struct entry *b)
{
	return a->view.stamp.boot == b->view.stamp.boot && a->view.stamp.asof > b->view.stamp.asof;
}

struct store *
store_new(size_t bytes)
{
	size_t buckets = 256;

	while (buckets * 2048 < bytes && buckets < 1u << 20)
		buckets *= 2;
	struct store *store = h2o_mem_alloc(sizeof *store + buckets * sizeof *store->buckets);
	memset(store, 0, sizeof *store + buckets * sizeof *store->buckets);
	store->limit = bytes;
	store->mask = buckets - 1;
	h2o_linklist_init_anchor(&store->newest_first);
	return store;
}

void
store_free(struct store *store)
{
	for (size_t i = 0; i <= store->mask; i++)
		while (store->buckets[i])
			drop(store, &store->buckets[i]);
	free(store);
}

struct entry *
store_get(struct store *store, const uint8_t key[CACHE_KEY])
{
	struct node *node = *find(store, key);

	if (!node)
		return NULL;
	h2o_linklist_unlink(&node->age);
	h2o_linklist_insert(store->newest_first.next, &node->age);
	return node->entry;
}

void
store_put(struct store *store, struct entry *entry)
{
	struct node **at = find(store, entry->key);

	if (*at && is_later((*at)->entry, entry))
		return;
	if (*at)
		drop(store, at);
	if (entry_size(entry) > store->limit / 4)
		return;
	struct node *node = h2o_mem_alloc(sizeof *node);
	*node = (struct node){ .entry = entry };
	entry_keep(entry);
	at = find(store, entry->key);
	*at = node;
	h2o_linklist_insert(store->newest_first.next, &node->age);
	store->bytes += entry_size(entry) + sizeof *node;
	while (store->bytes > store->limit)
	{
		struct node *oldest = H2O_STRUCT_FROM_MEMBER(struct node, age, store->newest_first.prev);
		drop(store, find(store, oldest->entry->key));
	}
}

void
store_drop(struct store *store, const struct entry *entry)
{
	struct node **at = find(store, entry->key);

	if (*at && (*at)->entry == entry)
		drop(store, at);
}
