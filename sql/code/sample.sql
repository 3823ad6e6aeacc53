-- A demo organisation with eighteen months behind it. Every row goes through the ordinary triggers,
-- so scores, owners, history, rollups and events are real.

CREATE FUNCTION saleshub.sample_insert_leads(leads int, seed text, anchor date)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.lead (lead_id, created_at, first_name, last_name, email, phone, company_name,
                          title, website, source, status, country, state, postal_code, city,
                          industry, employees, annual_revenue, annual_revenue_currency, consent_email, consent_phone,
                          tags)
    SELECT l.lead_id, l.created_at, l.first_name, l.last_name, l.email, l.phone, l.company_name,
           l.title, l.website, l.source, l.status, l.country, p.state,
           saleshub.sample_phone(p.postal, l.company_name || ' post'), l.city, l.industry, l.employees,
           l.annual_revenue, l.annual_revenue_currency, l.consent_email, l.consent_phone, l.tags
    FROM saleshub.sample_leads(leads, seed, anchor) l
    LEFT JOIN saleshub.sample_places() p ON p.country = l.country AND p.city = l.city
    ORDER BY l.created_at, l.lead_id;
    ANALYZE crm.lead;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_leads(int, text, date) IS
    'Write the leads in order of time; routing gives them their owners';

CREATE FUNCTION saleshub.sample_insert_firms(leads int, seed text, anchor timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    known constant int := saleshub.sample_firm_count(leads);
    customers constant int := greatest(5, leads / 25);
    reps uuid[];
BEGIN
    SELECT array_agg(m.member_id ORDER BY m.member_id) INTO reps
    FROM crm.member m
    WHERE m.org_id = org AND m.role = 'rep' AND m.active;

    INSERT INTO crm.company (company_id, name, domain, industry, employees, phone, website, country,
                             state, postal_code, city, annual_revenue, annual_revenue_currency,
                             owner_id, tags,
                             created_at)
    SELECT v.company_id, f.name, f.domain, f.industry, f.employees, f.phone,
           'https://www.' || f.domain, f.country, p.state,
           saleshub.sample_phone(p.postal, f.name || ' post'), f.city, f.annual_revenue, f.currency,
           v.owner_id,
           '{}'::text[], v.at
    FROM saleshub.sample_firms(known, seed) f
    JOIN (SELECT DISTINCT ON (l.company_name) l.company_name, v.company_id, l.owner_id, v.at
          FROM saleshub.sample_conversions(seed, anchor) v
          JOIN crm.lead l ON l.org_id = org AND l.lead_id = v.lead_id
          ORDER BY l.company_name, v.at, v.lead_id) v ON v.company_name = f.name
    LEFT JOIN saleshub.sample_places() p ON p.country = f.country AND p.city = f.city
    UNION ALL
    SELECT saleshub.sample_id(s.at, seed || ' customer ' || f.name), f.name, f.domain, f.industry,
           f.employees, f.phone, 'https://www.' || f.domain, f.country, p.state,
           saleshub.sample_phone(p.postal, f.name || ' post'), f.city, f.annual_revenue,
           f.currency, reps[1 + floor(saleshub.sample_draw(f.name) * cardinality(reps))::int],
           '{customer}'::text[], s.at
    FROM saleshub.sample_firms(known + customers, seed) f
    LEFT JOIN saleshub.sample_places() p ON p.country = f.country AND p.city = f.city
    CROSS JOIN LATERAL (
        SELECT anchor - interval '549 days'
               - make_interval(secs => floor(86400 * 900 * saleshub.sample_draw(
                     seed || ' since ' || f.name))) AS at) s
    WHERE f.firm > known
    ORDER BY 16, 1;
    ANALYZE crm.company;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_firms(int, text, timestamptz) IS
    'Write the companies of converting leads, and customers from before';

CREATE FUNCTION saleshub.sample_insert_contacts(seed text, anchor timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
BEGIN
    INSERT INTO crm.contact (contact_id, first_name, last_name, email, phone, company_id, title,
                             owner_id, consent_email, consent_phone, created_at)
    SELECT v.contact_id, l.first_name, l.last_name, l.email, l.phone, v.company_id, l.title,
           l.owner_id, l.consent_email, l.consent_phone, v.at
    FROM saleshub.sample_conversions(seed, anchor) v
    JOIN crm.lead l ON l.org_id = org AND l.lead_id = v.lead_id
    ORDER BY v.at, v.contact_id;

    INSERT INTO crm.contact (contact_id, first_name, last_name, email, phone, company_id, title,
                             owner_id, consent_email, created_at)
    SELECT saleshub.sample_id(c.created_at, k.key), k.first_name, k.last_name,
           saleshub.sample_ascii(k.first_name) || '.' || saleshub.sample_ascii(k.last_name)
           || k.n || '@' || c.domain,
           k.phone, c.company_id,
           saleshub.sample_pick(ARRAY['Head of Sales', 'Managing Director', 'CFO', 'IT Manager',
                                      'Sales Operations Manager'], k.key || ' title'),
           c.owner_id, true, c.created_at
    FROM crm.company c
    JOIN saleshub.sample_countries() w ON w.country = c.country
    CROSS JOIN LATERAL (
        SELECT n, c.company_id || ' contact ' || n AS key,
               saleshub.sample_pick(w.first_names, c.company_id || ' first ' || n) AS first_name,
               saleshub.sample_pick(w.last_names, c.company_id || ' last ' || n) AS last_name,
               saleshub.sample_phone(w.phone, c.company_id || ' phone ' || n) AS phone
        FROM generate_series(1, 1 + floor(3 * saleshub.sample_draw(c.company_id || ' staff'))::int)
             AS n) k
    WHERE c.org_id = org AND c.created_at < anchor - interval '548 days';
    ANALYZE crm.contact;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_contacts(text, timestamptz) IS
    'Write the contacts of converting leads and of old customers';

CREATE FUNCTION saleshub.sample_convert_leads(seed text, anchor timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    PERFORM set_config('saleshub.converting', 'on', true);
    UPDATE crm.lead l
    SET status = 'converted', converted_at = v.at, converted_by = l.owner_id,
        converted_company_id = v.company_id, converted_contact_id = v.contact_id,
        converted_deal_id = v.deal_id
    FROM saleshub.sample_conversions(seed, anchor) v
    WHERE l.org_id = saleshub.org_id() AND l.lead_id = v.lead_id;
    PERFORM set_config('saleshub.converting', 'off', true);
END
$$;
COMMENT ON FUNCTION saleshub.sample_convert_leads(text, timestamptz) IS
    'Mark the leads whose company, contact and deal are there as converted';

CREATE FUNCTION saleshub.sample_insert_conversions()
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
    options constant jsonb := '{"deal": {"mode": "create"}, "company": {"mode": "auto"},
                                "contact": {"mode": "auto"}}';
BEGIN
    INSERT INTO crm.conversion (conversion_id, lead_id, options, options_hash, company_id,
                                contact_id, deal_id, created, links, lead_before, at)
    SELECT saleshub.sample_id(l.converted_at, l.lead_id || ' conversion'), l.lead_id, options,
           sha256(convert_to(options::text, 'UTF8')), l.converted_company_id,
           l.converted_contact_id, l.converted_deal_id,
           (SELECT jsonb_agg(jsonb_build_object('type', m.type, 'id', m.id, 'version', 1)
                             ORDER BY m.type)
            FROM (VALUES ('contact', l.converted_contact_id), ('deal', l.converted_deal_id),
                         ('company', CASE WHEN c.created_at = l.converted_at
                                          THEN c.company_id END)) AS m (type, id)
            WHERE m.id IS NOT NULL),
           (SELECT coalesce(jsonb_agg(jsonb_build_object('activity_id', t.activity_id,
                                                         'type', t.entity, 'id', t.entity_id)
                                      ORDER BY t.activity_id, t.entity), '[]')
            FROM crm.activity_link f
            JOIN crm.activity_link t ON t.org_id = org AND t.activity_id = f.activity_id
            WHERE f.org_id = org AND f.entity = 'lead' AND f.entity_id = l.lead_id
              AND t.entity <> 'lead'),
           '{"status": "qualified"}', l.converted_at
    FROM crm.lead l
    JOIN crm.company c ON c.org_id = org AND c.company_id = l.converted_company_id
    WHERE l.org_id = org AND l.status = 'converted'
    ORDER BY l.converted_at, l.lead_id;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_conversions() IS
    'The record of the conversions, by which they are replayed or undone';

CREATE FUNCTION saleshub.sample_insert_rates(anchor date)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.currency_rate (currency, valid_from, rate)
    SELECT c.currency, (date_trunc('quarter', anchor) - interval '3 months' * q)::date,
           round((c.rate * (1 + 0.03 * saleshub.sample_normal(c.currency || q)))::numeric, 4)
    FROM (VALUES ('USD', 0.91), ('GBP', 1.17), ('CHF', 1.05)) AS c (currency, rate)
    CROSS JOIN generate_series(0, 20) AS q
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_rates(date) IS
    'Made-up exchange rates into euro for the last five years, by quarter';

CREATE FUNCTION saleshub.sample_insert_team(seed text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    INSERT INTO crm.member (member_id, name, email, role)
    SELECT p.member_id, p.name, p.email, p.role
    FROM saleshub.sample_people(seed) p
    ORDER BY p.member_id
    ON CONFLICT DO NOTHING;

    INSERT INTO crm.team (team_id, name, parent_id, manager_id)
    SELECT saleshub.sample_id('2020-01-06 08:00:00+00', seed || ' team ' || p.team), p.team,
           CASE WHEN p.team <> 'Sales'
                THEN saleshub.sample_id('2020-01-06 08:00:00+00', seed || ' team Sales') END,
           p.member_id
    FROM saleshub.sample_people(seed) p
    WHERE p.role = 'manager'
    ORDER BY p.team <> 'Sales', p.team
    ON CONFLICT DO NOTHING;

    INSERT INTO crm.team_member (team_id, member_id)
    SELECT t.team_id, m.member_id
    FROM saleshub.sample_people(seed) p
    JOIN crm.team t ON t.org_id = saleshub.org_id() AND t.name = p.team
    JOIN crm.member m ON m.org_id = saleshub.org_id() AND m.email = p.email
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_team(text) IS
    'Write members and teams: a head of sales, three teams with a manager and four reps each';

CREATE FUNCTION saleshub.sample_insert_process(seed text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org constant uuid := saleshub.org_id();
BEGIN
    UPDATE crm.routing_pool_member r
    SET weight = p.share, active = p.share > 0
    FROM saleshub.sample_people(seed) p
    WHERE r.org_id = org AND r.member_id = p.member_id;

    UPDATE crm.stage s
    SET position = s.position + 2
    WHERE s.org_id = org AND s.kind <> 'open';
    INSERT INTO crm.stage (pipeline_id, name, kind, position, probability)
    SELECT p.pipeline_id, v.name, 'open', o.last + v.step, v.probability
    FROM crm.pipeline p
    CROSS JOIN LATERAL (
        SELECT max(s.position) AS last
        FROM crm.stage s
        WHERE s.org_id = org AND s.pipeline_id = p.pipeline_id AND s.kind = 'open') o
    CROSS JOIN (VALUES (1, 'Proposal', 65), (2, 'Negotiation', 80)) AS v (step, name, probability)
    WHERE p.org_id = org AND p.is_default
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION saleshub.sample_insert_process(text) IS
    'Leads go to reps by their share, and the pipeline gets two more stages';

CREATE FUNCTION saleshub.sample_summary(org uuid)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'org_id', org,
        'email', (SELECT m.email FROM crm.member m
                  WHERE m.org_id = org AND m.role = 'admin'
                  ORDER BY m.email <> 'demo@saleshub.example', m.created_at, m.member_id LIMIT 1),
        'members', (SELECT count(*) FROM crm.member m WHERE m.org_id = org),
        'leads', (SELECT count(*) FROM crm.lead l WHERE l.org_id = org),
        'converted', (SELECT count(*) FROM crm.lead l
                      WHERE l.org_id = org AND l.status = 'converted'),
        'companies', (SELECT count(*) FROM crm.company c WHERE c.org_id = org),
        'contacts', (SELECT count(*) FROM crm.contact c WHERE c.org_id = org),
        'deals', (SELECT count(*) FROM crm.deal d WHERE d.org_id = org),
        'activities', (SELECT count(*) FROM crm.activity a WHERE a.org_id = org));
END
$$;
COMMENT ON FUNCTION saleshub.sample_summary(uuid) IS
    'What an organisation holds, as crm.sample_data reports it';

CREATE FUNCTION crm.sample_data(
    leads int DEFAULT 10000, seed text DEFAULT 'saleshub', anchor date DEFAULT NULL,
    name text DEFAULT 'Acme Demo')
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, crm, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    today timestamptz;
    context constant text := current_setting('saleshub.org_id', true);
    org uuid;
BEGIN
    IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
        PERFORM saleshub.raise('42501', 'only a superuser may load sample data');
    ELSIF leads IS NULL OR leads NOT BETWEEN 1 AND 1000000 THEN
        PERFORM saleshub.raise('22023', format('leads must be between 1 and 1000000, not %s', leads));
    ELSIF seed IS NULL OR NOT isfinite(anchor) OR coalesce(btrim(name), '') = '' THEN
        PERFORM saleshub.raise('22023', 'seed and name must be given, anchor finite');
    END IF;
    anchor := coalesce(anchor, (now() AT TIME ZONE 'UTC')::date);
    today := anchor;

    PERFORM pg_advisory_xact_lock(hashtext('saleshub.sample_data'), hashtext(name));
    SELECT o.org_id INTO org
    FROM crm.org o
    WHERE o.name = sample_data.name
    ORDER BY o.created_at, o.org_id
    LIMIT 1;
    IF EXISTS (SELECT FROM crm.lead l WHERE l.org_id = org) THEN
        RETURN saleshub.sample_summary(org);
    END IF;
    IF org IS NULL THEN
        org := crm.org_create(
            name => sample_data.name, admin_name => 'Dana Demo',
            admin_email => 'demo@saleshub.example', currency => 'EUR',
            timezone => 'Europe/Berlin', country => 'DE') ->> 'org_id';
    END IF;

    PERFORM set_config('saleshub.org_id', org::text, true);
    PERFORM saleshub.sample_insert_team(seed);
    PERFORM saleshub.sample_insert_process(seed);
    PERFORM saleshub.sample_insert_rates(anchor);
    PERFORM saleshub.sample_insert_leads(leads, seed, anchor);
    PERFORM saleshub.sample_insert_firms(leads, seed, today);
    PERFORM saleshub.sample_insert_contacts(seed, today);
    PERFORM saleshub.sample_insert_deals(seed, today);
    PERFORM saleshub.sample_convert_leads(seed, today);
    PERFORM saleshub.sample_insert_activities(today);
    PERFORM saleshub.sample_insert_conversions();
    PERFORM set_config('saleshub.org_id', coalesce(context, ''), true);
    RETURN saleshub.sample_summary(org);
END
$$;
COMMENT ON FUNCTION crm.sample_data(int, text, date, text) IS
    'Fill a demo organisation with eighteen months of sales up to the anchor day, by default today '
    'in UTC: the same seed and day give the same rows. Loads once: with leads in place it only '
    'reports what is there. Superuser only';
