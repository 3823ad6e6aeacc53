/*
 * The query language: words (all of a few must be there, of many any will do),
 * "phrases", -not, OR between neighbours, prefix*, field:value, parentheses. What is not well
 * formed is read as the words that it holds: people type anything.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "saleshub.h"
#include "search_eval.h"

#define PHONE_DIGITS_MIN 6
#define PHONE_DIGITS_MAX 15

struct parser
{
	struct query *query;
	const char *at, *end;
	int depth;
};

static const struct
{
	const char *name;
	uint8 fields;
} field_names[] = { { "title", 1 << SEARCH_TITLE },		   { "name", 1 << SEARCH_TITLE },
					{ "subject", 1 << SEARCH_TITLE },	   { "email", 1 << SEARCH_IDENTIFIER },
					{ "phone", 1 << SEARCH_IDENTIFIER },   { "domain", 1 << SEARCH_IDENTIFIER },
					{ "website", 1 << SEARCH_IDENTIFIER }, { "body", 1 << SEARCH_BODY },
					{ "notes", 1 << SEARCH_NOTES } };

static struct query_node *parse_any(struct parser *p, uint8 fields);

/* --- the tree --- */

static void
refuse(const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the query %s", what),
			 errdetail("{\"code\": \"invalid_parameter\", \"errors\": [{\"parameter\": \"q\", "
					   "\"code\": \"too_complex\", \"detail\": \"the query %s\"}]}",
					   what),
			 errhint("%s", hint)));
}

int
sh_query_term(struct query *query, uint64 term, const char *word, uint8 fields, double boost)
{
	struct query_term *t;

	for (int i = 0; i < query->term_count; i++)
		if (query->terms[i].term == term && query->terms[i].fields == fields)
		{
			query->terms[i].boost = Max(query->terms[i].boost, boost);
			return i;
		}
	if (query->term_count == QUERY_TERMS_MAX)
		refuse("has too many words", "Ask for fewer words.");
	t = &query->terms[query->term_count];
	memset(t, 0, sizeof(*t));
	t->term = term;
	t->fields = fields;
	t->boost = boost;
	strlcpy(t->word, word, sizeof t->word);
	return query->term_count++;
}

struct query_node *
sh_query_node(enum query_kind kind, uint8 fields)
{
	struct query_node *node = palloc0(sizeof(*node));

	node->kind = kind;
	node->fields = fields;
	return node;
}

void
sh_query_add(struct query_node *to, struct query_node *part)
{
	if (to->count == to->size)
	{
		to->size = Max(4, to->size * 2);
		to->parts = to->parts ? repalloc(to->parts, to->size * sizeof(*to->parts)) :
								palloc(to->size * sizeof(*to->parts));
	}
	to->parts[to->count++] = part;
}

struct query_node *
sh_query_simplest(struct query_node *node)
{
	if (node->count == 0)
		return NULL;
	return node->count == 1 ? node->parts[0] : node;
}

/* --- words --- */

struct taker
{
	struct query *query;
	struct query_node *phrase;
	uint32 first;
	int start; /* of the text in the query */
};

static void
take_word(void *arg, const struct sh_search_word *word)
{
	struct taker *taker = arg;
	struct query_node *node = sh_query_node(QUERY_WORD, taker->phrase->fields);

	if (taker->phrase->count == 0)
		taker->first = word->position;
	node->term = sh_query_term(taker->query, word->term, word->text, node->fields, 1);
	node->distance = (int) (word->position - taker->first);
	node->place = ++taker->query->words;
	node->stop = word->stop;
	node->start = taker->start + word->start;
	node->end = taker->start + word->end;
	sh_query_add(taker->phrase, node);
}

/* What was typed without blanks between: one word, or words that follow each other. */
static struct query_node *
words_of(struct parser *p, const char *text, int len, uint8 fields, bool plain)
{
	struct query_node *phrase = sh_query_node(QUERY_PHRASE, fields);
	struct taker taker = { p->query, phrase, 0, (int) (text - p->query->text) };
	struct query_node *node;

	sh_search_words(text, len, p->query->dictionary, 1, take_word, &taker);
	node = sh_query_simplest(phrase);
	if (node)
		node->plain = plain;
	return node;
}

/* Up to 15 digits between marks that telephone numbers are written with; -1 when it is none. */
static int
digits_of(const char *text, int len, char *digits)
{
	int count = 0;

	for (int i = 0; i < len; i++)
	{
		if (isdigit((unsigned char) text[i]))
		{
			if (count == PHONE_DIGITS_MAX)
				return -1;
			digits[count++] = text[i];
		}
		else if (!strchr("+-()/. ", text[i]))
			return -1;
	}
	digits[count] = '\0';
	return count;
}

/* A telephone number or part of one: its pieces, one after the other; the last says how rare it is.
 */
