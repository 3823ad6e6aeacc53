/* A libpq connection's socket on the h2o loop; libpq and h2o each close their own descriptor. */
#pragma once

#include <h2o.h>
#include <libpq-fe.h>
#include <stdbool.h>

/* NULL when the connection has no socket or descriptors ran out. */
h2o_socket_t *pgsocket_watch(PGconn *pg, h2o_loop_t *loop, void *data);
/* Before PQfinish; NULL is allowed. */
void pgsocket_close(h2o_socket_t *sock);
/* PQconnectStart with the gateway's defaults (application name, time-outs, encoding). */
PGconn *pgsocket_connect(const char *conninfo);
/* Waits until the first pgsocket_poll is due; false: give up. */
bool pgsocket_start(PGconn *pg, h2o_socket_t **sock, h2o_loop_t *loop, void *data,
					h2o_socket_cb fn);
/*
 * One step of connecting: watches the socket anew as libpq asks (fn is called for either event).
 * Returns the poll status; on PGRES_POLLING_OK and _FAILED nothing is watched any more.
 */
PostgresPollingStatusType pgsocket_poll(PGconn *pg, h2o_socket_t **sock, h2o_loop_t *loop,
										void *data, h2o_socket_cb fn);
