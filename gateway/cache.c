/*
 * A lookup goes: memory, then Redis, then the check in the database. All checks that one loop
 * turn asked for travel in one query, sent at the end of the turn and so begun after every one
 * of those requests had arrived: that order is what makes a served answer fresh, whatever Redis
 * or the memory held. A flight is what several lookups of one key wait for: a blob from Redis or
 * an answer being computed; landing only ever leads to a check, never straight to an answer.
 */
#include <stdlib.h>
#include <string.h>

#include <h2o.h>
#include <sodium.h>

#include "cache.h"
#include "config.h"
#include "entry.h"
#include "loop.h"
#include "metric.h"
#include "pool.h"
#include "redis.h"
#include "store.h"

enum
{
	TTL_MS = 3600 * 1000,
	OFF_MS = 1000, /* bypass after the database said that it has no shared memory */
	CHECK_TIMEOUT_MS = 1000,
	CHECK_BATCH = 128,	 /* lookups per query */
	LOOKUPS_MAX = 16384, /* under way per thread; more bypass */
	WAITERS_MAX = 1024,	 /* per flight */
	WAIT_MS = 2000,		 /* for another's computation, then compute for oneself */
	ROUNDS_MAX = 3,		 /* a key written this often while we waited is not worth caching now */
	FLIGHT_BUCKETS = 4096,
	SESSION_SLOTS = 2
};

struct lookup
{
	struct lookup *next;
	uint8_t key[CACHE_KEY];
	bool has_session, fetched, waited;
	struct cache_session session;
	cache_found fn;
	void *data;
	struct entry *entry; /* the candidate, a reference */
	enum cache_verdict reason;
	int rounds;
	uint64_t arrived;
};

enum flight_state
{
	FETCHING, /* Redis was asked */
	COMPUTING /* a caller owes cache_put or cache_abandon */
};

struct flight
{
	struct flight *chain;
	h2o_linklist_t age;
	uint8_t key[CACHE_KEY];
	enum flight_state state;
	struct lookup *first, *last; /* those who wait */
	int waiting;
};

struct cache
{
	struct store *store;
	uint8_t secret[ENTRY_SECRET];
	size_t lookups;
	uint64_t off_until;
	struct metric *coalesced, *refused, *checks;
	struct lookup *unchecked, *unchecked_last;
	struct turn_end check;
	struct timer sweep;
	h2o_linklist_t flights_by_age;
	struct flight *flights[FLIGHT_BUCKETS];
};

/* One query with the checks of several lookups. */
struct batch
{
	struct pool_query query;
	struct cache *cache;
	const char *value;
	int length, format;
	int count, checks;
	struct lookup *lookups[CHECK_BATCH];
	char bytes[];
};

struct fetch
{
	struct cache *cache;
	uint8_t key[CACHE_KEY];
};

static void want_check(struct cache *cache, struct lookup *lookup, struct entry *entry);

/* The end of a lookup: the one place that calls back. */
static void
finish(struct cache *cache, struct lookup *lookup, enum cache_verdict verdict)
{
	struct entry *entry = lookup->entry;
	cache_found fn = lookup->fn;
	void *data = lookup->data;

	if (verdict == CACHE_HIT && lookup->waited)
		metric_add(cache->coalesced, 1);
	cache->lookups--;
	free(lookup);
	fn(data, verdict, verdict == CACHE_HIT ? &entry->view : NULL);
	if (entry)
		entry_release(entry);
}

static void
take_entry(struct lookup *lookup, struct entry *entry)
{
	entry_keep(entry);
	if (lookup->entry)
		entry_release(lookup->entry);
	lookup->entry = entry;
}

/* Flights */

static struct flight **
flight_find(struct cache *cache, const uint8_t key[CACHE_KEY])
{
	uint32_t hash;

	memcpy(&hash, key, sizeof hash);
	struct flight **at = &cache->flights[hash % FLIGHT_BUCKETS];
	while (*at && memcmp((*at)->key, key, CACHE_KEY) != 0)
		at = &(*at)->chain;
	return at;
}

static void on_sweep(struct timer *timer);

static struct flight *
flight_open(struct cache *cache, const uint8_t key[CACHE_KEY], enum flight_state state)
{
	struct flight **at = flight_find(cache, key);
	struct flight *flight = h2o_mem_alloc(sizeof *flight);

	memset(flight, 0, sizeof *flight);
	memcpy(flight->key, key, CACHE_KEY);
	flight->state = state;
	*at = flight;
	if (h2o_linklist_is_empty(&cache->flights_by_age))
		timer_start(&cache->sweep, WAIT_MS / 4, on_sweep);
	h2o_linklist_insert(&cache->flights_by_age, &flight->age);
	return flight;
}

