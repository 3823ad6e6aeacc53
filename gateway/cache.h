/*
 * Response cache, Protocol V: entries carry the commit stamp read before their snapshot; one
 * batched check in PostgreSQL, begun after the request arrived, decides whether an entry is
 * served. Redis and the in-process copy are untrusted storage.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum
{
	CACHE_KEY = 32, /* SHA-256 over route, route epoch, org, member, canonical arguments */
	CACHE_MAX_SLOTS = 256,
	CACHE_MAX_BODY = 1048576
};

struct cache;

struct cache_stamp
{
	int64_t boot;
	int64_t asof;
};

struct cache_entry
{
	struct cache_stamp stamp;
	uint16_t nslots;
	const uint32_t *slots;
	int status;
	const char *etag; /* without quotes, NULL: none */
	const char *gseq; /* position for X-SalesHub-Seq, NULL: none */
	const char *body;
	size_t body_len;
};

/* Why the answer is what it is; becomes Cache-Status. */
enum cache_verdict
{
	CACHE_HIT,
	CACHE_MISS,
	CACHE_STALE,  /* found, but a later commit touched it */
	CACHE_BYPASS, /* no cache in force (not preloaded, database away, session to be confirmed) */
};

/* The session of the request as last confirmed by ctx(): rides along in the same check. */
struct cache_session
{
	struct cache_stamp stamp;
	uint32_t slots[2];
	bool known; /* false: never served from the cache */
};

/*
 * Called exactly once per cache_get, perhaps before it returns.
 * HIT: entry is valid during the call.
 * MISS, STALE (entry NULL): the caller computes the answer and must end with cache_put or
 * cache_abandon for the same key; others asking meanwhile wait for that and are then checked anew.
 * BYPASS (entry NULL): the caller computes for itself and may offer the answer with cache_put.
 */
typedef void (*cache_found)(void *data, enum cache_verdict verdict,
							const struct cache_entry *entry);

/* The cache of this thread: uses self->pool and self->redis. */
struct cache *cache_new(size_t l1_bytes);
void cache_free(struct cache *cache);
/* session NULL: the route needs none. */
void cache_get(struct cache *cache, const uint8_t key[CACHE_KEY],
			   const struct cache_session *session, cache_found fn, void *data);
/* The entry is copied. A stamp of boot 0 (library not preloaded) is not stored. */
void cache_put(struct cache *cache, const uint8_t key[CACHE_KEY], const struct cache_entry *entry);
void cache_abandon(struct cache *cache, const uint8_t key[CACHE_KEY]);
