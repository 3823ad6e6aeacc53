-- Hidden and read-only fields for members who log in to the database. The record functions leave
-- out what a role does not see; a table cannot. So for whoever has such fields, the tables of that
-- noun are closed, and schema sales stands open: views that show hidden fields as NULL, and every
-- function of schema crm once more, as saleshub_member, whom nobody can become.

CREATE FUNCTION saleshub.columns_open(noun text, writing boolean) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    -- The gateway speaks for members by functions only.
    IF current_user = 'saleshub_member' OR pg_has_role(session_user, 'saleshub_gateway', 'MEMBER') THEN
        RETURN true;
    ELSIF writing THEN
        RETURN saleshub.field_rules(noun) = '{}';
    END IF;
    RETURN saleshub.hidden_fields(noun) = '{}';
END;
$$;
COMMENT ON FUNCTION saleshub.columns_open(text, boolean) IS
    'Whether the tables of a noun are open to whoever is logged in: not when its role has hidden fields there or, for writing, read-only ones. Gateways and functions of schema sales are let through.';

CREATE FUNCTION saleshub.columns_open_all() RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN (SELECT bool_and(saleshub.columns_open(n.noun, false)) FROM saleshub.visibility_nouns() n);
END;
$$;
COMMENT ON FUNCTION saleshub.columns_open_all() IS
    'Whether that is so for every noun.';

CREATE FUNCTION saleshub.columns_on(tab regclass, noun text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    command text;
BEGIN
    FOREACH command IN ARRAY ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] LOOP
        PERFORM saleshub.restrict(tab, 'columns_' || lower(command), command, format(
            '(SELECT saleshub.columns_open(%L, %L))', noun, command <> 'SELECT'));
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.columns_on(regclass, text) IS
    'Closes a table to members who log in themselves and have hidden or read-only fields of a noun.';

-- Schema sales

