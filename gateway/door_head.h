/* The part of the request check that knows what headers mean; for the state machine only. */
#pragma once

#include "door_scan.h"

/* Both set the fault and return false. */
bool door_refuse(struct door_scan *scan, int status, const char *code, const char *detail);
bool door_malformed(struct door_scan *scan, const char *detail);

/* A host with or without port, lower case. */
bool door_authority_valid(const char *base);
/* Is the header whose name was read one that decides about framing? */
bool door_name_matters(const struct door_scan *scan);
/* A header line is complete; the head is: what follows? False: the fault is set. */
bool door_field_end(struct door_scan *scan);
bool door_head_end(struct door_scan *scan);
/* The head is judged and a body follows. False: it is larger than scan->most. */
bool door_body_begin(struct door_scan *scan);
/*
 * Gives the headers of a complete head that announce a body other names of the same length, so
 * that who reads it next finds a request without a body.
 */
void door_head_blind(char *base, size_t len);
/* The message is complete, the next one may begin. */
void door_message_end(struct door_scan *scan);
