-- The board: the deals of a pipeline, stage by stage, with totals.

CREATE FUNCTION saleshub.board_cards(meta jsonb) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
BEGIN
    RETURN saleshub.record_projection(
        meta,
        (SELECT string_agg(f, ',') FROM unnest(ARRAY[
            'name', 'amount', 'amount_base', 'probability', 'close_date', 'status', 'company_id',
            'contact_id', 'owner_id', 'tags', 'version', 'created_at', 'updated_at']) f
         WHERE meta -> 'json' ? f),
        (SELECT string_agg(i, ',') FROM unnest(ARRAY['owner', 'company']) i
         WHERE meta -> 'include' ? i));
END;
$$;
COMMENT ON FUNCTION saleshub.board_cards(jsonb) IS
    'SQL text of what a board shows of a deal.';

CREATE FUNCTION crm.pipeline_board(id uuid, limit_ integer DEFAULT 50, owner_id uuid DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    page integer := saleshub.list_limit(limit_);
    meta jsonb := saleshub.visible_meta(saleshub.deal_meta());
    priced boolean := meta -> 'json' ? 'amount';
    deals text := ' FROM crm.deal t WHERE t.org_id = s.org_id AND t.pipeline_id = s.pipeline_id'
                  ' AND t.stage_id = s.stage_id AND t.deleted_at IS NULL'
                  || CASE WHEN owner_id IS NULL THEN ''
                     ELSE ' AND t.owner_id = ($1 ->> ''owner'')::uuid' END;
    doc jsonb;
    board jsonb;
BEGIN
    SELECT jsonb_build_object('id', p.pipeline_id, 'name', p.name, 'is_default', p.is_default)
    INTO doc
    FROM crm.pipeline p
    WHERE p.org_id = saleshub.org_id() AND p.pipeline_id = pipeline_board.id
        AND p.deleted_at IS NULL;
    IF NOT FOUND THEN
        PERFORM saleshub.record_missing('pipeline', id);
    END IF;
    board := saleshub.run(
        'SELECT jsonb_build_object(''stages'', coalesce(jsonb_agg(jsonb_build_object('
        '''id'', b.stage_id, ''name'', b.name, ''kind'', b.kind, ''position'', b.position,'
        ' ''probability'', b.probability, ''required_fields'', b.required_fields,'
        ' ''count'', b.n, ''amount'', saleshub.money_json(b.amount, b.currency),'
        ' ''weighted_amount'', saleshub.money_json(b.weighted, b.currency), ''deals'', b.cards)'
        ' ORDER BY b.position, b.stage_id), ''[]''), ''totals'', jsonb_build_object('
        '''count'', coalesce(sum(b.n) FILTER (WHERE b.kind = ''open''), 0),'
        ' ''amount'', saleshub.money_json(coalesce(sum(b.amount)'
        ' FILTER (WHERE b.kind = ''open''), 0), saleshub.org_currency(saleshub.org_id())),'
        ' ''weighted_amount'', saleshub.money_json(coalesce(sum(b.weighted)'
        ' FILTER (WHERE b.kind = ''open''), 0), saleshub.org_currency(saleshub.org_id()))))'
        ' FROM (SELECT s.*, c.*, d.cards, saleshub.org_currency(s.org_id) AS currency'
        ' FROM crm.stage s CROSS JOIN LATERAL (SELECT count(*) AS n,'
        ' coalesce(sum(t.amount_base), 0) AS amount,'
        ' coalesce(sum(t.amount_base * t.probability * 0.01), 0) AS weighted' || deals || ') c'
        ' CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(k.card ORDER BY k.created_at DESC,'
        ' k.deal_id DESC), ''[]'') AS cards FROM (SELECT ' || saleshub.board_cards(meta)
        || ' AS card, t.created_at, t.deal_id' || deals
        || ' ORDER BY t.created_at DESC, t.deal_id DESC LIMIT ' || page || ') k) d'
        ' WHERE s.org_id = saleshub.org_id() AND s.pipeline_id = ($1 ->> ''id'')::uuid'
        ' AND s.deleted_at IS NULL) b',
        jsonb_build_object('id', id, 'owner', owner_id));
    IF NOT priced THEN
        board := jsonb_build_object(
            'stages', (SELECT jsonb_agg(s - ARRAY['amount', 'weighted_amount'] ORDER BY n)
                       FROM jsonb_array_elements(board -> 'stages') WITH ORDINALITY AS e (s, n)),
            'totals', (board -> 'totals') - ARRAY['amount', 'weighted_amount']);
    END IF;
    RETURN doc || board;
END;
$$;
COMMENT ON FUNCTION crm.pipeline_board(uuid, integer, uuid) IS
    'The stages of a pipeline, each with the number, exact amount and weighted amount of its deals in
the currency of the organisation, and the newest of them; totals count the open stages. Only what the
member sees is counted.';
