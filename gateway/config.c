#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

struct config config;
enum config_action config_action = CONFIG_RUN;

enum kind
{
	KIND_TEXT,
	KIND_SECRET, /* also as <name>_file */
	KIND_INT,
	KIND_BOOL
};

struct setting
{
	const char *name;
	enum kind kind;
	void *place;
	const char *initial;
	int min, max;
	const char *help;
};

static const struct setting settings[] = {
	{ "access_token_s",
	  KIND_INT,
	  &config.access_token_s,
	  "600",
	  10,
	  86400,
	  "life of an access token" },
	{ "admin_listen",
	  KIND_TEXT,
	  &config.admin_listen,
	  "127.0.0.1:9180",
	  0,
	  0,
	  "host:port of /live /ready /metrics, empty: none" },
	{ "cache_l1_mb",
	  KIND_INT,
	  &config.cache_l1_mb,
	  "32",
	  0,
	  65536,
	  "in-process response cache per thread" },
	{ "cors_origins",
	  KIND_TEXT,
	  &config.cors_origins,
	  "",
	  0,
	  0,
	  "allowed origins, comma separated" },
	{ "database",
	  KIND_SECRET,
	  &config.database,
	  "dbname=saleshub user=saleshub_gateway",
	  0,
	  0,
	  "libpq connection string" },
	{ "drain_s",
	  KIND_INT,
	  &config.drain_s,
	  "25",
	  0,
	  3600,
	  "time for requests under way after SIGTERM" },
	{ "head_limit",
	  KIND_INT,
	  &config.head_limit,
	  "32768",
	  1024,
	  1048576,
	  "largest request head, bytes" },
	{ "jwt_secret",
	  KIND_SECRET,
	  &config.jwt_secret,
	  "",
	  0,
	  0,
	  "key of the access tokens, at least 32 bytes" },
	{ "listen",
	  KIND_TEXT,
	  &config.listen,
	  "127.0.0.1:8080",
	  0,
	  0,
	  "host:port, port 0: any free one" },
	{ "live_per_member",
	  KIND_INT,
	  &config.live_per_member,
	  "1000",
	  1,
	  1000000,
	  "live connections of one member, per thread" },
	{ "log_requests", KIND_BOOL, &config.log_requests, "on", 0, 0, "one JSON line per request" },
	{ "max_body",
	  KIND_INT,
	  &config.max_body,
	  "8388608",
	  1024,
	  1073741824,
	  "largest request body, bytes" },
	{ "max_connections",
	  KIND_INT,
	  &config.max_connections,
	  "20000",
	  1,
	  1000000,
	  "open client connections" },
	{ "max_upload",
	  KIND_INT,
	  &config.max_upload,
	  "1073741824",
	  1024,
	  INT_MAX,
	  "largest body of a route that takes a file, bytes" },
	{ "queue_limit",
	  KIND_INT,
	  &config.queue_limit,
	  "2000",
	  1,
	  1000000,
	  "requests waiting for the database, per thread" },
	{ "queue_timeout_ms",
	  KIND_INT,
	  &config.queue_timeout_ms,
	  "1000",
	  10,
	  600000,
	  "longest wait for a database connection" },
	{ "read_connections",
	  KIND_INT,
	  &config.read_connections,
	  "2",
	  1,
	  64,
	  "pipelined database connections per thread" },
	{ "ready_file", KIND_TEXT, &config.ready_file, "", 0, 0, "written when serving" },
	{ "redis", KIND_TEXT, &config.redis, "", 0, 0, "unix:/path or host:port, empty: none" },
	{ "refresh_token_s",
	  KIND_INT,
	  &config.refresh_token_s,
	  "2592000",
	  60,
	  315360000,
	  "life of an unused session" },
	{ "request_timeout_ms",
	  KIND_INT,
	  &config.request_timeout_ms,
	  "10000",
	  100,
	  600000,
	  "head and body must have arrived" },
	{ "sign_up", KIND_BOOL, &config.sign_up, "on", 0, 0, "strangers may create an organisation" },
	{ "spool_dir",
	  KIND_TEXT,
	  &config.spool_dir,
	  "/var/tmp",
	  0,
	  0,
	  "folder for bodies of uploads while they come" },
	{ "spool_limit_mb",
	  KIND_INT,
	  &config.spool_limit_mb,
	  "8192",
	  1,
	  INT_MAX,
	  "room for them there, all together" },
	{ "threads", KIND_INT, &config.threads, "0", 0, 256, "event loops, 0: one per core" },
	{ "transfer_limit",
	  KIND_INT,
	  &config.transfer_limit,
	  "8",
	  1,
	  10000,
	  "uploads and downloads at once, each with a database connection" },
	{ "web_root", KIND_TEXT, &config.web_root, "", 0, 0, "folder of the console's files" },
	{ "write_connections",
	  KIND_INT,
	  &config.write_connections,
	  "2",
	  1,
	  64,
	  "writing database connections per thread" },
};
enum
{
	SETTINGS = sizeof settings / sizeof settings[0]
};