static struct query_node *
phone_of(struct parser *p, const char *text, int len, uint8 fields)
{
	char digits[PHONE_DIGITS_MAX + 1];
	int count = digits_of(text, len, digits);
	bool whole = count >= PHONE_DIGITS_MIN;
	struct query_node *phrase;
	int skip = 0;

	/* 0 and 00 stand before what is stored without them. */
	while (whole && skip < 2 && digits[skip] == '0')
		skip++;
	if (count - skip < SEARCH_PHONE_PIECE || !(fields & 1 << SEARCH_IDENTIFIER))
		return NULL;
	phrase = sh_query_node(QUERY_PHRASE, 1 << SEARCH_IDENTIFIER);
	for (int from = skip; from + SEARCH_PHONE_PIECE <= count; from++)
	{
		struct query_node *node = sh_query_node(QUERY_WORD, phrase->fields);
		bool last = from + SEARCH_PHONE_PIECE == count;

		node->term = sh_query_term(p->query,
								   sh_search_term(digits + from, SEARCH_PHONE_PIECE, '#'),
								   digits + skip,
								   node->fields,
								   last ? (whole ? 2 : 0.5) : 0);
		node->distance = from - skip;
		sh_query_add(phrase, node);
	}
	return sh_query_simplest(phrase);
}

static void
count_wide(struct query *query)
{
	if (++query->wide > QUERY_WIDE_MAX)
		refuse("has too many beginnings and values of fields", "Ask for fewer of them.");
}

