/* Settings of the gateway: built-in < file (key=value) < environment SALESHUB_* < flags
 * --key=value. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct config
{
	const char *listen;		  /* host:port of the public listener, port 0 = any free one */
	const char *admin_listen; /* host:port of /live /ready /metrics /debug, loopback by default */
	const char *database;	  /* libpq connection string, as role saleshub_gateway */
	const char *redis;		  /* unix:/path, host:port, or empty: run without Redis */
	const char *jwt_secret;	  /* at least 32 bytes; usually from jwt_secret_file */
	const char *web_root;	  /* folder of the console's files, empty: none */
	const char *cors_origins; /* comma separated exact origins, empty: same origin only */
	const char *ready_file;	  /* written when serving: {"url","admin_url"}; empty: none */
	int threads;			  /* event loops, 0 = one per core */
	int read_connections;	  /* pipelined, per thread */
	int write_connections;	  /* per thread */
	int transfer_limit;		/* uploads and downloads at once, each with a connection, all threads */
	int queue_limit;		/* requests waiting for a database connection, per thread */
	int access_token_s;		/* life of an access token, seconds */
	int refresh_token_s;	/* life of a session without use, seconds */
	int max_body;			/* largest request body, bytes */
	int max_upload;			/* largest request body of a route that takes a file, bytes */
	const char *spool_dir;	/* folder of such bodies while they come */
	int spool_limit_mb;		/* of all of them together */
	int head_limit;			/* largest HTTP/1 request head, bytes */
	int request_timeout_ms; /* head and body must have arrived */
	int drain_s;			/* time for requests under way after SIGTERM */
	int cache_l1_mb;		/* in-process response cache, per thread */
	int live_per_member;	/* live connections of one member, per thread */
	int max_connections;	/* open client connections, all threads together */
	int queue_timeout_ms;	/* longest wait for a database connection */
	bool sign_up;			/* may strangers create an organisation */
	bool log_requests;		/* one JSON line per request */
};

/* The settings in force; constant after config_load. */
extern struct config config;

/* What the command line asks for. */
enum config_action
{
	CONFIG_RUN,
	CONFIG_CHECK,		  /* --check-config: exit 0, the settings are fine */
	CONFIG_PRINT,		  /* --print-config */
	CONFIG_HASH_PASSWORD, /* --hash-password: one line from standard input */
	CONFIG_HELP,
};
extern enum config_action config_action;

/* Reads file, environment and arguments; prints the fault and returns false when one is wrong. */
bool config_load(int argc, char **argv);
/* The settings in force, secrets left out. */
void config_print(void);
void config_help(void);
