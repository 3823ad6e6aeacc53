#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "loop.h"
#include "text.h"

enum
{
	MAX_THREADS = 256,
	ACCEPT_BATCH = 64,
	HOOKS = 8,
	TIMER_LISTS = 128,
	LAST_REQUEST_MS = 100 /* from the end of listening to the end of idle connections */
};

/* One listening socket of one thread. */
struct listener
{
	h2o_socket_t *sock;
	h2o_accept_ctx_t accept;
	int fd;
	bool public;
};

struct worker
{
	struct thread thread; /* first: self points here */
	h2o_context_t admin_ctx;
	struct listener public, admin;
	h2o_multithread_receiver_t receiver;
	struct turn_end *turn_head, **turn_tail;
	h2o_timeout_t *timer_lists[TIMER_LISTS];
	int ntimer_lists;
	size_t connections, connection_limit;
	bool full, expired;
	struct timer drain, expiry;
	atomic_uint_fast64_t turned_us;
	atomic_size_t open;
	pthread_t id;
};

struct message
{
	h2o_multithread_message_t super;
	void (*fn)(void *data);
	void *data;
};

__thread struct thread *self;

static struct worker *workers;
static int nworkers;
static h2o_globalconf_t *public_conf, *admin_conf;
static pthread_barrier_t all_there;
static void (*setup_hook)(struct thread *);
static void (*drain_hooks[HOOKS])(void);
static void (*accept_hooks[HOOKS])(h2o_socket_t *sock);
static char *urls[2];
static h2o_socket_t *signals;
static bool stopping;

static struct worker *
worker_self(void)
{
	return (struct worker *) self;
}

int
loop_threads(void)
{
	return nworkers;
}

const char *
loop_url(bool admin)
{
	return urls[admin ? 1 : 0];
}

size_t
loop_connections(void)
{
	size_t sum = 0;

	for (int i = 0; i < nworkers; i++)
		sum += atomic_load_explicit(&workers[i].open, memory_order_relaxed);
	return sum;
}

uint64_t
loop_silence_us(int thread)
{
	uint64_t then = atomic_load_explicit(&workers[thread].turned_us, memory_order_relaxed);
	uint64_t now = text_clock_us();

	return now > then ? now - then : 0;
}

void
loop_on_drain(void (*fn)(void))
{
	for (int i = 0; i < HOOKS; i++)
	{
		if (!drain_hooks[i])
		{
			drain_hooks[i] = fn;
			return;
		}
	}
	abort();
}

void
loop_on_accept(void (*fn)(h2o_socket_t *sock))
{
	for (int i = 0; i < HOOKS; i++)
	{
		if (!accept_hooks[i])
		{
			accept_hooks[i] = fn;
			return;
		}
	}
	abort();
}

/* --- end of turn --- */

void
loop_at_turn_end(struct turn_end *work)
{
	struct worker *worker = worker_self();

	if (work->queued)
		return;
	work->queued = true;
	work->next = NULL;
	*worker->turn_tail = work;
	worker->turn_tail = &work->next;
}

/* Work asked for by such work runs in the same sweep, so that nothing waits for another event. */
static void
run_turn_end(struct worker *worker)
{
	while (worker->turn_head)
	{
		struct turn_end *work = worker->turn_head;

		worker->turn_head = work->next;
		if (!worker->turn_head)
			worker->turn_tail = &worker->turn_head;
		work->queued = false;
		work->run(work);
	}
}

/* --- timers --- */

/*
 * h2o keeps one list per duration; durations are rounded up to eight steps per power of two, so
 * that there are few lists.
 */
static h2o_timeout_t *
timer_list(struct worker *worker, uint64_t ms)
{
	h2o_timeout_t *list;
	uint64_t step = 1;

	while (ms / step > 16)
		step *= 2;
	ms = (ms + step - 1) / step * step;
	for (int i = 0; i < worker->ntimer_lists; i++)
		if (worker->timer_lists[i]->timeout == ms)
			return worker->timer_lists[i];
	if (worker->ntimer_lists == TIMER_LISTS)
		abort();
	list = h2o_mem_alloc(sizeof *list);
	memset(list, 0, sizeof *list);
	h2o_timeout_init(worker->thread.loop, list, ms);
	worker->timer_lists[worker->ntimer_lists++] = list;
	return list;
}

static void
on_timer(h2o_timeout_entry_t *entry)
{
	struct timer *timer = H2O_STRUCT_FROM_MEMBER(struct timer, entry, entry);

	timer->list = NULL;
	timer->fire(timer);
}

void
timer_start(struct timer *timer, uint64_t ms, void (*fire)(struct timer *timer))
{
	struct worker *worker = worker_self();

	timer_stop(timer);
	memset(&timer->entry, 0, sizeof timer->entry);
	timer->entry.cb = on_timer;
	timer->fire = fire;
	timer->list = timer_list(worker, ms);
	h2o_timeout_link(worker->thread.loop, timer->list, &timer->entry);
}

void
timer_stop(struct timer *timer)
{
	if (!timer->list)
		return;
	h2o_timeout_unlink(&timer->entry);
	timer->list = NULL;
}