static struct query_node *
prefix_of(struct parser *p, const char *text, int len, uint8 fields)
{
	struct query_node *phrase = words_of(p, text, len, fields, false);
	struct query_node *last;

	count_wide(p->query);
	if (!phrase)
		return NULL;
	last = phrase->kind == QUERY_PHRASE ? phrase->parts[phrase->count - 1] : phrase;
	/* Words before the last stand for themselves. */
	last->kind = QUERY_PREFIX;
	last->value = pstrdup(p->query->terms[last->term].word);
	p->query->terms[last->term].boost = 0;
	if (phrase->kind == QUERY_PHRASE)
		phrase->kind = QUERY_ALL;
	return phrase;
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* How far a bare word goes. */
static int
bare_length(const struct parser *p)
{
	const char *at = p->at;

	while (at < p->end && !is_blank(*at) && *at != '"' && *at != '(' && *at != ')')
		at++;
	return (int) (at - p->at);
}

/* Digits in groups, such as 030 123 45 67, belong together. */
static int
number_length(const struct parser *p)
{
	const char *at = p->at;
	const char *last = p->at;
	int digits = 0;

	for (; at < p->end && (isdigit((unsigned char) *at) || strchr("+-()/. ", *at)); at++)
		if (isdigit((unsigned char) *at))
		{
			digits++;
			last = at + 1;
		}
	if (at < p->end && !is_blank(*at))
		return 0;
	return digits >= PHONE_DIGITS_MIN ? (int) (last - p->at) : 0;
}

static struct query_node *
either(struct query_node *a, struct query_node *b)
{
	struct query_node *node;

	if (!a || !b)
		return a ? a : b;
	/* One alternative more is no alternative within another. */
	if (a->kind == QUERY_ANY && !a->plain)
	{
		sh_query_add(a, b);
		return a;
	}
	node = sh_query_node(QUERY_ANY, a->fields);
	sh_query_add(node, a);
	sh_query_add(node, b);
	return node;
}

/* A word among others, whatever else it may be. */
static struct query_node *
plain(struct query_node *node)
{
	if (node)
		node->plain = true;
	return node;
}

static struct query_node *
parse_bare(struct parser *p, uint8 fields)
{
	int number = number_length(p);
	int len = number > 0 ? number : bare_length(p);
	const char *text = p->at;

	if (len == 0)
	{
		p->at++;
		return NULL;
	}
	p->at += len;
	if (number > 0)
		return either(phone_of(p, text, len, fields), words_of(p, text, len, fields, false));
	if (len > 1 && text[len - 1] == '*')
		return prefix_of(p, text, len - 1, fields);
	if (strspn(text, "0123456789") >= (size_t) len)
		return plain(either(phone_of(p, text, len, fields), words_of(p, text, len, fields, true)));
	return words_of(p, text, len, fields, true);
}

static struct query_node *
parse_quoted(struct parser *p, uint8 fields)
{
	const char *text = ++p->at;
	struct query_node *node;

	while (p->at < p->end && *p->at != '"')
		p->at++;
	node = words_of(p, text, (int) (p->at - text), fields, false);
	if (p->at < p->end)
		p->at++;
	return node;
}

/* --- fields --- */

/* The value of a facet: up to the next blank, or between quotes. */
static struct query_node *
parse_value(struct parser *p, enum sh_search_facet facet)
{
	struct query_node *node = sh_query_node(QUERY_FACET, QUERY_ANYWHERE);
	const char *text = p->at;
	int len;

	if (p->at < p->end && *p->at == '"')
	{
		text = ++p->at;
		while (p->at < p->end && *p->at != '"')
			p->at++;
		len = (int) (p->at - text);
		if (p->at < p->end)
			p->at++;
	}
	else
	{
		len = bare_length(p);
		p->at += len;
	}
	count_wide(p->query);
	node->facet = facet;
	node->value = pnstrdup(text, len);
	return len > 0 ? node : NULL;
}

/* Whether a name and a colon, with something behind, begin here. */
static int
name_length(const struct parser *p, const char *name)
{
	int len = strlen(name);

	if (p->end - p->at > len + 1 && pg_strncasecmp(p->at, name, len) == 0 && p->at[len] == ':' &&
		!is_blank(p->at[len + 1]))
		return len + 1;
	return 0;
}

static bool
parse_named(struct parser *p, uint8 fields, struct query_node **node)
{
	for (int i = 0; i < (int) lengthof(field_names); i++)
	{
		int len = name_length(p, field_names[i].name);

		if (len > 0)
		{
			p->at += len;
			*node = *p->at == '"' ? parse_quoted(p, fields & field_names[i].fields) :
									parse_bare(p, fields & field_names[i].fields);
			return true;
		}
	}
	for (int facet = SEARCH_FACET_KIND; facet < SEARCH_FACETS; facet++)
	{
		int len = name_length(p, sh_facet_name(facet));

		if (len > 0)
		{
			p->at += len;
			*node = parse_value(p, facet);
			return true;
		}
	}
	return false;
}

/* --- the grammar --- */

static void
skip_blanks(struct parser *p)
{
	while (p->at < p->end && is_blank(*p->at))
		p->at++;
}

static struct query_node *
parse_one(struct parser *p, uint8 fields)
{
	struct query_node *node = NULL;

	if (*p->at == '(')
	{
		if (++p->depth > QUERY_DEPTH_MAX)
			refuse("is nested too deeply", "Use fewer parentheses.");
		p->at++;
		node = parse_any(p, fields);
		if (p->at < p->end)
			p->at++;
		p->depth--;
		return node;
	}
	if (*p->at == '"')
		return parse_quoted(p, fields);
	if (parse_named(p, fields, &node))
		return node;
	return parse_bare(p, fields);
}

static bool
is_keyword(const struct parser *p, const char *word)
{
	int len = strlen(word);

	return p->end - p->at > len && strncmp(p->at, word, len) == 0 && is_blank(p->at[len]);
}

static void
no_rank(struct query *query, int from)
{
	for (int i = from; i < query->term_count; i++)
		query->terms[i].boost = 0;
}

/* One part with what goes before it: - or NOT; and OR with the next. */
static struct query_node *
parse_part(struct parser *p, uint8 fields)
{
	struct query_node *node = NULL;
	bool more;

	do
	{
		bool negative = *p->at == '-' && p->end - p->at > 1 && !is_blank(p->at[1]);
		int terms = p->query->term_count;
		struct query_node *part;

		if (negative)
			p->at++;
		else if (is_keyword(p, "NOT"))
		{
			negative = true;
			p->at += 3;
			skip_blanks(p);
		}
		part = p->at < p->end ? parse_one(p, fields) : NULL;
		if (negative || node)
			part = sh_query_finish(p->query, part);
		if (part && negative)
		{
			struct query_node *without = sh_query_node(QUERY_NOT, fields);

			no_rank(p->query, terms);
			sh_query_add(without, part);
			part = without;
		}
		node = either(node, part);
		skip_blanks(p);
		more = is_keyword(p, "OR");
		if (more)
		{
			node = sh_query_finish(p->query, node);
			p->at += 2;
			skip_blanks(p);
			more = p->at < p->end && *p->at != ')';
		}
	} while (more);
	return node;
}

/* A group within others changes nothing: all of them are needed. */
static void
add_flat(struct query_node *all, struct query_node *part)
{
	if (part->kind != QUERY_ALL || part->done)
	{
		sh_query_add(all, part);
		return;
	}
	for (int i = 0; i < part->count; i++)
		sh_query_add(all, part->parts[i]);
}

/* Neighbours up to the end or a closing parenthesis; NULL when there are none. */
static struct query_node *
parse_any(struct parser *p, uint8 fields)
{
	struct query_node *all = sh_query_node(QUERY_ALL, fields);

	for (;;)
	{
		struct query_node *part;

		skip_blanks(p);
		if (p->at == p->end || *p->at == ')')
			break;
		part = parse_part(p, fields);
		if (part)
			add_flat(all, part);
	}
	return all->count > 0 ? all : NULL;
}

void
sh_query_parse(struct query *query, const char *text, int len, Oid dictionary)
{
	struct parser p = { query, text, text + len, 0 };
	struct query_node *root = NULL;

	if (len > QUERY_BYTES_MAX)
		refuse("is longer than 4096 bytes", "Ask for fewer words.");
	memset(query, 0, offsetof(struct query, terms));
	query->dictionary = dictionary;
	query->text = text;
	query->len = len;
	query->root = sh_query_node(QUERY_ALL, QUERY_ANYWHERE);
	/* A closing parenthesis too many ends nothing. */
	while (p.at < p.end)
	{
		root = parse_any(&p, QUERY_ANYWHERE);
		if (root)
			add_flat(query->root, root);
		if (p.at < p.end)
			p.at++;
	}
	root = sh_query_finish(query, query->root);
	query->root = root ? root : sh_query_node(QUERY_NOTHING, QUERY_ANYWHERE);
}
