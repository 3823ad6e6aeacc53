/*
 * The response cache with a database and a Redis that answer when the test says so: nobody is
 * served without a check that began after they asked.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "config.h"
#include "entry.h"
#include "loop.h"
#include "metric.h"
#include "pool.h"
#include "redis.h"
#include "store.h"

/* --- the world around the cache --- */

static h2o_loop_t loop;
static struct thread thread = { .loop = &loop };
__thread struct thread *self;
struct config config = { .jwt_secret = "a secret of the test that is long enough" };

static struct turn_end *turn_work;
static struct timer *timer;
static struct pool_query *queries[16];
static int nqueries;
static const struct pool_value *answer_value;

void
loop_at_turn_end(struct turn_end *work)
{
	if (work->queued)
		return;
	work->queued = true;
	work->next = turn_work;
	turn_work = work;
}

static void
end_turn(void)
{
	while (turn_work)
	{
		struct turn_end *work = turn_work;
		turn_work = work->next;
		work->queued = false;
		work->run(work);
	}
}

void
timer_start(struct timer *of, uint64_t ms, void (*fire)(struct timer *timer))
{
	(void) ms;
	of->fire = fire;
	timer = of;
}

void
timer_stop(struct timer *of)
{
	if (timer == of)
		timer = NULL;
}

/* Time goes on, and the timer that was set fires. */
static void
pass_ms(uint64_t ms)
{
	struct timer *due = timer;

	loop._now += ms;
	timer = NULL;
	if (due)
		due->fire(due);
}

void
pool_send(struct pool *pool, struct pool_query *query)
{
	(void) pool;
	queries[nqueries++] = query;
}

int
pool_rows(const struct pool_result *result, int step)
{
	(void) step;
	return result->ok ? 1 : 0;
}

struct pool_value
pool_value(const struct pool_result *result, int step, int row, int column)
{
	(void) result;
	(void) step;
	(void) row;
	(void) column;
	return *answer_value;
}

/* The oldest query is answered with these verdicts; NULL: the database is away. */
static void
check_says(const char *verdicts, size_t len)
{
	struct pool_query *query = queries[0];
	struct pool_value value = { verdicts, len };
	struct pool_result result = { .ok = verdicts != NULL, .unavailable = !verdicts };

	memmove(queries, queries + 1, sizeof *queries * (size_t) --nqueries);
	answer_value = &value;
	query->on_done(query, &result);
}

static redis_reply redis_fn;
static void *redis_data;
static char redis_blob[4096];
static size_t redis_len;
static int redis_gets;

bool
redis_alive(const struct redis *redis)
{
	return redis != NULL;
}

void
redis_get(struct redis *redis, const char *key, size_t key_len, redis_reply fn, void *data)
{
	(void) redis;
	(void) key;
	(void) key_len;
	redis_gets++;
	redis_fn = fn;
	redis_data = data;
}

void
redis_set(struct redis *redis, const char *key, size_t key_len, const char *base, size_t len,
		  int ttl_ms)
{
	(void) redis;
	(void) key;
	(void) key_len;
	(void) ttl_ms;
	memcpy(redis_blob, base, len);
	redis_len = len;
}

struct metric *
metric_counter(const char *name, const char *labels, const char *help)
{
	(void) name;
	(void) labels;
	(void) help;
	return NULL;
}

void
metric_add(struct metric *metric, uint64_t n)
{
	(void) metric;
	(void) n;
}

/* --- askers --- */

struct asker
{
	int answers;
	enum cache_verdict verdict;
	char body[32];
};

static void
on_found(void *data, enum cache_verdict verdict, const struct cache_entry *entry)
{
	struct asker *asker = data;

	asker->answers++;
	asker->verdict = verdict;
	snprintf(asker->body,
			 sizeof asker->body,
			 "%.*s",
			 entry ? (int) entry->body_len : 0,
			 entry ? entry->body : "");
}

static struct cache *cache;
static const uint8_t key[CACHE_KEY] = { 1, 2, 3 };
static const struct cache_session session = { { 7, 5 }, { 11, 12 }, true };