CREATE FUNCTION saleshub.sales_view(noun text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    tab regclass := to_regclass('crm.' || quote_ident(noun));
    columns text;
BEGIN
    SELECT string_agg(
        CASE WHEN a.attname IN ('org_id', noun || '_id', 'owner_id', 'version', 'deleted_at')
             THEN format('t.%I', a.attname)
             WHEN a.attname = 'custom'
             THEN 'CASE WHEN ''custom'' <> ALL (h.hidden) THEN t.custom - h.keys END AS custom'
             ELSE format('CASE WHEN %1$L <> ALL (h.hidden) THEN t.%1$I END AS %1$I', a.attname) END,
        ', ' ORDER BY a.attnum)
    INTO columns
    FROM pg_attribute a WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped;
    EXECUTE format('DROP VIEW IF EXISTS sales.%I', noun);
    EXECUTE format(
        'CREATE VIEW sales.%1$I WITH (security_barrier) AS SELECT %2$s FROM crm.%1$I t'
        ' CROSS JOIN (SELECT x.hidden, ARRAY(SELECT substr(k, 8) FROM unnest(x.hidden) k'
        ' WHERE k LIKE ''custom.%%'') AS keys FROM (SELECT saleshub.hidden_fields(%1$L) AS hidden OFFSET 0) x) h',
        noun, columns);
    EXECUTE format('COMMENT ON VIEW sales.%I IS %L', noun, format(
        'crm.%s as the member may see it: hidden fields are NULL.', noun));
    EXECUTE format('ALTER VIEW sales.%I OWNER TO saleshub_view', noun);
    EXECUTE format('GRANT SELECT ON sales.%I TO saleshub_user', noun);
    EXECUTE format('GRANT SELECT ON crm.%I TO saleshub_view', noun);
END;
$$;
COMMENT ON FUNCTION saleshub.sales_view(text) IS
    'Makes the view of a noun in schema sales.';

CREATE FUNCTION saleshub.sales_policies(noun text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    policy record;
BEGIN
    -- The owner of the views reads by the policies of members, but for those that close the table.
    FOR policy IN
        SELECT p.polname, p.polpermissive, pg_get_expr(p.polqual, p.polrelid) AS condition
        FROM pg_policy p
        WHERE p.polrelid = to_regclass('crm.' || quote_ident(noun)) AND p.polcmd = 'r'
            AND p.polname NOT LIKE 'columns\_%' AND p.polname NOT LIKE 'view\_%'
            AND NOT EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = p.polrelid
                            AND o.polname = 'view_' || p.polname)
    LOOP
        EXECUTE format('CREATE POLICY %I ON crm.%I AS %s FOR SELECT TO saleshub_view USING (%s)',
                       'view_' || policy.polname, noun,
                       CASE WHEN policy.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                       policy.condition);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.sales_policies(text) IS
    'Lets the owner of the views of schema sales read a noun as members do.';

CREATE FUNCTION saleshub.sales_functions() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT format('%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) AS name,
               format('%I(%s)', p.proname, pg_get_function_arguments(p.oid)) AS head,
               pg_get_function_result(p.oid) AS result,
               CASE p.provolatile WHEN 'v' THEN 'VOLATILE' ELSE 'STABLE' END AS volatility,
               format('SELECT crm.%I(%s)', p.proname, (
                   SELECT string_agg('$' || n, ', ' ORDER BY n)
                   FROM generate_series(1, p.pronargs) n)) AS body,
               obj_description(p.oid, 'pg_proc') AS comment
        FROM pg_proc p
        WHERE p.pronamespace = 'crm'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
            AND p.prorettype NOT IN ('trigger'::regtype, 'refcursor'::regtype)
            AND p.proargmodes IS NULL AND has_function_privilege('saleshub_user', p.oid, 'EXECUTE')
            AND NOT EXISTS (
                SELECT FROM pg_proc o
                WHERE o.pronamespace = 'sales'::regnamespace AND o.proname = p.proname
                    AND pg_get_function_arguments(o.oid) = pg_get_function_arguments(p.oid)
                    AND o.prorettype = p.prorettype AND o.provolatile = CASE p.provolatile
                        WHEN 'v' THEN 'v'::"char" ELSE 's' END)
    LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS sales.%s', f.name);
        EXECUTE format('CREATE FUNCTION sales.%s RETURNS %s LANGUAGE sql %s SECURITY DEFINER'
                       ' SET search_path = pg_catalog, crm, pg_temp AS %L',
                       f.head, f.result, f.volatility, f.body);
        EXECUTE format('ALTER FUNCTION sales.%s OWNER TO saleshub_member', f.name);
        EXECUTE format('COMMENT ON FUNCTION sales.%s IS %L', f.name, f.comment);
        EXECUTE format('REVOKE ALL ON FUNCTION sales.%s FROM PUBLIC', f.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION sales.%s TO saleshub_user', f.name);
    END LOOP;
    FOR f IN
        SELECT p.oid::regprocedure AS gone FROM pg_proc p
        WHERE p.pronamespace = 'sales'::regnamespace
            AND pg_get_userbyid(p.proowner) = 'saleshub_member'
            AND NOT EXISTS (SELECT FROM pg_proc o WHERE o.pronamespace = 'crm'::regnamespace
                            AND o.proname = p.proname AND o.proargtypes = p.proargtypes)
    LOOP
        EXECUTE format('DROP FUNCTION %s', f.gone);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.sales_functions() IS
    'Makes the functions of schema sales: those of schema crm that members may call, run as saleshub_member.';

CREATE FUNCTION saleshub.sales_on() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    noun text;
BEGIN
    CREATE SCHEMA IF NOT EXISTS sales;
    COMMENT ON SCHEMA sales IS
        'The CRM for members who log in to the database: views without hidden fields, and the functions of schema crm';
    GRANT USAGE ON SCHEMA sales TO saleshub_user;
    GRANT CREATE, USAGE ON SCHEMA sales TO saleshub_member, saleshub_view;
    FOR noun IN SELECT n.noun FROM saleshub.visibility_nouns() n LOOP
        PERFORM saleshub.sales_policies(noun);
        PERFORM saleshub.sales_view(noun);
    END LOOP;
    PERFORM saleshub.sales_functions();
    REVOKE CREATE ON SCHEMA sales FROM saleshub_member, saleshub_view;
END;
$$;
COMMENT ON FUNCTION saleshub.sales_on() IS
    'Makes or completes schema sales.';
