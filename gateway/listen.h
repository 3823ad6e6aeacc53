/* The one LISTEN connection of the process (thread 0): hears of new events and tells every thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Connects, LISTENs on channel `saleshub` and calls fn(epoch, top) on thread 0 for each
 * notification and once after each (re)connect (with the state read from the database), so that
 * nothing is missed while the connection was away.
 */
void listen_start(const char *conninfo, void (*fn)(const char *epoch, int64_t top));
void listen_stop(void);
bool listen_alive(void);