static bool
fault(const char *where, const char *name, const char *message)
{
	fprintf(stderr, "saleshub-gateway: %s: %s: %s\n", where, name, message);
	return false;
}

static char *
copy(const char *base, size_t len)
{
	char *result = strndup(base, len);

	if (!result)
		abort();
	return result;
}

/* First line of a file, without its end; NULL when it cannot be read. */
static char *
read_secret(const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t capacity = 0;
	ssize_t len;

	if (!file)
		return NULL;
	len = getline(&line, &capacity, file);
	fclose(file);
	if (len < 0)
	{
		free(line);
		return NULL;
	}
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

static const struct setting *
find(const char *name, size_t len, bool *from_file)
{
	*from_file = false;
	for (int i = 0; i < SETTINGS; i++)
	{
		size_t n = strlen(settings[i].name);

		if (n == len && memcmp(settings[i].name, name, len) == 0)
			return &settings[i];
		if (settings[i].kind == KIND_SECRET && len == n + 5 &&
			memcmp(settings[i].name, name, n) == 0 && memcmp(name + n, "_file", 5) == 0)
		{
			*from_file = true;
			return &settings[i];
		}
	}
	return NULL;
}

static bool
set_int(const struct setting *setting, const char *value, const char *where)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0')
		return fault(where, setting->name, "not an integer");
	if (number < setting->min || number > setting->max)
	{
		char message[80];

		snprintf(message, sizeof message, "must be from %d to %d", setting->min, setting->max);
		return fault(where, setting->name, message);
	}
	*(int *) setting->place = (int) number;
	return true;
}

static bool
set_bool(const struct setting *setting, const char *value, const char *where)
{
	static const char *const yes[] = { "on", "true", "yes", "1" };
	static const char *const no[] = { "off", "false", "no", "0" };

	for (int i = 0; i < 4; i++)
	{
		if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0)
		{
			*(bool *) setting->place = strcmp(value, yes[i]) == 0;
			return true;
		}
	}
	return fault(where, setting->name, "must be on or off");
}

static bool
set(const char *name, size_t len, const char *value, const char *where)
{
	bool from_file;
	const struct setting *setting = find(name, len, &from_file);

	if (!setting)
	{
		char *unknown = copy(name, len);

		fault(where, unknown, "no such setting");
		free(unknown);
		return false;
	}
	if (setting->kind == KIND_INT)
		return set_int(setting, value, where);
	if (setting->kind == KIND_BOOL)
		return set_bool(setting, value, where);
	if (from_file)
	{
		char *secret = read_secret(value);

		if (!secret)
			return fault(where, setting->name, "its file cannot be read");
		free(*(char **) setting->place);
		*(char **) setting->place = secret;
		return true;
	}
	free(*(char **) setting->place);
	*(char **) setting->place = copy(value, strlen(value));
	return true;
}

/* One "key = value" line; blank lines and lines starting with # mean nothing. */
static bool
read_line(char *line, const char *where)
{
	char *equals;
	size_t len;

	line += strspn(line, " \t");
	line[strcspn(line, "\r\n")] = '\0';
	if (*line == '\0' || *line == '#')
		return true;
	equals = strchr(line, '=');
	if (!equals)
		return fault(where, line, "not of the form key=value");
	for (len = (size_t) (equals - line); len > 0 && strchr(" \t", line[len - 1]); len--)
		;
	equals += 1 + strspn(equals + 1, " \t");
	for (size_t n = strlen(equals); n > 0 && strchr(" \t", equals[n - 1]); n--)
		equals[n - 1] = '\0';
	return set(line, len, equals, where);
}

