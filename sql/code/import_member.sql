-- Importing members and the teams they are in: few rows, each by the calls that admins use.

CREATE FUNCTION saleshub.import_address(row_ jsonb, options jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    IF row_ ? 'email' OR NOT options ? 'email_domain' THEN
        RETURN row_ ->> 'email';
    END IF;
    RETURN regexp_replace(btrim(saleshub.match_fold(row_ ->> 'name')), '\s+', '.', 'g')
        || '@' || (options ->> 'email_domain');
END;
$$;
COMMENT ON FUNCTION saleshub.import_address(jsonb, jsonb) IS
    'The e-mail address of a member; where the file gives none, made of the name and the option email_domain.';

CREATE FUNCTION saleshub.import_member_at(name text, options jsonb, role text, OUT id uuid, OUT made boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ids uuid[] := saleshub.import_find('member', name);
    address text := saleshub.import_address(jsonb_build_object('name', name), options);
BEGIN
    made := false;
    IF cardinality(ids) = 1 THEN
        id := ids[1];
    ELSIF ids = '{}' AND address IS NOT NULL AND coalesce(options -> 'create', '[]') ? 'member' THEN
        id := (crm.member_create(jsonb_build_object('name', name, 'email', address, 'role', role)) ->> 'id')::uuid;
        made := true;
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_member_at(text, jsonb, text) IS
    'The member of a name, made where that was asked for; NULL for none or several.';

CREATE FUNCTION saleshub.import_team(row_ jsonb, options jsonb, member uuid, OUT made jsonb, OUT warnings jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    ids uuid[] := saleshub.import_find('team', row_ ->> 'link_team');
    manager uuid;
    at_ record;
BEGIN
    made := '[]';
    warnings := '[]';
    IF row_ ? 'link_manager' THEN
        at_ := saleshub.import_member_at(row_ ->> 'link_manager', options, 'manager');
        manager := at_.id;
        IF at_.made THEN
            made := made || jsonb_build_object('entity', 'member', 'id', manager);
        ELSIF manager IS NULL THEN
            warnings := saleshub.fault('/manager', 'not_found', 'names no member');
        END IF;
    END IF;
    IF NOT row_ ? 'link_team' THEN
        RETURN;
    ELSIF ids = '{}' AND coalesce(options -> 'create', '[]') ? 'team' THEN
        ids := ARRAY[(crm.team_create(jsonb_build_object('name', row_ -> 'link_team')) ->> 'id')::uuid];
        made := made || jsonb_build_object('entity', 'team', 'id', ids[1]);
    ELSIF ids = '{}' THEN
        warnings := warnings || saleshub.fault('/team', 'not_found', 'names no team');
        RETURN;
    END IF;
    FOR member IN SELECT m FROM unnest(ARRAY[member, manager]) m WHERE m IS NOT NULL
    LOOP
        IF NOT EXISTS (SELECT FROM crm.team_member t WHERE t.org_id = saleshub.org_id()
                       AND t.team_id = ids[1] AND t.member_id = import_team.member)
        THEN
            PERFORM crm.team_member_add(ids[1], member);
            made := made || jsonb_build_object('entity', 'team_member', 'id', ids[1], 'member_id', member);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION saleshub.import_team(jsonb, jsonb, uuid) IS
    'Puts a member and its manager into the team that its row names. Returns what was made for it.';

CREATE FUNCTION saleshub.import_member_row(row_ jsonb, options jsonb, known uuid, OUT id uuid, OUT updated jsonb,
                                           OUT made jsonb, OUT warnings jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    body jsonb := row_ - '{link_team,link_manager}'::text[];
    before jsonb;
    after_ jsonb;
    team record;
BEGIN
    IF known IS NULL THEN
        body := body || jsonb_strip_nulls(jsonb_build_object('email', saleshub.import_address(row_, options)));
        id := (crm.member_create(body) ->> 'id')::uuid;
    ELSE
        id := known;
        before := crm.member_get(known);
        IF coalesce(options #>> '{match,on_match}', 'update') = 'fill_blank' THEN
            body := (SELECT coalesce(jsonb_object_agg(b.key, b.value), '{}') FROM jsonb_each(body) b
                     WHERE before ->> b.key IS NULL);
        END IF;
        after_ := CASE WHEN body = '{}' THEN before ELSE crm.member_update(known, body) END;
        updated := jsonb_build_object('id', id, 'version', after_ -> 'version', 'changed', (
            SELECT jsonb_object_agg(b.key, jsonb_build_array(before -> b.key, after_ -> b.key))
            FROM jsonb_each(body) b WHERE before -> b.key IS DISTINCT FROM after_ -> b.key));
        updated := CASE WHEN updated -> 'changed' <> 'null' THEN updated END;
    END IF;
    team := saleshub.import_team(row_, options, id);
    made := team.made;
    warnings := team.warnings;
END;
$$;
COMMENT ON FUNCTION saleshub.import_member_row(jsonb, jsonb, uuid) IS
    'Makes or changes the member of a row, and puts it into its team.';

CREATE FUNCTION saleshub.import_member_warn(layout jsonb, n integer, row_ jsonb, id uuid, warnings jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    org uuid := saleshub.org_id();
    warning jsonb;
BEGIN
    FOR warning IN SELECT w FROM jsonb_array_elements(warnings) w
    LOOP
        PERFORM saleshub.import_note(
            false, warning ->> 'code', saleshub.import_header(layout, ltrim(warning ->> 'pointer', '/')), ARRAY[n],
            ARRAY[warning ->> 'detail'], ARRAY[row_ ->> ('link_' || ltrim(warning ->> 'pointer', '/'))]);
    END LOOP;
    IF EXISTS (SELECT FROM crm.deal d WHERE d.org_id = org AND d.deleted_at IS NULL)
       AND NOT EXISTS (SELECT FROM crm.deal d WHERE d.org_id = org AND d.owner_id = id AND d.deleted_at IS NULL)
    THEN
        PERFORM saleshub.import_note(false, 'owns_no_deals', saleshub.import_header(layout, 'name'), ARRAY[n],
                                     ARRAY['owns none of the deals'], ARRAY[row_ ->> 'name']);
    END IF;
END;
$$;
COMMENT ON FUNCTION saleshub.import_member_warn(jsonb, integer, jsonb, uuid, jsonb) IS
    'Notes what is strange about the row of a member.';

CREATE FUNCTION saleshub.import_members(layout jsonb, options jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    n integer;
    status text;
    known uuid;
    doc jsonb;
    done record;
    state text;
    message text;
    detail text;
    updated jsonb := '[]';
    made jsonb := '[]';
BEGIN
    PERFORM saleshub.need_admin();
    PERFORM saleshub.import_meet_all('member', layout, options);
    FOR n, status, known, doc IN EXECUTE format(
        'SELECT r.n, r.status, r.id, jsonb_strip_nulls(jsonb_build_object(%s)) AS doc FROM ('
        ' SELECT ''create'' AS status, r.* FROM saleshub.import_rows(''create'') %2$s UNION ALL'
        ' SELECT ''update'', r.* FROM saleshub.import_rows(''update'') %2$s) r ORDER BY r.n',
        (SELECT string_agg(format('%L, r.c%s', c.v ->> 'column', c.n - 1), ', ')
         FROM jsonb_array_elements(layout -> 'columns') WITH ORDINALITY AS c (v, n)
         WHERE c.v ->> 'column' <> 'member_id'), saleshub.import_shape(layout))
    LOOP
        BEGIN
            done := saleshub.import_member_row(doc, options, CASE status WHEN 'update' THEN known END);
            PERFORM saleshub.import_mark(status, ARRAY[n], ARRAY[done.id]);
            updated := updated || coalesce(done.updated, '[]');
            made := made || done.made;
            PERFORM saleshub.import_member_warn(layout, n, doc, done.id, done.warnings);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                                    detail = PG_EXCEPTION_DETAIL;
            IF saleshub.problem_status(state) IS NULL THEN
                RAISE;
            END IF;
            PERFORM saleshub.import_refuse(layout, n, state, message, detail);
        END;
    END LOOP;
    RETURN jsonb_build_object('updated', updated, 'made', made);
END;
$$;
COMMENT ON FUNCTION saleshub.import_members(jsonb, jsonb) IS
    'Makes and changes the members that the rows at hand mean: {updated, made}.';
