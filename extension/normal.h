/* Values in one form, so that equal things compare equal. Texts are UTF-8. */
#pragma once

#include "postgres.h"

/* A text of its own length, without a terminating zero. */
struct span
{
	const char *data; /* NULL: missing */
	int len;
};

/* normal.c */

extern struct span sh_span_of(const void *text);
/* Number of characters. */
extern int sh_span_length(struct span value);
/* Length of the white space that the text begins with at this byte; 0: none. */
extern int sh_normal_space(const char *at, const char *end);
/* Without white space at its ends; missing when nothing is left. */
extern struct span sh_normal_clean(struct span value);
extern bool sh_normal_domain_ok(struct span domain);
extern bool sh_normal_email_ok(struct span email);
extern bool sh_normal_website_ok(struct span website);
/* In lower case, without scheme, user, www, port and path; palloc'd. */
extern struct span sh_normal_domain(struct span domain);
extern struct span sh_normal_lower(struct span value);
extern struct span sh_normal_upper(struct span value);
/* A text[]: its texts trimmed, each once, in the order given. */
extern Datum sh_normal_tags(Datum tags);

/* phone.c */

/* Telephone code of a country (ISO 3166 alpha-2), NULL when it is not known. */
extern const char *sh_calling_code(struct span country);
/*
 * The number as E.164 (+x12 for an extension), completed by the country where that is possible;
 * else its digits; NULL when it is no telephone number. palloc'd.
 */
extern char *sh_phone_normal(struct span phone, struct span country);
