#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "auth.h"
#include "cache.h"
#include "config.h"
#include "door.h"
#include "health.h"
#include "http.h"
#include "hub.h"
#include "listen.h"
#include "log.h"
#include "longpoll.h"
#include "loop.h"
#include "password.h"
#include "pool.h"
#include "redis.h"
#include "route.h"
#include "socketio.h"
#include "stream.h"
#include "text.h"
#include "upload.h"

/* Whole or not at all: whoever waits for the file never reads half of it. */
static bool
write_file(const char *path, const struct text *content)
{
	struct text temporary = { 0 };
	bool ok;
	int fd;

	text_printf(&temporary, "%s.new", path);
	fd = open(temporary.base, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ok = fd >= 0 && write(fd, content->base, content->len) == (ssize_t) content->len;
	if (fd >= 0)
		close(fd);
	ok = ok && rename(temporary.base, path) == 0;
	text_free(&temporary);
	return ok;
}

static void
on_ready(void)
{
	const char *admin = loop_url(true);
	struct text content = { 0 };

	log_event(LOG_LEVEL_INFO, "main", "serving %s", loop_url(false));
	if (config.ready_file[0] == '\0')
		return;
	text_printf(&content, "{\"url\":\"%s\"", loop_url(false));
	if (admin)
		text_printf(&content, ",\"admin_url\":\"%s\"", admin);
	text_puts(&content, "}\n");
	if (!write_file(config.ready_file, &content))
		log_event(LOG_LEVEL_ERROR, "main", "cannot write %s", config.ready_file);
	text_free(&content);
}

static void
on_event(const char *epoch, int64_t top)
{
	hub_notify(epoch, top);
}

static void
setup(struct thread *thread)
{
	thread->pool = pool_new(
		config.database, config.read_connections, config.write_connections, config.queue_limit);
	thread->redis = config.redis[0] != '\0' ? redis_new(config.redis) : NULL;
	thread->cache = cache_new((size_t) config.cache_l1_mb << 20);
	thread->hub = hub_new();
	if (thread->index == 0)
	{
		route_start(on_ready);
		listen_start(config.database, on_event);
	}
}

static int
serve(void)
{
	static h2o_globalconf_t global, admin;
	int status;

	if (config.ready_file[0] != '\0')
		unlink(config.ready_file);
	http_install(&global);
	http_install_admin(&admin);
	upload_install();
	door_configure(&global);
	loop_on_accept(door_guard);
	loop_on_drain(door_drain);
	health_register();
	auth_start();
	account_start();
	stream_install();
	longpoll_install();
	socketio_install();
	status = loop_run(&global, &admin, setup);
	if (config.ready_file[0] != '\0')
		unlink(config.ready_file);
	log_event(LOG_LEVEL_INFO, "main", "stopped");
	return status;
}

static int
hash_password(void)
{
	char *line = NULL;
	size_t capacity = 0;
	char hash[PASSWORD_HASH];
	bool ok;

	if (getline(&line, &capacity, stdin) < 0)
		return 1;
	line[strcspn(line, "\r\n")] = '\0';
	ok = password_hash(line, hash);
	free(line);
	if (ok)
		puts(hash);
	return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
	if (!config_load(argc, argv))
		return 2;
	if (sodium_init() < 0)
		return 1;
	switch (config_action)
	{
		case CONFIG_CHECK:
			return 0;
		case CONFIG_PRINT:
			config_print();
			return 0;
		case CONFIG_HELP:
			config_help();
			return 0;
		case CONFIG_HASH_PASSWORD:
			return hash_password();
		case CONFIG_RUN:
			break;
	}
	return serve();
}
