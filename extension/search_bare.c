/*
 * Words that were typed bare, taken together: common ones say nothing beside others; of a few all
 * are needed, of many any will do, and of the few, too, where hardly anything has all of them.
 */
#include "postgres.h"

#include "search_query.h"

/* Of so many bare words all must be there; of more, any. */
#define ALL_WORDS_MAX 4

/* Common words are left out where others say what is looked for. */
static void
leave_out(struct query *query, struct query_node *all)
{
	int kept = 0;
	int telling = 0;

	for (int i = 0; i < all->count; i++)
		if (!(all->parts[i]->plain && all->parts[i]->stop))
			telling++;
	if (telling == 0)
		return;
	for (int i = 0; i < all->count; i++)
	{
		if (all->parts[i]->plain && all->parts[i]->stop)
			query->terms[all->parts[i]->term].boost = 0;
		else
			all->parts[kept++] = all->parts[i];
	}
	all->count = kept;
}

/* Words that were typed bare, those of compounds counted one by one. */
static int
plain_words(const struct query_node *all)
{
	int count = 0;

	for (int i = 0; i < all->count; i++)
		if (all->parts[i]->plain)
			count += all->parts[i]->kind == QUERY_PHRASE ? all->parts[i]->count : 1;
	return count;
}

static void
add_plain(struct query *query, struct query_node *any, struct query_node *part)
{
	if (part->kind != QUERY_PHRASE)
	{
		sh_query_add(any, part);
		return;
	}
	for (int i = 0; i < part->count; i++)
	{
		part->parts[i]->plain = true;
		if (part->parts[i]->stop)
			query->terms[part->parts[i]->term].boost = 0;
		else
			sh_query_add(any, part->parts[i]);
	}
}

/* Bare words become one alternative beside what else must hold. */
static struct query_node *
loosened(struct query *query, struct query_node *all)
{
	struct query_node *any = sh_query_node(QUERY_ANY, all->fields);
	struct query_node *rest = sh_query_node(QUERY_ALL, all->fields);

	for (int i = 0; i < all->count; i++)
		if (all->parts[i]->plain)
			add_plain(query, any, all->parts[i]);
		else
			sh_query_add(rest, all->parts[i]);
	if (any->count > 0)
		sh_query_add(rest, any);
	return rest;
}

struct query_node *
sh_query_finish(struct query *query, struct query_node *node)
{
	if (!node || node->kind != QUERY_ALL || node->done)
		return node;
	leave_out(query, node);
	if (plain_words(node) > ALL_WORDS_MAX)
	{
		query->question = true;
		node = loosened(query, node);
	}
	node->done = true;
	return sh_query_simplest(node);
}

struct query_node *
sh_query_relaxed(struct query *query, struct query_node *node)
{
	if (node->kind != QUERY_ALL || plain_words(node) < 2)
		return NULL;
	return sh_query_simplest(loosened(query, node));
}
