/* Comparing what people type: mail domains, company names, names of people. */
#pragma once

#include "executor/tuptable.h"
#include "utils/jsonb.h"

/* Whether a mail domain in lower case hands out addresses to everybody. */
extern bool sh_domain_is_free(const char *domain, int len);
/* The name of a company without case, punctuation and legal form; NULL when nothing is left. */
extern char *sh_company_key(const char *name, int len);
/* Jaro-Winkler similarity of two names, letter case ignored: 0 to 1. */
extern double sh_name_similarity(const char *a, const char *b);

/* match_text.c: normal forms. All results are palloc'd. */

/* Without case, accents and punctuation; words parted by one space. May be empty. */
extern char *sh_match_fold(const char *data, int len);
/* The name of a company, folded, without its legal form; NULL when nothing is left. */
extern char *sh_match_company(const char *data, int len);
/* The same as sh_match_fold, without spaces. */
extern char *sh_match_letters(const char *data, int len);
/* An address without tag and, for Gmail, dots; NULL when empty. */
extern char *sh_match_email(const char *data, int len);
/* The registrable part of a domain; NULL for one that hands out addresses to everybody. */
extern char *sh_match_domain(const char *data, int len);
/* The digits without an extension; of a number without its country only the last ones. */
extern char *sh_match_phone(const char *data, int len);
/* The last digits, which are the same with and without the country. */
extern const char *sh_match_phone_tail(const char *digits);
/* How a folded word sounds (Metaphone); never empty unless the word is. */
extern char *sh_match_phonetic(const char *word);

/* match_domain.c: names in lower case */

/* An internationalised domain in Unicode, however it was written; palloc'd. */
extern char *sh_domain_unicode(const char *domain);
/* The part of a host name that somebody registered: example.co.uk of mail.example.co.uk. */
extern const char *sh_domain_registrable(const char *domain);

/* match_level.c: how far two values of a field agree */

enum match_level
{
	MATCH_MISSING,
	MATCH_DIFFER,
	MATCH_CLOSE,
	MATCH_SAME
};

enum match_kind
{
	MATCH_FIRST_NAME,
	MATCH_LAST_NAME,
	MATCH_EMAIL,
	MATCH_PHONE,
	MATCH_COMPANY,
	MATCH_DOMAIN,
	MATCH_TEXT,
	MATCH_CODE,
	MATCH_DATE
};

struct match_text
{
	const char *data; /* NULL: missing */
	int len;
};

/* The kind of this name; false: there is none. */
extern bool sh_match_kind(const char *name, int len, enum match_kind *kind);
/* The form in which a value of the kind is compared; NULL when nothing is left of it. */
extern const char *sh_match_normal(enum match_kind kind, struct match_text value);
/* Of two such forms; NULL is missing. */
extern enum match_level sh_match_level(enum match_kind kind, const char *x, const char *y);

/* The nth name that a folded word is a short form or another form of; NULL when there is none. */
extern const char *sh_match_full_name(const char *word, int nth);

/* match_explain.c */

/* The text of a member of a record, or of a member's member when the name has a dot. */
extern struct match_text sh_match_field(Jsonb *record, const char *name, int len);

/* match_key.c: under which keys a record is found */

/* The fields that keys are made of. */
enum match_field_number
{
	MATCH_AT_FIRST_NAME,
	MATCH_AT_LAST_NAME,
	MATCH_AT_EMAIL,
	MATCH_AT_PHONE,
	MATCH_AT_COMPANY_NAME,
	MATCH_AT_COMPANY_ID,
	MATCH_AT_NAME,
	MATCH_AT_DOMAIN,
	MATCH_FIELDS
};

/* A record as JSON, or a row of its table. */
struct match_record
{
	Jsonb *json;
	TupleTableSlot *slot;
	int column[MATCH_FIELDS]; /* of the slot; 0: the table has none */
};

#define MATCH_KEY_MAX 64

extern const char *sh_match_field_name(enum match_field_number field);
/* The hashed keys, sorted, into out, which has room for MATCH_KEY_MAX; how many there are. */
extern int sh_match_hashes(const char *entity, const struct match_record *record, Jsonb *rules,
						   int64 *out);

/* match_keep.c */

/* A column of a row as text, like sh_match_field has it of the row as JSON. */
extern struct match_text sh_match_column(TupleTableSlot *slot, int column);
extern struct match_text sh_match_slot_field(TupleTableSlot *slot, const char *name, int len);
