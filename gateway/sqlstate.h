/* The one table from SQLSTATE to HTTP status and problem code. */
#pragma once

#include <stdbool.h>

struct sqlstate_answer
{
	int status;
	const char *code;	/* of the problem */
	const char *detail; /* what a client is told, when the database's own message is not for it */
	bool show;			/* the database's message speaks of the client's own input */
	bool retry;			/* Retry-After makes sense */
};

/* anonymous: the request carried no member. */
struct sqlstate_answer sqlstate_answer(const char *sqlstate, bool anonymous);
/* The reason phrase of a status. */
const char *sqlstate_title(int status);
