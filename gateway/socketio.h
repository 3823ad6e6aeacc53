/*
 * Socket.IO v5 over Engine.IO, namespace "/": a codec of the hub.
 *
 * A client that was given a pid and sends it again with the position it had is recovered: its
 * channels are those remembered in the database under the connection that the pid names, and the
 * events after that position follow. No gateway remembers anything, so any of them will do.
 */
#pragma once

/* Routes and the rest; before loop_run. */
void socketio_install(void);
