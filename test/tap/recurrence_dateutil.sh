#!/bin/bash
# Four thousand random rules in zones of all kinds, against the rules of python-dateutil with the
# clocks of Python's zoneinfo: the same instants to the second.
# shellcheck disable=SC2034
conf='fsync = off'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
cat >"$SCRATCH/rules.py" <<'PY'
import random
from datetime import datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo
import dateutil.rrule
from dateutil.rrule import rrulestr

# Rules that match nothing are given up here instead of in the year 9999.
dateutil.rrule.datetime.MAXYEAR = 2046
random.seed(20261125)
zones = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata', 'Africa/Cairo',
         'America/Santiago', 'Pacific/Auckland', 'Asia/Tehran', 'Africa/Casablanca', 'UTC',
         'America/St_Johns', 'Pacific/Apia', 'Asia/Kathmandu', 'Europe/Dublin']
days = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU']
utc = timezone.utc

def numbers(low, high, most):
    picked = random.sample([n for n in range(low, high + 1) if n], random.randint(1, most))
    return ','.join(map(str, picked))

def random_rule():
    freq = random.choice(['DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY'])
    parts = ['FREQ=' + freq]
    if random.random() < .5:
        parts.append('INTERVAL=%d' % random.choice([1, 2, 2, 3, 5, 13]))
    if random.random() < .25:
        parts.append('BYMONTH=' + numbers(1, 12, 4))
    if freq != 'WEEKLY' and random.random() < .35:
        parts.append('BYMONTHDAY=' + numbers(-31, 31, 4))
    if random.random() < .5:
        # dateutil takes days with and without a number together, where the RFC takes either
        if freq in ('MONTHLY', 'YEARLY') and random.random() < .6:
            most = 4 if freq == 'MONTHLY' or any(p.startswith('BYMONTH=') for p in parts) else 52
            parts.append('BYDAY=' + ','.join('%d%s' % (
                random.choice([n for n in range(-most, most + 1) if n]), d)
                for d in random.sample(days, random.randint(1, 3))))
        else:
            parts.append('BYDAY=' + ','.join(random.sample(days, random.randint(1, 4))))
    # dateutil counts positions of the first week from the start, not from the week's first day
    if freq in ('MONTHLY', 'YEARLY') and any(p.startswith('BY') for p in parts) and random.random() < .2:
        parts.append('BYSETPOS=' + numbers(-4, 4, 2))
    if random.random() < .3:
        parts.append('WKST=' + random.choice(days))
    random.shuffle(parts)
    return parts

def case():
    zone = ZoneInfo(random.choice(zones))
    parts = random_rule()
    minute = random.choice([0, 30, random.randint(0, 1439)])
    if random.random() < .5:
        minute = random.randint(0, 4 * 60)  # where clocks change
    wall = datetime(random.randint(1996, 2030), random.randint(1, 12), random.randint(1, 28)) \
        + timedelta(minutes=minute, days=random.randint(0, 3))
    start = wall.replace(tzinfo=zone).astimezone(utc)
    wall = start.astimezone(zone).replace(tzinfo=None)
    years = {'DAILY': 2, 'WEEKLY': 3, 'MONTHLY': 6, 'YEARLY': 12}
    end = wall + timedelta(days=366 * next(y for f, y in years.items() if 'FREQ=' + f in parts))
    bounded = ';'.join(parts + [end.strftime('UNTIL=%Y%m%dT%H%M%S')])
    walls = list(islice(rrulestr(bounded, dtstart=wall), 70))
    if walls[:1] != [wall]:
        walls.insert(0, wall)
    limit = random.random()
    if limit < .3:
        count = random.randint(1, 40)
        parts.append('COUNT=%d' % count)
        walls = walls[:count]
    elif limit < .5:
        until = random.choice(walls[:30]) + timedelta(seconds=random.choice([0, -1, 1]))
        if random.random() < .3:
            parts.append(until.strftime('UNTIL=%Y%m%d'))
            walls = [w for w in walls if w.date() <= until.date()]
        else:
            parts.append(until.strftime('UNTIL=%Y%m%dT%H%M%S'))
            walls = [w for w in walls if w <= until]
    at = [w.replace(tzinfo=zone).astimezone(utc) for w in walls]
    at[:1] = [start] if at else []
    if limit > .9:
        until = random.choice(at[:30])
        parts.append(until.strftime('UNTIL=%Y%m%dT%H%M%SZ'))
        at = [a for a in at if a <= until]
    return ';'.join(parts), start, zone.key, end.replace(tzinfo=utc) - timedelta(days=2), at[:60]

for n in range(4000):
    rule, start, zone, end, at = case()
    at = [a for a in at if a < end]
    print('\t'.join([rule, start.isoformat(), zone, end.isoformat(),
                     '{' + ','.join(a.isoformat() for a in at) + '}']))
PY
/usr/bin/python3 "$SCRATCH/rules.py" >"$SCRATCH/rules.tsv"
new_server
sql -c 'CREATE TABLE public.rules (rule text, start timestamptz, zone text, until timestamptz, expected timestamptz[])' \
	-c '\copy public.rules FROM '"$SCRATCH"'/rules.tsv'
ok "$(sql -c 'SELECT count(*) FROM public.rules')" 4000 'the other side made its rules'
ok "$(sql -c 'SELECT count(*) > 50000 FROM public.rules, unnest(expected)')" t 'with plenty of occurrences'
sql -c "CREATE TABLE public.answer AS SELECT r.*, ARRAY(SELECT a FROM unnest(saleshub.recurrence_walk(rule, start, zone, NULL, 60)) a WHERE a < until) AS got FROM public.rules r"
ok "$(sql -c "SELECT concat_ws(' ', rule, start, zone, got[1:5]::text, expected[1:5]::text) FROM public.answer WHERE got <> expected LIMIT 5")" '' \
	'every rule falls on the same instants'
ok "$(sql -c "SELECT rule FROM public.answer a, LATERAL (SELECT p.rule AS normal FROM saleshub.recurrence_parse(a.rule) p) n WHERE saleshub.recurrence_walk(normal, start, zone, NULL, 60) <> saleshub.recurrence_walk(rule, start, zone, NULL, 60) OR (SELECT p.rule FROM saleshub.recurrence_parse(normal) p) <> normal LIMIT 5")" '' \
	'the normal form of a rule means the same and is its own normal form'
ok "$(sql -c "SELECT rule FROM public.answer WHERE cardinality(got) > 2 AND saleshub.recurrence_walk(rule, start, zone, got[2], 1) <> got[3:3] LIMIT 5")" '' \
	'the next one is the next one'
done_testing