static struct asker
ask(struct asker *asker)
{
	*asker = (struct asker){ 0 };
	cache_get(cache, key, &session, on_found, asker);
	return *asker;
}

static void
put(int64_t boot, int64_t asof, const char *body)
{
	static const uint32_t slots[] = { 21, 22, 23 };

	cache_put(
		cache,
		key,
		&(struct cache_entry){ { boot, asof }, 3, slots, 200, "tag", "e-9", body, strlen(body) });
}

static void
renew(bool with_redis)
{
	thread.redis = with_redis ? (struct redis *) &thread : NULL;
	cache = cache_new(1 << 20);
	nqueries = 0;
	redis_len = 0;
	redis_gets = 0;
	timer = NULL;
	loop._now += 100000;
}

/* --- stories --- */

static int tests, failures;

static void
is(bool ok, const char *name)
{
	tests++;
	failures += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", tests, name);
}

static void
one_flight(void)
{
	struct asker first, second, third;

	renew(false);
	ask(&first);
	is(first.answers == 1 && first.verdict == CACHE_MISS, "the first asker computes");
	ask(&second);
	ask(&third);
	is(second.answers == 0 && third.answers == 0, "the others wait");
	put(7, 5, "one");
	is(second.answers == 0, "what was computed is not handed on unchecked");
	end_turn();
	is(nqueries == 1 && *queries[0]->steps[0].lengths == 2 * (18 + 12 + 18 + 8),
	   "all of a turn, with their sessions, are one check");
	is(second.answers == 0, "nor before the check is answered");
	check_says("\1\1\1\1", 4);
	is(second.verdict == CACHE_HIT && strcmp(second.body, "one") == 0, "then it is served");
	is(third.answers == 1 && third.verdict == CACHE_HIT, "to each of them, once");
}

static void
bytes_of_a_check(void)
{
	static const unsigned char expected[] = {
		0, 0,  0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 3, 0, 0, 0, 21, 0, 0,  0, 22, 0, 0,
		0, 23, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 2, 0, 0,	0, 11, 0, 0,  0, 12,
	};
	struct asker asker;

	renew(false);
	put(7, 5, "one");
	ask(&asker);
	is(nqueries == 0, "the check waits for the end of the turn");
	end_turn();
	const struct pool_step *step = &queries[0]->steps[0];
	is(*step->lengths == sizeof expected && *step->formats == 1 &&
		   memcmp(step->values[0], expected, sizeof expected) == 0,
	   "stamps and slots in network order");
	check_says("\1", 1);
	is(asker.verdict == CACHE_BYPASS, "an answer of another length is no answer");
}

static void
stale(void)
{
	struct asker first, second, third;

	renew(false);
	put(7, 5, "old");
	ask(&first);
	ask(&second);
	end_turn();
	check_says("\0\1\0\1", 4);
	is(first.verdict == CACHE_STALE && first.body[0] == 0, "stale: the first computes anew");
	is(second.answers == 0, "the second waits for it");
	ask(&third);
	put(7, 6, "new");
	end_turn();
	check_says("\1\1\0\1", 4);
	is(second.verdict == CACHE_HIT && strcmp(second.body, "new") == 0, "and gets the new one");
	is(third.verdict == CACHE_STALE, "a waiter whose check fails computes");
}

static void
abandoned(void)
{
	struct asker first, second, third;

	renew(false);
	ask(&first);
	ask(&second);
	ask(&third);
	cache_abandon(cache, key);
	is(second.verdict == CACHE_MISS && second.answers == 1, "after a failure the next computes");
	is(third.answers == 0, "one at a time");
	pass_ms(2500);
	is(third.verdict == CACHE_BYPASS, "nobody waits longer than two seconds");
	cache_abandon(cache, key);
	ask(&third);
	is(third.verdict == CACHE_MISS, "when nobody waits, the flight is over");
}

