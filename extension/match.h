/* Comparing what people type: mail domains, company names, names of people. */
#pragma once

/* Whether a mail domain in lower case hands out addresses to everybody. */
extern bool sh_domain_is_free(const char *domain, int len);
/* The name of a company without case, punctuation and legal form; NULL when nothing is left. */
extern char *sh_company_key(const char *name, int len);
/* Jaro-Winkler similarity of two names, letter case ignored: 0 to 1. */
extern double sh_name_similarity(const char *a, const char *b);
