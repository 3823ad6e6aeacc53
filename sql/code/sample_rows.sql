-- The firms and leads of the sample data, before anything is written. Who converts, when, and how
-- the deal goes is decided here by draws, so that dashboards show believable rates and seasons.

CREATE FUNCTION saleshub.sample_firms(
    firms int, seed text,
    OUT firm int, OUT name text, OUT domain text, OUT industry text, OUT employees int,
    OUT annual_revenue numeric, OUT currency text, OUT country text, OUT city text,
    OUT phone text, OUT appeal float8)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH country AS MATERIALIZED (
        SELECT c.*, sum(weight) OVER w - weight AS low, sum(weight) OVER w AS high,
               sum(weight) OVER () AS whole
        FROM saleshub.sample_countries() c
        WINDOW w AS (ORDER BY country)
    ), industry AS MATERIALIZED (
        SELECT i.*, sum(weight) OVER w - weight AS low, sum(weight) OVER w AS high,
               sum(weight) OVER () AS whole
        FROM saleshub.sample_industries() i
        WINDOW w AS (ORDER BY industry COLLATE "C")
    ), base AS (
        SELECT n AS firm, c.country, c.currency, i.industry, i.appeal, c.suffixes,
               saleshub.sample_pick(c.cities, seed || ' city ' || n) AS city,
               saleshub.sample_phone(c.phone, seed || ' switchboard ' || n) AS phone,
               saleshub.sample_pick(saleshub.sample_roots(), seed || ' root ' || n) AS root,
               saleshub.sample_pick(i.nouns, seed || ' noun ' || n) AS noun,
               greatest(2, least(40000, round(i.employees
                   * exp(1.2 * saleshub.sample_normal(seed || ' size ' || n))))::int) AS employees,
               i.revenue_each
        FROM generate_series(1, firms) AS n
        JOIN country c ON saleshub.sample_draw(seed || ' country ' || n) * c.whole >= c.low
                      AND saleshub.sample_draw(seed || ' country ' || n) * c.whole < c.high
        JOIN industry i ON saleshub.sample_draw(seed || ' industry ' || n) * i.whole >= i.low
                       AND saleshub.sample_draw(seed || ' industry ' || n) * i.whole < i.high
    ), counted AS (
        SELECT b.*, row_number() OVER (PARTITION BY root, noun ORDER BY b.firm)::int - 1 AS twin
        FROM base b
    ), named AS (
        SELECT c.*, concat_ws(' ', root,
                   (ARRAY['North', 'South', 'East', 'West', 'Central'])[twin],
                   noun, CASE WHEN twin > 5 THEN twin::text END) AS brand
        FROM counted c
    )
    SELECT firm, brand || ' ' || saleshub.sample_pick(suffixes, seed || ' form ' || firm),
           saleshub.sample_ascii(brand) || '.example', industry, employees,
           round((employees::float8 * revenue_each
                  * exp(0.4 * saleshub.sample_normal(seed || ' revenue ' || firm)))::numeric, -4),
           currency, country, city, phone, appeal
    FROM named
    ORDER BY firm;
END;
COMMENT ON FUNCTION saleshub.sample_firms(int, text) IS
    'Invented firms 1 to firms; names and domains are unique';

CREATE FUNCTION saleshub.sample_firm_count(leads int)
RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN greatest(20, leads * 2 / 5);
COMMENT ON FUNCTION saleshub.sample_firm_count(int) IS 'How many firms so many leads come from';

CREATE FUNCTION saleshub.sample_chance(logit float8)
RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 1 / (1 + exp(2.1 - logit));
COMMENT ON FUNCTION saleshub.sample_chance(float8) IS
    'Chance that a lead of this appeal becomes a deal; about one in six over all';

CREATE FUNCTION saleshub.sample_ripening(key text)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN interval '2 hours' + saleshub.sample_delay(key || ' ripens', '9 days', 0.9);
COMMENT ON FUNCTION saleshub.sample_ripening(text) IS
    'From a lead''s creation to its conversion, if it comes to that';