static void
not_in_force(void)
{
	struct cache_session unknown = { 0 };
	struct asker asker;

	renew(false);
	put(7, 5, "one");
	ask(&asker);
	end_turn();
	check_says("\1\0", 2);
	is(asker.verdict == CACHE_BYPASS, "a session in doubt goes to the database");
	ask(&asker);
	end_turn();
	check_says(NULL, 0);
	is(asker.verdict == CACHE_BYPASS, "so does everybody while the database is away");
	asker.answers = 0;
	cache_get(cache, key, &unknown, on_found, &asker);
	is(asker.answers == 1 && asker.verdict == CACHE_MISS, "an unknown session is never served");
	asker.answers = 0;
	cache_get(cache, key, &unknown, on_found, &asker);
	is(asker.verdict == CACHE_BYPASS, "nor does it wait");
	put(0, 0, "unstamped");
	ask(&asker);
	is(asker.verdict == CACHE_BYPASS, "without shared memory there is no cache");
	loop._now += 1500;
	put(7, 6, "stamped");
	ask(&asker);
	end_turn();
	check_says("\1\1", 2);
	is(strcmp(asker.body, "stamped") == 0, "until there is");
}

static void
by_way_of_redis(void)
{
	struct asker first, second;
	char good[sizeof redis_blob];
	size_t len;

	renew(true);
	put(7, 5, "one");
	len = redis_len;
	memcpy(good, redis_blob, len);

	renew(true);
	ask(&first);
	ask(&second);
	is(first.answers == 0 && redis_gets == 1, "one question to Redis for a key");
	redis_fn(redis_data, good, len);
	is(first.answers == 0, "a blob is not an answer yet");
	end_turn();
	check_says("\1\1\1\1", 4);
	is(strcmp(first.body, "one") == 0 && strcmp(second.body, "one") == 0,
	   "it is checked, then served");

	bool believed = false;
	for (size_t i = 0; i < len; i++)
	{
		struct entry *entry;
		uint8_t secret[ENTRY_SECRET] = { 0 };
		good[i] ^= 1;
		renew(true);
		ask(&first);
		redis_fn(redis_data, good, len);
		believed |= first.verdict != CACHE_MISS || first.answers != 1 || nqueries || turn_work;
		good[i] ^= 1;
		entry = entry_read(secret, key, good, len);
		believed |= entry != NULL;
	}
	is(!believed, "no altered byte is believed, nor another secret");
	for (size_t i = 0; i < len; i++)
	{
		renew(true);
		ask(&first);
		redis_fn(redis_data, good, i);
		believed |= first.verdict != CACHE_MISS || first.answers != 1;
	}
	is(!believed, "nor a cut one");

	renew(true);
	put(7, 4, "older");
	ask(&first);
	end_turn();
	check_says("\0\1", 2);
	is(first.answers == 0 && redis_gets == 1,
	   "stale here: another gateway may have stored a newer one");
	redis_fn(redis_data, good, len);
	end_turn();
	check_says("\1\1", 2);
	is(first.verdict == CACHE_HIT && strcmp(first.body, "one") == 0, "which is checked and served");
}

static void
bounded_memory(void)
{
	struct store *store = store_new(64 * 1024);
	uint8_t secret[ENTRY_SECRET] = { 0 }, name[CACHE_KEY] = { 0 };
	char body[1000] = { 0 };
	int kept = 0;

	for (uint32_t i = 0; i < 1000; i++)
	{
		memcpy(name, &i, sizeof i);
		struct entry *entry = entry_make(
			secret, name, &(struct cache_entry){ { 1, 1 }, 0, NULL, 200, NULL, NULL, body, 1000 });
		store_put(store, entry);
		entry_release(entry);
		memset(name, 0, sizeof name);
		store_get(store, name); /* the very first is used all the time */
	}
	for (uint32_t i = 0; i < 1000; i++)
	{
		memcpy(name, &i, sizeof i);
		kept += store_get(store, name) != NULL;
	}
	memset(name, 0, sizeof name);
	is(kept > 40 && kept < 65, "memory has a limit");
	is(store_get(store, name) != NULL, "and what is used stays");
	store_free(store);
}

int
main(void)
{
	self = &thread;
	if (sodium_init() < 0)
		return 1;
	one_flight();
	bytes_of_a_check();
	stale();
	abandoned();
	not_in_force();
	by_way_of_redis();
	bounded_memory();
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