/* Removes the flight and returns those who waited for it. */
static struct lookup *
flight_close(struct flight **at)
{
	struct flight *flight = *at;
	struct lookup *waiters = flight->first;

	*at = flight->chain;
	h2o_linklist_unlink(&flight->age);
	free(flight);
	return waiters;
}

static void
flight_wait(struct flight *flight, struct lookup *lookup)
{
	lookup->next = NULL;
	lookup->waited = flight->state == COMPUTING;
	if (flight->last)
		flight->last->next = lookup;
	else
		flight->first = lookup;
	flight->last = lookup;
	flight->waiting++;
}

static struct lookup *
flight_pop(struct flight *flight)
{
	struct lookup *lookup = flight->first;

	flight->first = lookup->next;
	if (!flight->first)
		flight->last = NULL;
	flight->waiting--;
	return lookup;
}

/* The first of those who wait computes; without any, the flight is over. */
static void
flight_hand_on(struct cache *cache, struct flight **at)
{
	struct flight *flight = *at;

	flight->state = COMPUTING;
	if (!flight->first)
	{
		flight_close(at);
		return;
	}
	struct lookup *next = flight_pop(flight);
	/* those who came while it was fetched wait for a computation now */
	for (struct lookup *each = flight->first; each; each = each->next)
		each->waited = true;
	finish(cache, next, next->reason);
}

/* Nobody waits for ever on somebody else's slow query. */
static void
on_sweep(struct timer *timer)
{
	struct cache *cache = H2O_STRUCT_FROM_MEMBER(struct cache, sweep, timer);
	uint64_t now = h2o_now(self->loop);
	struct lookup *late = NULL;

	for (h2o_linklist_t *link = cache->flights_by_age.next; link != &cache->flights_by_age;
		 link = link->next)
	{
		struct flight *flight = H2O_STRUCT_FROM_MEMBER(struct flight, age, link);
		while (flight->first && flight->first->arrived + WAIT_MS <= now)
		{
			struct lookup *lookup = flight_pop(flight);
			lookup->next = late;
			late = lookup;
		}
	}
	while (late)
	{
		struct lookup *next = late->next;
		finish(cache, late, CACHE_BYPASS);
		late = next;
	}
	if (!h2o_linklist_is_empty(&cache->flights_by_age))
		timer_start(&cache->sweep, WAIT_MS / 4, on_sweep);
}

/* Redis */

static bool
is_newer(const struct entry *entry, const struct entry *than)
{
	return !than || entry->view.stamp.boot != than->view.stamp.boot ||
		   entry->view.stamp.asof > than->view.stamp.asof;
}

static void
on_fetched(void *data, const char *base, size_t len)
{
	struct fetch *fetch = data;
	struct cache *cache = fetch->cache;
	struct flight **at = flight_find(cache, fetch->key);
	struct entry *entry = base ? entry_read(cache->secret, fetch->key, base, len) : NULL;

	if (base && !entry)
		metric_add(cache->refused, 1);
	/* a cache_put may have ended this flight, and a later lookup begun another */
	if (*at && (*at)->state == FETCHING)
	{
		if (entry && (!(*at)->first || is_newer(entry, (*at)->first->entry)))
		{
			store_put(cache->store, entry);
			for (struct lookup *each = flight_close(at), *next; each; each = next)
			{
				next = each->next;
				each->fetched = true;
				want_check(cache, each, entry);
			}
		}
		else
			flight_hand_on(cache, at);
	}
	if (entry)
		entry_release(entry);
	free(fetch);
}

static const char *
redis_key(const uint8_t key[CACHE_KEY], size_t *len)
{
	static __thread char text[8 + CACHE_KEY] = "shcache:";

	memcpy(text + 8, key, CACHE_KEY);
	*len = sizeof text;
	return text;
}

static void
fetch_start(struct cache *cache, struct lookup *lookup)
{
	struct fetch *fetch = h2o_mem_alloc(sizeof *fetch);
	size_t len;
	const char *key = redis_key(lookup->key, &len);

	fetch->cache = cache;
	memcpy(fetch->key, lookup->key, CACHE_KEY);
	flight_wait(flight_open(cache, lookup->key, FETCHING), lookup);
	redis_get(self->redis, key, len, on_fetched, fetch);
}

