/*
 * Protocol V of the response cache (docs/decisions/cache.md), for one slot.
 *
 * Writers commit as PostgreSQL does: mark the slot, become visible, stamp, acknowledge. Readers
 * stand for requests at any number of gateways. Storage is the worst Redis there can be: it may
 * forget, and may give back any entry ever stored, however old. PostgreSQL may crash once.
 *
 * A reader notes what was acknowledged, and what anybody was shown, before its request arrived;
 * what it is shown must be at least as new as either.
 *
 * Mutants (each must be caught): NO_MARK, STAMP_LATE, STAMP_EARLY, SAME_BOOT, UNCHECKED,
 * CHECK_EARLY, SEQ_FIRST.
 */
#define ENTRIES 3

byte db;    /* committed and visible: how many changes */
byte acked; /* the newest that a client knows to be committed */
byte shown; /* the newest that any reader was shown */

byte gseq, seq, pend; /* shared memory */
byte boot = 1;

byte val[ENTRIES], asof[ENTRIES], life[ENTRIES]; /* all that was ever stored */
byte stored;

proctype Writer()
{
	byte born, mine, n;

#ifndef NO_MARK
	atomic { born = boot; pend++ }
#else
	born = boot;
#endif
#ifdef STAMP_EARLY
	atomic { boot == born -> gseq++; seq = gseq }
#endif
	if
	:: atomic { boot == born -> db++; mine = db }
	:: boot != born -> goto dead
	fi;
#ifndef STAMP_EARLY
	if
	:: atomic { boot == born -> gseq++; n = gseq }
	:: boot != born -> goto dead
	fi;
	if
	:: atomic { boot == born -> seq = (seq < n -> n : seq) }
	:: boot != born -> goto dead
	fi;
#endif
#ifndef NO_MARK
	if
	:: atomic { boot == born -> pend-- }
	:: boot != born -> goto dead
	fi;
#endif
	if
	:: atomic { boot == born -> acked = (acked < mine -> mine : acked) }
	:: boot != born -> goto dead
	fi;
dead:
	skip
}

/* What was committed is still there afterwards; shared memory is new. */
proctype Crash()
{
	atomic {
		gseq = 0; seq = 0; pend = 0;
#ifndef SAME_BOOT
		boot++
#endif
	}
}

proctype Reader(byte requests)
{
	byte must, floor, got, stamp, born, i, before;

	do
	:: requests > 0 ->
		requests--;
		i = ENTRIES;
#ifdef CHECK_EARLY
		/* the answer of a check that was under way before the request arrived */
		if
		:: stored > 0 -> i = 0
		:: stored > 1 -> i = 1
		:: i = ENTRIES
		fi;
		if
		:: i < ENTRIES && life[i] == boot && pend == 0 && seq <= asof[i]
		:: else -> i = ENTRIES
		fi;
#endif
		atomic { must = acked; floor = shown; before = stored }
#ifdef CHECK_EARLY
		if
		:: i < ENTRIES -> got = val[i]; goto answer
		:: else
		fi;
#endif
#ifdef UNCHECKED
		/* waits for another's computation and takes the result as it is */
		if
		:: stored > before -> got = val[stored - 1]; goto answer
		:: skip
		fi;
#endif
		/* memory, Redis, or another's computation: some entry, or none */
		if
		:: stored > 0 -> i = 0
		:: stored > 1 -> i = 1
		:: stored > 2 -> i = 2
		:: i = ENTRIES
		fi;
		if
		:: i < ENTRIES ->
			/* the check, begun after the arrival; each load is its own step */
			if
			:: life[i] == boot
			:: else -> goto compute
			fi;
#ifdef SEQ_FIRST
			if
			:: seq <= asof[i]
			:: else -> goto compute
			fi;
#endif
			if
			:: pend == 0
			:: else -> goto compute
			fi;
#ifndef SEQ_FIRST
			if
			:: seq <= asof[i]
			:: else -> goto compute
			fi;
#endif
			/* a backend that checks does not outlive its shared memory */
			if
			:: boot == life[i] -> got = val[i]; goto answer
			:: else
			fi
		:: else
		fi;
compute:
#ifndef STAMP_LATE
		atomic { stamp = gseq; born = boot }
		got = db;
#else
		got = db;
		atomic { stamp = gseq; born = boot }
#endif
		/* stored whenever it pleases Redis */
		atomic {
			if
			:: stored < ENTRIES ->
				val[stored] = got; asof[stored] = stamp; life[stored] = born; stored++
			:: else
			fi
		}
answer:
		assert(got >= must);
		assert(got >= floor);
		atomic {
			shown = (shown < got -> got : shown);
			must = 0; floor = 0; got = 0; stamp = 0; born = 0; i = 0; before = 0
		}
	:: else -> break
	od
}

init
{
	atomic {
		run Writer();
		run Writer();
		run Reader(1);
#ifdef CRASH
		run Reader(1);
		run Crash()
#else
		run Reader(2)
#endif
	}
}
