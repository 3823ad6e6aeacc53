/*
 * Are the sessions of the listeners still what they were when last confirmed? One query for all
 * of them, by the same commit stamps that keep cached answers fresh.
 */
#pragma once

#include "hub.h"

struct recheck;

/* doubt(session, data): something about that session or its member was changed. */
struct recheck *recheck_new(void (*doubt)(void *data, const char *session), void *data);
/* A round: begin (false: the last one is still under way), add each listener, send. */
bool recheck_begin(struct recheck *recheck);
void recheck_add(struct recheck *recheck, const struct hub_subscriber *subscriber);
void recheck_send(struct recheck *recheck);
/* The event may change what some members of its organisation may have. */
bool recheck_rights(const struct hub_event *event);
/* The event is a change of the subscriber's session or member, or of what it may have. */
bool recheck_concerns(const struct hub_subscriber *subscriber, const struct hub_event *event);