/* Not in memory, or stale there: wait for whoever fetches or computes it, or be the one. */
static void
find_elsewhere(struct cache *cache, struct lookup *lookup)
{
	struct flight *flight = *flight_find(cache, lookup->key);

	if (flight && (flight->waiting >= WAITERS_MAX || ++lookup->rounds > ROUNDS_MAX))
		finish(cache, lookup, CACHE_BYPASS);
	else if (flight)
		flight_wait(flight, lookup);
	else if (!lookup->fetched && self->redis && redis_alive(self->redis))
		fetch_start(cache, lookup);
	else
	{
		flight_open(cache, lookup->key, COMPUTING);
		finish(cache, lookup, lookup->reason);
	}
}

/* The check */

static size_t
check_size(const struct lookup *lookup)
{
	return 18 + 4u * lookup->entry->view.nslots +
		   (lookup->has_session ? 18 + 4 * SESSION_SLOTS : 0);
}

static char *
put_number(char *at, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, value >>= 8)
		at[i] = (char) (value & 0xff);
	return at + bytes;
}

static char *
put_check(char *at, struct cache_stamp stamp, const uint32_t *slots, int nslots)
{
	at = put_number(at, (uint64_t) stamp.boot, 8);
	at = put_number(at, (uint64_t) stamp.asof, 8);
	at = put_number(at, (uint64_t) nslots, 2);
	for (int i = 0; i < nslots; i++)
		at = put_number(at, slots[i], 4);
	return at;
}

static void
judge(struct cache *cache, struct lookup *lookup, bool entry_valid, bool session_valid)
{
	if (!session_valid)
		finish(cache, lookup, CACHE_BYPASS); /* the database decides and dates the session anew */
	else if (entry_valid)
		finish(cache, lookup, CACHE_HIT);
	else
	{
		store_drop(cache->store, lookup->entry);
		lookup->reason = CACHE_STALE;
		find_elsewhere(cache, lookup);
	}
}

static void
on_checked(struct pool_query *query, const struct pool_result *result)
{
	struct batch *batch = H2O_STRUCT_FROM_MEMBER(struct batch, query, query);
	struct cache *cache = batch->cache;
	struct pool_value verdicts = { 0 };
	const char *next;

	if (result->ok && pool_rows(result, 0) == 1)
		verdicts = pool_value(result, 0, 0, 0);
	next = verdicts.base && verdicts.len == (size_t) batch->checks ? verdicts.base : NULL;
	for (int i = 0; i < batch->count; i++)
	{
		struct lookup *lookup = batch->lookups[i];
		if (!next)
		{
			finish(cache, lookup, CACHE_BYPASS);
			continue;
		}
		bool entry_valid = *next++ == 1;
		bool session_valid = !lookup->has_session || *next++ == 1;
		judge(cache, lookup, entry_valid, session_valid);
	}
	free(batch);
}

static struct batch *
batch_make(struct cache *cache)
{
	struct batch *batch;
	size_t len = 0;
	int count = 0;

	for (struct lookup *each = cache->unchecked; each && count < CHECK_BATCH; each = each->next)
	{
		len += check_size(each);
		count++;
	}
	batch = h2o_mem_alloc(sizeof *batch + len);
	memset(batch, 0, sizeof *batch);
	batch->cache = cache;
	char *at = batch->bytes;
	for (; batch->count < count; batch->count++)
	{
		struct lookup *lookup = cache->unchecked;
		cache->unchecked = lookup->next;
		batch->lookups[batch->count] = lookup;
		const struct cache_entry *view = &lookup->entry->view;
		at = put_check(at, view->stamp, view->slots, view->nslots);
		batch->checks++;
		if (!lookup->has_session)
			continue;
		at = put_check(at, lookup->session.stamp, lookup->session.slots, SESSION_SLOTS);
		batch->checks++;
	}
	if (!cache->unchecked)
		cache->unchecked_last = NULL;
	batch->value = batch->bytes;
	batch->length = (int) len;
	batch->format = 1;
	return batch;
}

