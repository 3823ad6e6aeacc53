-- Loads the staged tables of the Maven sales data into an organisation of its own, through the
-- functions that clients use. Expects maven_account, maven_product, maven_deal and maven_team as
-- temporary tables of text, and leaves saleshub.org_id set.

DO $load$
DECLARE
    org uuid;
    admin uuid;
    made jsonb;
    a record;
    ids jsonb := '{}';
    stages jsonb;
    last_day timestamptz;
    loaded int := 0;
BEGIN
    SELECT o.org_id INTO org FROM crm.org o WHERE o.name = 'Maven Sales' ORDER BY o.org_id LIMIT 1;
    IF org IS NULL THEN
        org := crm.org_create('Maven Sales', 'Maven Admin', 'admin@maven.example', 'USD', 'UTC', 'US')
               ->> 'org_id';
    END IF;
    SELECT m.member_id INTO admin
    FROM crm.member m
    WHERE m.org_id = org AND m.role = 'admin'
    ORDER BY m.created_at, m.member_id
    LIMIT 1;
    PERFORM set_config('saleshub.org_id', org::text, false),
            set_config('saleshub.member_id', admin::text, false),
            set_config('saleshub.member_role', 'admin', false);
    IF EXISTS (SELECT FROM crm.deal d WHERE d.org_id = org) THEN
        RETURN;
    END IF;

    PERFORM crm.member_create(jsonb_build_object(
        'name', t.name, 'role', t.role,
        'email', lower(replace(t.name, ' ', '.')) || '@maven.example'))
    FROM (SELECT sales_agent AS name, 'rep' AS role FROM maven_team
          UNION
          SELECT manager, 'manager' FROM maven_team
          ORDER BY 1) t;
    -- A team for each region, below it one for each manager, with the agents.
    INSERT INTO crm.team (name)
    SELECT DISTINCT regional_office FROM maven_team;
    INSERT INTO crm.team (name, parent_id, manager_id)
    SELECT DISTINCT s.manager, t.team_id, m.member_id
    FROM maven_team s
    JOIN crm.team t ON t.org_id = org AND t.name = s.regional_office
    JOIN crm.member m ON m.org_id = org AND m.name = s.manager;
    INSERT INTO crm.team_member (team_id, member_id)
    SELECT DISTINCT t.team_id, m.member_id
    FROM maven_team s
    JOIN crm.team t ON t.org_id = org AND t.name = s.manager
    JOIN crm.member m ON m.org_id = org AND m.name IN (s.sales_agent, s.manager);

    FOR a IN SELECT * FROM maven_account ORDER BY account LOOP
        made := crm.company_create(jsonb_build_object(
            'name', a.account,
            'industry', replace(a.sector, 'technolgy', 'technology'),
            'employees', a.employees::int,
            'annual_revenue', jsonb_build_object('amount', (a.revenue::numeric * 1000000)::text,
                                                 'currency', 'USD'),
            'country', a.office_location,
            'custom', jsonb_build_object('founded', a.year_established::int)));
        ids := ids || jsonb_build_object(a.account, made -> 'id');
    END LOOP;
    FOR a IN SELECT * FROM maven_account WHERE subsidiary_of <> '' ORDER BY account LOOP
        PERFORM crm.company_update((ids ->> a.account)::uuid,
                                   jsonb_build_object('parent_id', ids -> a.subsidiary_of));
    END LOOP;

    PERFORM crm.product_create(jsonb_build_object(
        'name', p.product,
        'price', jsonb_build_object('amount', p.sales_price, 'currency', 'USD'),
        'tags', jsonb_build_array(p.series)))
    FROM maven_product p;

    SELECT jsonb_object_agg(s.name, s.stage_id) INTO stages FROM crm.stage s WHERE s.org_id = org;
    -- Deals that were never engaged have no date: they are open on the last day of the data.
    SELECT max(close_date)::timestamp AT TIME ZONE 'UTC' INTO last_day
    FROM maven_deal WHERE close_date <> '';
    FOR a IN
        SELECT d.*, p.sales_price, p.series, m.member_id
        FROM (SELECT r.*, replace(r.product, 'GTXPro', 'GTX Pro') AS product_name
              FROM maven_deal r) d
        JOIN maven_product p ON p.product = d.product_name
        JOIN crm.member m ON m.org_id = org AND m.name = d.sales_agent
        ORDER BY nullif(d.engage_date, ''), d.opportunity_id
    LOOP
        -- What is open stands at list price, also what was open once.
        made := crm.deal_create(jsonb_strip_nulls(jsonb_build_object(
            'name', a.opportunity_id,
            'company_id', ids -> nullif(a.account, ''),
            'owner_id', a.member_id,
            'product', a.product_name,
            -- There are no sources in the data: the series of the product stands there.
            'source', a.series,
            'stage_id', stages -> CASE a.deal_stage WHEN 'Prospecting' THEN 'Prospecting'
                                  ELSE 'Engaging' END,
            'amount', jsonb_build_object('amount', a.sales_price, 'currency', 'USD'),
            'opened_at', coalesce(nullif(a.engage_date, '')::timestamp AT TIME ZONE 'UTC', last_day))));
        IF a.close_date <> '' THEN
            PERFORM crm.deal_update((made ->> 'id')::uuid, jsonb_build_object(
                'stage_id', stages -> a.deal_stage,
                'amount', jsonb_build_object('amount', a.close_value, 'currency', 'USD'),
                'closed_at', a.close_date::timestamp AT TIME ZONE 'UTC'));
        END IF;
        loaded := loaded + 1;
        -- Plans made for empty tables scan whole organisations; once is enough to mend them.
        IF loaded = 500 THEN
            ANALYZE crm.company, crm.deal, crm.stage_history;
        END IF;
    END LOOP;
END
$load$;