CREATE FUNCTION saleshub.sample_status(
    key text, created_at timestamptz, anchor timestamptz, chance float8)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN saleshub.sample_draw(key || ' converts') < chance
            THEN CASE WHEN created_at + saleshub.sample_ripening(key) < anchor
                      THEN 'qualified' ELSE 'working' END
        WHEN age < interval '4 days'
            THEN CASE WHEN fate < 0.75 THEN 'new' ELSE 'working' END
        WHEN age < interval '45 days'
            THEN CASE WHEN fate < 0.15 THEN 'new' WHEN fate < 0.6 THEN 'working'
                      WHEN fate < 0.75 THEN 'nurturing' WHEN fate < 0.8 THEN 'qualified'
                      ELSE 'unqualified' END
        ELSE CASE WHEN fate < 0.01 THEN 'new' WHEN fate < 0.08 THEN 'working'
                  WHEN fate < 0.3 THEN 'nurturing' ELSE 'unqualified' END
    END
    FROM (SELECT saleshub.sample_draw(key || ' fate') AS fate, anchor - created_at AS age) AS f;
END;
COMMENT ON FUNCTION saleshub.sample_status(text, timestamptz, timestamptz, float8) IS
    'Where the lead stands on the anchor day; qualified ones older than their ripening convert';

CREATE FUNCTION saleshub.sample_days(
    leads int, seed text, first_ date, last_ date, OUT day date, OUT low int, OUT high int)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH weighted AS (
        SELECT first_ + d AS day,
               (0.7 + 0.6 * d / (last_ - first_))
               * (ARRAY[0.95, 1.0, 1.15, 1.05, 1.0, 0.95, 0.8, 0.65, 1.15, 1.25, 1.1, 0.7])
                 [extract(month FROM first_ + d)]
               * (ARRAY[1.15, 1.2, 1.15, 1.1, 0.85, 0.18, 0.12])[extract(isodow FROM first_ + d)]
               * (0.8 + 0.4 * saleshub.sample_draw(seed || ' day ' || d)) AS weight
        FROM generate_series(0, last_ - first_) AS d
    ), summed AS (
        SELECT w.day, sum(weight) OVER (ORDER BY w.day) / sum(weight) OVER () AS until
        FROM weighted w
    )
    SELECT s.day,
           round(leads * lag(until, 1, 0) OVER (ORDER BY s.day))::int + 1,
           round(leads * until)::int
    FROM summed s
    ORDER BY s.day;
END;
COMMENT ON FUNCTION saleshub.sample_days(int, text, date, date) IS
    'Which leads, low to high, come on which day: growth, seasons of the year and of the week';

