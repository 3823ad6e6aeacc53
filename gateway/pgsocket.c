#include <fcntl.h>
#include <unistd.h>

#include "pgsocket.h"

h2o_socket_t *
pgsocket_watch(PGconn *pg, h2o_loop_t *loop, void *data)
{
	h2o_socket_t *sock;
	int fd = PQsocket(pg);

	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	sock = h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	sock->data = data;
	return sock;
}

void
pgsocket_close(h2o_socket_t *sock)
{
	if (!sock)
		return;
	h2o_socket_read_stop(sock);
	h2o_socket_close(sock);
}

static void
ignore_notice(void *data, const PGresult *result)
{
	(void) data;
	(void) result;
}

PGconn *
pgsocket_connect(const char *conninfo)
{
	static const char *const names[] = { "fallback_application_name", "dbname",
										 "client_encoding",			  "keepalives_idle",
										 "keepalives_interval",		  "keepalives_count",
										 "tcp_user_timeout",		  NULL };
	const char *const values[] = {
		"saleshub-gateway", conninfo, "UTF8", "30", "10", "3", "20000", NULL
	};
	PGconn *pg = PQconnectStartParams(names, values, 1);

	if (pg)
		PQsetNoticeReceiver(pg, ignore_notice, NULL);
	return pg;
}

bool
pgsocket_start(PGconn *pg, h2o_socket_t **sock, h2o_loop_t *loop, void *data, h2o_socket_cb fn)
{
	if (!pg || PQstatus(pg) == CONNECTION_BAD)
		return false;
	*sock = pgsocket_watch(pg, loop, data);
	if (!*sock)
		return false;
	h2o_socket_notify_write(*sock, fn);
	return true;
}

PostgresPollingStatusType
pgsocket_poll(PGconn *pg, h2o_socket_t **sock, h2o_loop_t *loop, void *data, h2o_socket_cb fn)
{
	PostgresPollingStatusType status = PQconnectPoll(pg);

	/* libpq may have moved on to another address and another descriptor */
	pgsocket_close(*sock);
	*sock = NULL;
	if (status != PGRES_POLLING_READING && status != PGRES_POLLING_WRITING)
		return status;
	*sock = pgsocket_watch(pg, loop, data);
	if (!*sock)
		return PGRES_POLLING_FAILED;
	if (status == PGRES_POLLING_READING)
		h2o_socket_read_start(*sock, fn);
	else
		h2o_socket_notify_write(*sock, fn);
	return status;
}