/* --- messages between threads --- */

static void
on_messages(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	(void) receiver;
	while (!h2o_linklist_is_empty(messages))
	{
		struct message *message =
			H2O_STRUCT_FROM_MEMBER(struct message, super.link, messages->next);

		h2o_linklist_unlink(&message->super.link);
		message->fn(message->data);
		free(message);
	}
}

void
loop_post(int thread, void (*fn)(void *data), void *data)
{
	struct message *message = h2o_mem_alloc(sizeof *message);

	memset(message, 0, sizeof *message);
	message->fn = fn;
	message->data = data;
	h2o_multithread_send_message(&workers[thread].receiver, &message->super);
}

void
loop_broadcast(void (*fn)(void *data), void *data)
{
	for (int i = 0; i < nworkers; i++)
		loop_post(i, fn, data);
}

/* --- accepting --- */

static void on_accept(h2o_socket_t *sock, const char *err);

static void
count_open(struct worker *worker)
{
	atomic_store_explicit(&worker->open, worker->connections, memory_order_relaxed);
}

static void
on_close(void *data)
{
	struct worker *worker = data;

	worker->connections--;
	count_open(worker);
	if (worker->full && worker->public.sock && worker->connections < worker->connection_limit)
	{
		worker->full = false;
		h2o_socket_read_start(worker->public.sock, on_accept);
	}
}

/* Lets the next client in; false: none waits, or there are enough. */
static bool
accept_one(struct listener *listener)
{
	struct worker *worker = worker_self();
	h2o_socket_t *client;

	if (listener->public && worker->connections >= worker->connection_limit)
	{
		worker->full = true;
		h2o_socket_read_stop(listener->sock);
		return false;
	}
	client = h2o_evloop_socket_accept(listener->sock);
	if (!client)
		return false;
	if (listener->public)
	{
		worker->connections++;
		count_open(worker);
		client->on_close.cb = on_close;
		client->on_close.data = worker;
		for (int i = 0; i < HOOKS && accept_hooks[i]; i++)
			accept_hooks[i](client);
	}
	h2o_accept(&listener->accept, client);
	return true;
}

static void
on_accept(h2o_socket_t *sock, const char *err)
{
	for (int i = 0; i < ACCEPT_BATCH && !err; i++)
		if (!accept_one(sock->data))
			return;
}

static void
accept_all(struct listener *listener)
{
	while (listener->sock && accept_one(listener))
		;
}

static void
listener_open(struct listener *listener, h2o_context_t *ctx, h2o_globalconf_t *conf)
{
	listener->accept.ctx = ctx;
	listener->accept.hosts = conf->hosts;
	listener->sock = h2o_evloop_socket_create(ctx->loop, listener->fd, H2O_SOCKET_FLAG_DONT_READ);
	listener->sock->data = listener;
	h2o_socket_read_start(listener->sock, on_accept);
}

static void
listener_close(struct listener *listener)
{
	if (!listener->sock)
		return;
	h2o_socket_read_stop(listener->sock);
	h2o_socket_close(listener->sock);
	listener->sock = NULL;
}

/* Splits "host:port", "[v6]:port", ":port"; the copies are the caller's. */
static bool
split_address(const char *address, char *host, size_t host_size, const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t len;

	if (!colon)
		return false;
	*port = colon + 1;
	len = (size_t) (colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']')
	{
		address++;
		len -= 2;
	}
	if (len >= host_size)
		return false;
	memcpy(host, address, len);
	host[len] = '\0';
	return true;
}

static int
bind_one(const struct addrinfo *address)
{
	int on = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
		bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, 4096) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Notes the URL under which the first socket of a listener is reached. */
