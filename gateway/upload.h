/*
 * Routes whose function takes a file: the body, raw or a part of a form, goes from the disk, where
 * the door put it, into the database piece by piece, in one transaction with the function.
 */
#pragma once

#include "http.h"
#include "route.h"

/* Before door_configure. */
void upload_install(void);
/* Takes over the match's reference to the table. False: the request has no file, do as always. */
bool upload_run(struct request *request, const struct route_match *match);