static void
on_turn_end(struct turn_end *work)
{
	struct cache *cache = H2O_STRUCT_FROM_MEMBER(struct cache, check, work);

	while (cache->unchecked)
	{
		struct batch *batch = batch_make(cache);
		batch->query = (struct pool_query){
			.nsteps = 1,
			.lane = POOL_READ,
			.timeout_ms = CHECK_TIMEOUT_MS,
			.retry = true,
			.on_done = on_checked,
		};
		batch->query.steps[0] = (struct pool_step){
			.name = "cache_check",
			.sql = "SELECT saleshub.cache_check($1::bytea)",
			.nparams = 1,
			.values = &batch->value,
			.lengths = &batch->length,
			.formats = &batch->format,
			.binary_result = true,
		};
		metric_add(cache->checks, 1);
		pool_send(self->pool, &batch->query);
	}
}

static void
want_check(struct cache *cache, struct lookup *lookup, struct entry *entry)
{
	take_entry(lookup, entry);
	lookup->next = NULL;
	if (cache->unchecked_last)
		cache->unchecked_last->next = lookup;
	else
		cache->unchecked = lookup;
	cache->unchecked_last = lookup;
	if (!cache->check.queued)
		loop_at_turn_end(&cache->check);
}

/* What callers see */

struct cache *
cache_new(size_t l1_bytes)
{
	struct cache *cache = h2o_mem_alloc(sizeof *cache);

	memset(cache, 0, sizeof *cache);
	cache->store = store_new(l1_bytes);
	cache->check.run = on_turn_end;
	h2o_linklist_init_anchor(&cache->flights_by_age);
	cache->coalesced =
		metric_counter("saleshub_cache_coalesced_total",
					   NULL,
					   "Answers served to requests that waited for another's computation");
	cache->refused = metric_counter("saleshub_cache_refused_total",
									NULL,
									"Blobs from Redis that were cut, altered or not ours");
	cache->checks = metric_counter("saleshub_cache_checks_total",
								   NULL,
								   "Validity queries sent, each for all lookups of a loop turn");
	/* gateways that share the token secret share the blobs */
	crypto_generichash(cache->secret,
					   sizeof cache->secret,
					   (const uint8_t *) config.jwt_secret,
					   strlen(config.jwt_secret),
					   (const uint8_t *) "saleshub response cache 1",
					   25);
	return cache;
}

void
cache_free(struct cache *cache)
{
	timer_stop(&cache->sweep);
	store_free(cache->store);
	free(cache);
}

void
cache_get(struct cache *cache, const uint8_t key[CACHE_KEY], const struct cache_session *session,
		  cache_found fn, void *data)
{
	struct lookup *lookup = h2o_mem_alloc(sizeof *lookup);
	struct entry *entry;

	*lookup = (struct lookup){ .fn = fn, .data = data, .reason = CACHE_MISS };
	memcpy(lookup->key, key, CACHE_KEY);
	lookup->arrived = h2o_now(self->loop);
	if (session)
	{
		lookup->has_session = true;
		lookup->session = *session;
	}
	cache->lookups++;
	if (cache->lookups > LOOKUPS_MAX || lookup->arrived < cache->off_until ||
		(session && !session->known && *flight_find(cache, key)))
		finish(cache, lookup, CACHE_BYPASS);
	else if (session && !session->known)
	{
		flight_open(cache, key, COMPUTING);
		finish(cache, lookup, CACHE_MISS);
	}
	else if (!*flight_find(cache, key) && (entry = store_get(cache->store, key)))
		want_check(cache, lookup, entry);
	else
		find_elsewhere(cache, lookup);
}

void
cache_put(struct cache *cache, const uint8_t key[CACHE_KEY], const struct cache_entry *from)
{
	struct entry *entry = entry_make(cache->secret, key, from);
	struct flight **at = flight_find(cache, key);
	struct lookup *waiters = *at ? flight_close(at) : NULL;

	if (from->stamp.boot == 0)
		cache->off_until = h2o_now(self->loop) + OFF_MS;
	if (entry)
	{
		size_t key_len;
		const char *name = redis_key(key, &key_len);

		store_put(cache->store, entry);
		if (self->redis)
			redis_set(self->redis, name, key_len, entry->blob, entry->blob_len, TTL_MS);
	}
	while (waiters)
	{
		struct lookup *next = waiters->next;
		if (entry)
			want_check(cache, waiters, entry);
		else
			finish(cache, waiters, CACHE_BYPASS); /* not for the cache: nothing to wait for */
		waiters = next;
	}
	if (entry)
		entry_release(entry);
}

void
cache_abandon(struct cache *cache, const uint8_t key[CACHE_KEY])
{
	struct flight **at = flight_find(cache, key);

	if (*at && (*at)->state == COMPUTING)
		flight_hand_on(cache, at);
}