static void
note_url(int fd, bool admin, char *port, size_t port_size)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof address;
	char host[NI_MAXHOST];
	struct text url = { 0 };

	if (getsockname(fd, (struct sockaddr *) &address, &len) != 0 ||
		getnameinfo((struct sockaddr *) &address,
					len,
					host,
					sizeof host,
					port,
					(socklen_t) port_size,
					NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		abort();
	if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
		text_printf(&url, "http://localhost:%s", port);
	else
		text_printf(&url, strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
	urls[admin ? 1 : 0] = url.base;
}

/* Binds n sockets to one address; the kernel spreads connections over them. */
static bool
bind_all(const char *address, bool admin, int n)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found = NULL;
	char host[NI_MAXHOST];
	char chosen[NI_MAXSERV] = "";
	const char *port;

	for (int i = 0; i < n; i++)
	{
		struct listener *listener = admin ? &workers[i].admin : &workers[i].public;
		int error;

		if (!split_address(address, host, sizeof host, &port))
			return false;
		error = getaddrinfo(host[0] ? host : NULL, chosen[0] ? chosen : port, &hints, &found);
		if (error != 0)
		{
			log_event(
				LOG_LEVEL_ERROR, "loop", "cannot resolve %s: %s", address, gai_strerror(error));
			return false;
		}
		listener->fd = bind_one(found);
		listener->public = !admin;
		freeaddrinfo(found);
		if (listener->fd < 0)
		{
			log_event(LOG_LEVEL_ERROR, "loop", "cannot listen on %s: %s", address, strerror(errno));
			return false;
		}
		if (i == 0)
			note_url(listener->fd, admin, chosen, sizeof chosen);
	}
	return true;
}

/* --- stopping --- */

static void
on_expiry(struct timer *timer)
{
	(void) timer;
	worker_self()->expired = true;
}

/* Ends the connections that only wait, and those with a request once it is answered. */
static void
on_drain(struct timer *timer)
{
	struct worker *worker = H2O_STRUCT_FROM_MEMBER(struct worker, drain, timer);

	for (int i = 0; i < HOOKS && drain_hooks[i]; i++)
		drain_hooks[i]();
	h2o_context_request_shutdown(&worker->thread.ctx);
}

/*
 * Stops listening first. Clients whose connection the kernel had completed are let in, and have a
 * moment to send what they connected for.
 */
static void
drain(void *data)
{
	struct worker *worker = worker_self();

	(void) data;
	if (worker->thread.draining)
		return;
	worker->thread.draining = true;
	accept_all(&worker->public);
	listener_close(&worker->public);
	timer_start(&worker->drain, LAST_REQUEST_MS, on_drain);
	timer_start(&worker->expiry, (uint64_t) config.drain_s * 1000, on_expiry);
}

static void
on_signal(h2o_socket_t *sock, const char *err)
{
	struct signalfd_siginfo info;

	(void) err;
	while (read(h2o_socket_get_fd(sock), &info, sizeof info) == (ssize_t) sizeof info)
	{
		if (info.ssi_signo == SIGHUP)
			continue;
		if (stopping)
			_exit(1);
		stopping = true;
		log_event(LOG_LEVEL_INFO, "loop", "stopping, %zu connections open", loop_connections());
		loop_broadcast(drain, NULL);
	}
}

static bool
watch_signals(h2o_loop_t *loop)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return false;
	signals = h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	h2o_socket_read_start(signals, on_signal);
	return true;
}

static void
block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* --- the threads --- */

static bool
finished(const struct worker *worker)
{
	return worker->thread.draining && (worker->connections == 0 || worker->expired);
}

/*
 * On the thread itself: the buffers of h2o's sockets, also of the pipe that wakes the loop, come
 * from lists of the thread that made the socket.
 */
static void
worker_init(struct worker *worker)
{
	worker->thread.loop = h2o_evloop_create();
	worker->turn_tail = &worker->turn_head;
	worker->connection_limit = (size_t) (config.max_connections + nworkers - 1) / (size_t) nworkers;
	h2o_context_init(&worker->thread.ctx, worker->thread.loop, public_conf);
	h2o_multithread_register_receiver(worker->thread.ctx.queue, &worker->receiver, on_messages);
	if (worker->thread.index == 0 && admin_conf)
	{
		h2o_context_init(&worker->admin_ctx, worker->thread.loop, admin_conf);
		listener_open(&worker->admin, &worker->admin_ctx, admin_conf);
	}
	if (worker->thread.index == 0 && !watch_signals(worker->thread.loop))
		abort();
}

static void *
run(void *data)
{
	struct worker *worker = data;

	self = &worker->thread;
	worker_init(worker);
	pthread_barrier_wait(&all_there); /* messages may be posted to every thread from now on */
	setup_hook(self);
	listener_open(&worker->public, &worker->thread.ctx, worker->thread.ctx.globalconf);
	while (!finished(worker))
	{
		h2o_loop_t *loop = worker->thread.loop;
		/* what the end of the turn wrote completes in the next one: do not sleep before it */
		bool pending = loop->_pending_as_client || loop->_pending_as_server;

		atomic_store_explicit(&worker->turned_us, text_clock_us(), memory_order_relaxed);
		h2o_evloop_run(loop, pending ? 0 : 500);
		run_turn_end(worker);
	}
	return NULL;
}

int
loop_run(h2o_globalconf_t *global, h2o_globalconf_t *admin, void (*setup)(struct thread *))
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	bool has_admin = admin && config.admin_listen[0] != '\0';

	block_signals();
	setup_hook = setup;
	nworkers = config.threads > 0 ? config.threads : (int) (cores > 0 ? cores : 1);
	if (nworkers > MAX_THREADS)
		nworkers = MAX_THREADS;
	workers = calloc((size_t) nworkers, sizeof *workers);
	if (!workers)
		abort();
	if (!bind_all(config.listen, false, nworkers) ||
		(has_admin && !bind_all(config.admin_listen, true, 1)))
		return 1;
	public_conf = global;
	admin_conf = has_admin ? admin : NULL;
	pthread_barrier_init(&all_there, NULL, (unsigned) nworkers);
	for (int i = 0; i < nworkers; i++)
		workers[i].thread.index = i;
	for (int i = 1; i < nworkers; i++)
		if (pthread_create(&workers[i].id, NULL, run, &workers[i]) != 0)
			return 1;
	run(&workers[0]);
	for (int i = 1; i < nworkers; i++)
		pthread_join(workers[i].id, NULL);
	return 0;
}