CREATE FUNCTION saleshub.sample_leads(
    leads int, seed text, anchor date,
    OUT lead_id uuid, OUT created_at timestamptz, OUT first_name text, OUT last_name text,
    OUT email text, OUT phone text, OUT company_name text, OUT title text, OUT website text,
    OUT source text, OUT status text, OUT country text, OUT city text, OUT industry text,
    OUT employees int, OUT annual_revenue numeric, OUT annual_revenue_currency text,
    OUT consent_email boolean, OUT consent_phone boolean, OUT tags text[])
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH country AS MATERIALIZED (
        SELECT c.country, c.phone, c.first_names, c.last_names
        FROM saleshub.sample_countries() c
    ), source AS MATERIALIZED (
        SELECT s.*, sum(weight) OVER w - weight AS low, sum(weight) OVER w AS high,
               sum(weight) OVER () AS whole
        FROM saleshub.sample_sources() s
        WINDOW w AS (ORDER BY source COLLATE "C")
    ), title AS MATERIALIZED (
        SELECT t.*, sum(weight) OVER w - weight AS low, sum(weight) OVER w AS high,
               sum(weight) OVER () AS whole
        FROM saleshub.sample_titles() t
        WINDOW w AS (ORDER BY title COLLATE "C")
    ), firm AS MATERIALIZED (
        SELECT * FROM saleshub.sample_firms(saleshub.sample_firm_count(leads), seed)
    ), base AS (
        SELECT n, seed || ' lead ' || n AS key,
               (d.day + time '06:00') AT TIME ZONE 'UTC'
               + make_interval(secs => floor(18000 * (saleshub.sample_draw(seed || ' am ' || n)
                                                      + saleshub.sample_draw(seed || ' pm ' || n)
                                                      + saleshub.sample_draw(seed || ' at ' || n)))
                              ) AS created_at,
               1 + floor(power(saleshub.sample_draw(seed || ' firm ' || n), 1.4)
                         * saleshub.sample_firm_count(leads))::int AS firm
        FROM saleshub.sample_days(leads, seed, anchor - 548, anchor - 1) d
        CROSS JOIN LATERAL generate_series(d.low, d.high) AS n
    ), person AS (
        SELECT b.n, b.key, b.created_at, f.name, f.domain, f.industry, f.employees,
               f.annual_revenue, f.currency, f.country, f.city, t.title, s.source,
               saleshub.sample_pick(c.first_names, b.key || ' first') AS first_name,
               saleshub.sample_pick(c.last_names, b.key || ' last') AS last_name,
               saleshub.sample_phone(c.phone, b.key || ' phone') AS phone,
               saleshub.sample_chance(s.appeal + t.appeal + f.appeal
                                      + 0.25 * ln(f.employees / 50.0)
                                      + 0.5 * saleshub.sample_normal(b.key || ' luck')) AS chance,
               saleshub.sample_id(b.created_at, b.key) AS lead_id
        FROM base b
        JOIN firm f ON f.firm = b.firm
        JOIN country c ON c.country = f.country
        JOIN title t ON saleshub.sample_draw(b.key || ' title') * t.whole >= t.low
                    AND saleshub.sample_draw(b.key || ' title') * t.whole < t.high
        JOIN source s ON saleshub.sample_draw(b.key || ' source') * s.whole >= s.low
                     AND saleshub.sample_draw(b.key || ' source') * s.whole < s.high
    ), addressed AS (
        SELECT p.*, saleshub.sample_ascii(p.first_name) || '.' || saleshub.sample_ascii(p.last_name)
                    AS mailbox,
               row_number() OVER (PARTITION BY first_name, last_name, domain ORDER BY p.n) AS twin
        FROM person p
    )
    SELECT a.lead_id, a.created_at, a.first_name, a.last_name,
           CASE WHEN saleshub.sample_draw(a.key || ' mail') < 0.93
                THEN mailbox || CASE WHEN twin > 1 THEN twin::text ELSE '' END || '@' || domain END,
           CASE WHEN saleshub.sample_draw(a.key || ' dials') < 0.6 THEN a.phone END,
           a.name, a.title,
           CASE WHEN saleshub.sample_draw(a.key || ' web') < 0.5
                THEN 'https://www.' || domain END,
           a.source,
           saleshub.sample_status(a.lead_id::text, a.created_at,
                                  anchor::timestamp AT TIME ZONE 'UTC', a.chance),
           a.country, a.city, a.industry, a.employees,
           CASE WHEN saleshub.sample_draw(a.key || ' rich') < 0.4 THEN a.annual_revenue END,
           CASE WHEN saleshub.sample_draw(a.key || ' rich') < 0.4 THEN a.currency END,
           CASE WHEN saleshub.sample_draw(a.key || ' asked') < 0.8
                THEN saleshub.sample_draw(a.key || ' agrees') < 0.85 END,
           CASE WHEN saleshub.sample_draw(a.key || ' asked') < 0.5
                THEN saleshub.sample_draw(a.key || ' calls') < 0.6 END,
           CASE WHEN saleshub.sample_draw(a.key || ' tagged') < 0.2
                THEN ARRAY[saleshub.sample_pick(ARRAY['demo requested', 'newsletter', 'priority',
                                                      'price list', 'call back'], a.key || ' tag')]
                ELSE '{}' END
    FROM addressed a
    ORDER BY a.created_at, a.n;
END;
COMMENT ON FUNCTION saleshub.sample_leads(int, text, date) IS
    'Invented leads of the 18 months before the anchor, in order of time';
