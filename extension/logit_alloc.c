/* Memory of many megabytes. */
#include "postgres.h"

#include <sys/mman.h>

#include "utils/memutils.h"

#include "logit.h"

#define HUGE_PAGE (2 * 1024 * 1024)

/* Asked to lie on huge pages where there are any: it is filled once, and faults are what costs. */
void *
sh_logit_alloc(Size size)
{
	char *memory = MemoryContextAllocHuge(CurrentMemoryContext, size);

#ifdef MADV_HUGEPAGE
	char *from = (char *) TYPEALIGN(HUGE_PAGE, memory);
	char *to = (char *) TYPEALIGN_DOWN(HUGE_PAGE, memory + size);

	if (to > from)
		(void) madvise(from, to - from, MADV_HUGEPAGE);
#endif
	return memory;
}
