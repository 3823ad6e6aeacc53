/* The threads: one h2o event loop each, with its own listener, connections and caches. */
#pragma once

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

struct pool;
struct redis;
struct cache;
struct hub;
struct stamps;
struct bearers;

struct thread
{
	int index;
	h2o_context_t ctx;
	h2o_loop_t *loop;
	struct pool *pool;
	struct redis *redis; /* NULL when the gateway runs without Redis */
	struct cache *cache;
	struct hub *hub;
	struct stamps *stamps;	 /* of stamp.c */
	struct bearers *bearers; /* of bearer.c */
	bool draining;			 /* SIGTERM seen: no new connections, finish what is under way */
};

/* The thread this code runs on. */
extern __thread struct thread *self;

/* Work for the end of a loop turn (flush once what many callbacks queued); runs once, then must be
 * asked for again. */
struct turn_end
{
	struct turn_end *next;
	void (*run)(struct turn_end *work);
	bool queued;
};
void loop_at_turn_end(struct turn_end *work);

/* A one-shot timer on this thread's loop. Zeroed before first use; stop is allowed when not
 * started. */
struct timer
{
	h2o_timeout_entry_t entry;
	h2o_timeout_t *list;
	void (*fire)(struct timer *timer);
};
void timer_start(struct timer *timer, uint64_t ms, void (*fire)(struct timer *timer));
void timer_stop(struct timer *timer);

/* Run fn(data) on every thread (including this one), in its loop; data must be safe to share,
 * free(data) is not called. */
void loop_broadcast(void (*fn)(void *data), void *data);
/* Run fn(data) on one thread. */
void loop_post(int thread, void (*fn)(void *data), void *data);
int loop_threads(void);

/*
 * Start all threads; setup runs on each one before it accepts. Returns when every thread has
 * drained after SIGTERM or SIGINT.
 */
int loop_run(h2o_globalconf_t *global, h2o_globalconf_t *admin, void (*setup)(struct thread *));
/* Called on each thread when draining starts, before idle connections are closed. */
void loop_on_drain(void (*fn)(void));
/* Called for each accepted public connection before h2o sees it. */
void loop_on_accept(void (*fn)(h2o_socket_t *sock));
/* http://host:port of the public or the admin listener, NULL when there is none; known once
 * loop_run binds. */
const char *loop_url(bool admin);
/* Open client connections of all threads; microseconds since the given thread last finished a turn.
 */
size_t loop_connections(void);
uint64_t loop_silence_us(int thread);