static bool
read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t capacity = 0;
	int number = 0;
	bool ok = true;

	if (!file)
		return fault(path, "config", strerror(errno));
	while (ok && getline(&line, &capacity, file) >= 0)
	{
		char where[PATH_MAX + 16];

		snprintf(where, sizeof where, "%s:%d", path, ++number);
		ok = read_line(line, where);
	}
	free(line);
	fclose(file);
	return ok;
}

static bool
read_environment(char **environment)
{
	for (; *environment; environment++)
	{
		char name[64];
		const char *equals = strchr(*environment, '=');
		size_t len;

		if (strncmp(*environment, "SALESHUB_", 9) != 0 || !equals)
			continue;
		len = (size_t) (equals - *environment) - 9;
		if (len >= sizeof name)
			return fault("environment", *environment, "no such setting");
		for (size_t i = 0; i < len; i++)
		{
			char c = (*environment)[9 + i];

			name[i] = c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
		}
		name[len] = '\0';
		if (strcmp(name, "config") != 0 && !set(name, len, equals + 1, "environment"))
			return false;
	}
	return true;
}

static bool
read_flag(const char *flag)
{
	static const struct
	{
		const char *name;
		enum config_action action;
	} actions[] = { { "--check-config", CONFIG_CHECK },
					{ "--print-config", CONFIG_PRINT },
					{ "--hash-password", CONFIG_HASH_PASSWORD },
					{ "--help", CONFIG_HELP } };
	const char *equals = strchr(flag, '=');
	char name[64];
	size_t len;

	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
	{
		if (strcmp(flag, actions[i].name) == 0)
		{
			config_action = actions[i].action;
			return true;
		}
	}
	if (strncmp(flag, "--", 2) != 0 || !equals)
		return fault("arguments", flag, "not of the form --name=value");
	len = (size_t) (equals - flag) - 2;
	if (len >= sizeof name)
		return fault("arguments", flag, "no such setting");
	for (size_t i = 0; i < len; i++)
		name[i] = flag[2 + i] == '-' ? '_' : flag[2 + i];
	name[len] = '\0';
	return strcmp(name, "config") == 0 || set(name, len, equals + 1, "arguments");
}

static bool
check(void)
{
	if (config_action == CONFIG_HASH_PASSWORD || config_action == CONFIG_HELP)
		return true;
	if (strlen(config.jwt_secret) < 32)
		return fault("settings", "jwt_secret", "must have at least 32 bytes");
	if (!strchr(config.listen, ':'))
		return fault("settings", "listen", "must be host:port");
	if (config.admin_listen[0] != '\0' && !strchr(config.admin_listen, ':'))
		return fault("settings", "admin_listen", "must be host:port");
	return true;
}

bool
config_load(int argc, char **argv)
{
	const char *path = getenv("SALESHUB_CONFIG");

	for (int i = 0; i < SETTINGS; i++)
		if (!set(settings[i].name, strlen(settings[i].name), settings[i].initial, "built-in"))
			return false;
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--config=", 9) == 0)
			path = argv[i] + 9;
	if (path && path[0] != '\0' && !read_file(path))
		return false;
	if (!read_environment(environ))
		return false;
	for (int i = 1; i < argc; i++)
		if (!read_flag(argv[i]))
			return false;
	return check();
}

void
config_print(void)
{
	for (int i = 0; i < SETTINGS; i++)
	{
		const struct setting *setting = &settings[i];

		if (setting->kind == KIND_INT)
			printf("%s=%d\n", setting->name, *(int *) setting->place);
		else if (setting->kind == KIND_BOOL)
			printf("%s=%s\n", setting->name, *(bool *) setting->place ? "on" : "off");
		else if (setting->kind == KIND_SECRET)
			printf("# %s=%s\n", setting->name, **(char **) setting->place ? "(set)" : "(empty)");
		else
			printf("%s=%s\n", setting->name, *(char **) setting->place);
	}
}

void
config_help(void)
{
	puts("usage: saleshub-gateway [--config=FILE] [--NAME=VALUE ...]\n"
		 "       saleshub-gateway --check-config | --print-config | --hash-password\n\n"
		 "Each setting can stand in the file (NAME=VALUE), in the environment (SALESHUB_NAME)\n"
		 "or on the command line; the later wins. Secrets may be given as NAME_file.\n");
	for (int i = 0; i < SETTINGS; i++)
		printf("  %-20s %s (%s)\n",
			   settings[i].name,
			   settings[i].help,
			   settings[i].kind == KIND_SECRET && settings[i].initial[0] == '\0' ?
				   "none" :
				   settings[i].initial);
}
