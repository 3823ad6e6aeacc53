/* hiredis on the h2o loop: one connection per thread, reconnecting, never trusted and never waited
 * for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct redis;

/*
 * reply: base NULL for a miss or an error; called exactly once, also when Redis is away or slow
 * (deadline 20 ms), and perhaps before redis_get returns. The text is valid during the call.
 */
typedef void (*redis_reply)(void *data, const char *base, size_t len);

/* address: unix:/path or host:port. A host name is resolved here, once; connecting never blocks. */
struct redis *redis_new(const char *address);
/* Answers what is still waiting with a miss. */
void redis_free(struct redis *redis);
/* Connected, and the last answers came in time. */
bool redis_alive(const struct redis *redis);
void redis_get(struct redis *redis, const char *key, size_t key_len, redis_reply fn, void *data);
/* Fire and forget, with a time to live in milliseconds. */
void redis_set(struct redis *redis, const char *key, size_t key_len, const char *base, size_t len,
			   int ttl_ms);
