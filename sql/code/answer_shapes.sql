-- Shapes of the answers that several routes give, by area; saleshub.route(answer =>) refers to them
-- by name. A fault has members of its own kind besides, so it stays open.

CREATE FUNCTION saleshub.schemas_base() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN '{
        "Money": {"amount": "text", "currency": "text?"},
        "Link": {"type": "text", "id": "uuid"},
        "Problem": {"=": {"type": "object", "required": ["type", "title", "status", "code"],
            "additionalProperties": true, "properties": {
                "type": {"type": "string"}, "title": {"type": "string"},
                "status": {"type": "integer"}, "detail": {"type": "string"},
                "code": {"type": "string"}, "request_id": {"type": "string"},
                "errors": {"type": "array", "items": {"type": "object",
                    "additionalProperties": true, "properties": {
                        "pointer": {"type": "string"}, "parameter": {"type": "string"},
                        "code": {"type": "string"}, "detail": {"type": "string"}}}}}}},
        "Event": {"gseq": "integer", "channel?": "text", "type": "text", "entity?": "text?",
            "id?": "text?", "version?": "integer?", "changed?": "any", "actor?": "uuid?",
            "at?": "time", "data?": "any"},
        "Change": {"id": "uuid", "op": "insert|update|delete", "version": "integer?",
            "changed": {"*": {"old": "any", "new": "any"}}, "actor_id": "uuid?",
            "request_id": "text?", "at": "time"},
        "TimelineEntry": {"kind": "text", "type": "text", "id": "uuid", "at": "time",
            "actor_id": "uuid?", "changed?": {"*": {"old": "any", "new": "any"}},
            "activity?": "object", "attachment?": "object"},
        "Undo": {"restored": ["object"], "kept": ["object"], "conflicts": ["object"],
            "replayed?": "boolean", "lead_id?": "uuid", "conversion_id?": "uuid", "batch_id?": "uuid"},
        "BatchResult": {"succeeded": "integer", "failed": "integer", "batch_id": "uuid?",
            "data": [{"status": "integer", "id?": "uuid", "version?": "integer",
                      "duplicates?": ["object"], "problem?": "object"}]}
    }'::jsonb;
COMMENT ON FUNCTION saleshub.schemas_base() IS 'Shapes that answers of many routes refer to';

CREATE FUNCTION saleshub.schemas_record() RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, crm, pg_temp
AS $$
DECLARE
    -- what a policy that warns tells of a new record
    warned CONSTANT jsonb := '{"duplicates?": ["object"]}';
BEGIN
    RETURN (
        SELECT jsonb_object_agg(saleshub.record_answer(n.meta ->> 'noun') #>> '{}',
                   saleshub.record_shape(n.fields || saleshub.record_fields(), n.meta -> 'include') || n.more)
          FROM (VALUES
            (saleshub.lead_meta(), saleshub.lead_fields(), warned),
            (saleshub.contact_meta(), saleshub.contact_fields(), warned),
            (saleshub.company_meta(), saleshub.company_fields(), warned),
            (saleshub.deal_meta(), saleshub.deal_fields(), '{}'),
            (saleshub.activity_meta(), saleshub.activity_fields(), '{"reminders?": ["object"]}'),
            (saleshub.product_meta(), saleshub.product_fields(), '{}'),
            (saleshub.quota_meta(), saleshub.quota_fields(), '{}'),
            (saleshub.source_cost_meta(), saleshub.source_cost_fields(), '{}'),
            (saleshub.custom_field_meta(), saleshub.custom_field_fields(), '{"options?": ["object"]}'),
            (saleshub.filter_meta(), saleshub.filter_fields(), '{}'),
            (saleshub.attachment_meta(), saleshub.attachment_fields(), '{}')) AS n (meta, fields, more)
    ) || '{
        "DealLine": {"id": "uuid", "product_id": "uuid?", "name": "text?", "quantity": "number",
            "unit_price": "Money?", "discount": "number", "amount": "Money?"},
        "Splits": {"splits": ["object"]},
        "AttachmentSettings": {"max_bytes": "integer", "used_bytes": "integer", "quota_bytes": "integer?"},
        "Upload": {"id": "uuid", "name": "text?", "size": "integer", "sha256": "text",
            "media_type": "text?", "created_at": "time", "expires_at": "time?"},
        "Stage": {"id": "uuid", "pipeline_id?": "uuid", "name": "text", "kind": "open|won|lost",
            "position": "integer", "probability": "number", "required_fields": ["text"],
            "gate": "object?", "forecast_category": "text?", "version": "integer",
            "created_at?": "time", "created_by?": "uuid?", "updated_at?": "time", "updated_by?": "uuid?"},
        "Pipeline": {"id": "uuid", "name": "text", "is_default": "boolean", "position": "integer",
            "stages": ["Stage"], "version": "integer", "created_at": "time", "created_by?": "uuid?",
            "updated_at": "time", "updated_by?": "uuid?"},
        "Board": {"id": "uuid", "name": "text", "is_default": "boolean",
            "totals": {"count": "integer", "amount": "Money?", "weighted_amount": "Money?"},
            "stages": [{"id": "uuid", "name": "text", "kind": "text", "position": "integer",
                "probability": "number", "required_fields": ["text"], "count": "integer",
                "amount": "Money?", "weighted_amount": "Money?", "deals": ["object"]}]},
        "Reminder": {"id": "uuid", "activity_id": "uuid", "member_id": "uuid", "state": "text",
            "at": "time?", "remind_at": "time?", "minutes_before": "integer?", "snoozed": "boolean",
            "fired_at": "time?", "activity": "object"},
        "Batch": {"id": "uuid", "type": "text", "at": "time", "actor_id": "uuid?",
            "items": ["object"], "undo": "object?", "undone_at": "time?", "undone_by": "uuid?"},
        "Touch": {"id": "uuid", "source": "text", "campaign": "text?", "at": "time",
            "links": ["Link"], "created_at": "time", "created_by": "uuid?"},
        "Tag": {"tag": "text", "colour": "text?", "total?": "integer", "counts?": {"*": "integer"}}
    }';
END
$$;
COMMENT ON FUNCTION saleshub.schemas_record() IS 'Shapes of the records and of what belongs to them';

CREATE FUNCTION saleshub.schemas_member() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN '{
        "SignedIn": {"access_token": "text", "token_type": "text", "expires_in": "integer",
            "refresh_token": "text", "member": {"id": "uuid", "org_id": "uuid", "name": "text",
                "email": "text", "role": "admin|manager|rep|readonly"}},
        "Session": {"id": "uuid", "device": "text?", "ip": "text?", "user_agent": "text?",
            "current": "boolean", "created_at": "time", "refreshed_at": "time?", "expires_at": "time"},
        "Member": {"id": "uuid", "name": "text", "email": "text", "title": "text?",
            "role": "admin|manager|rep|readonly", "active": "boolean", "timezone": "text?",
            "version": "integer", "created_at": "time", "updated_at": "time"},
        "Me": {"id": "uuid", "org_id": "uuid", "name": "text", "email": "text", "title": "text?",
            "role": "admin|manager|rep|readonly", "active": "boolean", "timezone": "text?",
            "preferences": "object", "version": "integer", "created_at": "time", "updated_at": "time",
            "org": {"id": "uuid", "name": "text", "currency": "text", "timezone": "text",
                    "country": "text?"}},
        "Team": {"id": "uuid", "name": "text", "parent_id": "uuid?", "manager_id": "uuid?",
            "members": ["uuid"], "version": "integer", "created_at": "time", "updated_at": "time"},
        "Visibility": {"visibility": {"*": {"*": "own|team|all"}},
            "fields": {"*": {"*": {"*": "text"}}}},
        "Retention": {"*": {"held": "boolean", "bin_days": "integer?", "history_days": "integer?",
            "history_from": "time?"}},
        "Erased": {"erasure_id": "uuid", "records": ["Link"], "erased": {"*": "integer"}}
    }'::jsonb;
COMMENT ON FUNCTION saleshub.schemas_member() IS 'Shapes of members, sessions, teams and rules of the organisation';

CREATE FUNCTION saleshub.schemas_engine() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN '{
        "Conversion": {"id": "uuid", "at": "time", "actor_id": "uuid?", "lead_id": "uuid",
            "company_id": "uuid?", "contact_id": "uuid?", "deal_id": "uuid?", "created": ["Link"],
            "filled": ["object"], "links": ["object"], "undone_at": "time?", "undone_by": "uuid?",
            "undo": "Undo?"},
        "Converted": {"conversion_id": "uuid", "lead": "Lead", "company": "Company?",
            "contact": "Contact?", "deal": "Deal?", "replayed": "boolean"},
        "ConversionMapping": {"version": "integer", "rows": [{"source": "text", "policy": "text",
            "target_entity": "text", "target_field": "text"}]},
        "Merged": {"merge_id": "uuid?", "winner": "object", "losers": ["uuid"], "dry_run": "boolean",
            "fields": {"*": "any"}, "relinked": {"*": "integer"}},
        "Match": {"type": "text", "id": "uuid", "name": "text?", "email": "text?", "score": "number",
            "band": "text", "fields": [{"field": "text", "level": "text", "weight": "number"}]},
        "MatchCluster": {"type": "text", "score": "number", "records": ["object"],
            "pairs": [{"ids": ["uuid"], "band": "text", "score": "number", "fields": ["object"]}]},
        "MatchScan": {"id": "uuid", "type": "text", "done": "boolean", "records": "integer",
            "compared": "integer", "found": "integer", "started_at": "time", "finished_at": "time?"},
        "MatchFields": {"type": "text", "bands": {"*": "number"}, "fields": [{"field": "text",
            "kind": "text", "key": "text?", "own": "boolean", "same": "number", "close": "number",
            "differ": "number"}]},
        "DuplicatePolicy": {"lead": "warn|block|allow", "contact": "warn|block|allow",
            "company": "warn|block|allow"},
        "Pool": {"id": "uuid", "name": "text", "active": "boolean", "method": "text",
            "position": "integer", "is_default": "boolean", "calendar_id": "uuid?",
            "outside_hours": "text", "members": [{"member_id": "uuid", "weight": "integer",
                "active": "boolean", "last_assigned_at": "time?"}]},
        "RoutingRules": {"pools": ["Pool"], "rules": ["object"]},
        "RoutingQueueEntry": {"lead_id": "uuid", "kind": "text", "reason": "text", "since": "time",
            "age_seconds": "number", "pool_id": "uuid?", "tried_at": "time?", "next_try_at": "time?",
            "candidates": ["object"], "lead": "object"},
        "Routed": {"owner_id": "uuid?", "rule": "text?", "rule_id?": "uuid?", "pool_id?": "uuid?",
            "reason": "text?", "candidates?": ["object"], "sla?": "object?", "lead_id?": "uuid"},
        "RoutingMember": {"member_id": "uuid", "name": "text", "active": "boolean",
            "timezone": "text?", "calendar_id": "uuid?", "skills": ["text"], "absences": ["object"],
            "territories": ["object"], "capacity": "integer?", "capacity_unit": "text",
            "daily_quota": "integer?"},
        "SlaPolicy": {"id": "uuid", "name": "text", "active": "boolean", "grades": ["text"],
            "pool_id": "uuid?", "rule_id": "uuid?", "calendar": "text", "max_hops": "integer",
            "notify_minutes": "integer?", "pause_statuses": ["text"], "target_minutes": "integer"},
        "Sla": {"state": "text", "due_at": "time?", "queue": "object?", "assignments": ["object"]}
    }'::jsonb;
COMMENT ON FUNCTION saleshub.schemas_engine() IS 'Shapes of conversion, duplicates and routing';

CREATE FUNCTION saleshub.schemas_transfer() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN '{
        "ImportCounts": {"rows": "integer", "create": "integer", "update": "integer",
            "unchanged": "integer", "skip": "integer", "conflict": "integer", "error": "integer",
            "warning": "integer", "made": "integer"},
        "ImportIssue": {"line": "integer", "column": "text?", "raw": "text?", "code": "text",
            "level": "text", "message": "text"},
        "Import": {"id": "uuid", "type": "text", "state": "text", "fault": "any",
            "file": {"name": "text?", "size": "integer", "sha256": "text", "kept": "boolean"},
            "encoding": "text?", "delimiter": "text?", "header": "boolean?",
            "plan": "ImportCounts?", "counts": "ImportCounts?", "progress": "object",
            "undo": "object?", "retry_of": "uuid?", "issue_codes": {"*": "integer"},
            "issues?": ["ImportIssue"], "mapping?": "object?", "options?": "object",
            "created_at": "time", "created_by": "uuid?", "started_at": "time?", "finished_at": "time?"},
        "ExportLog": {"id": "uuid", "type": "text", "format": "text", "fields": "text?",
            "filter_id": "uuid?", "conditions": "any", "as_of": "time?", "rows": "integer?",
            "bytes": "integer?", "complete": "boolean", "member_id": "uuid?", "request_id": "text?",
            "at": "time"}
    }'::jsonb;
COMMENT ON FUNCTION saleshub.schemas_transfer() IS 'Shapes of imports and exports';

CREATE FUNCTION saleshub.schemas_report() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN '{
        "Report": {"columns": [{"name": "text", "type": "text", "of?": "text", "currency?": "text"}],
            "rows": [["any"]], "totals": "object", "meta?": "object"},
        "Dashboard": {"period": {"from": "text?", "to": "text?", "tz": "text", "bucket": "text"},
            "leads": {"new": "integer", "converted": "integer", "conversion_rate": "number?"},
            "deals": {"open": "integer", "won": "integer", "lost": "integer", "win_rate": "number?",
                "open_amount": "Money?", "weighted_amount": "Money?", "won_amount": "Money?",
                "avg_cycle_days": "number?", "velocity_per_day": "number?"},
            "activities": {"created": "integer", "done": "integer",
                "by_type": [{"type": "text", "created": "integer", "done": "integer"}]},
            "series": [{"bucket": "text", "from": "time", "leads_new": "integer",
                "leads_converted": "integer", "won": "integer", "lost": "integer",
                "won_amount": "Money?"}], "as_of_seq": "text?"},
        "ForecastAdjustment": {"id": "uuid", "member_id": "uuid", "category": "text",
            "amount": "Money?", "note": "text?", "period_from": "date", "period_to": "date",
            "made_at": "time", "made_by": "uuid?"}
    }'::jsonb;
COMMENT ON FUNCTION saleshub.schemas_report() IS 'Shapes of the analytics';

CREATE FUNCTION saleshub.schemas_score() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN '{
        "ScoreReason": {"label": "text", "points": "number", "group?": "text", "events?": "integer"},
        "Score": {"score": "number", "fit": "number", "engagement": "number?", "grade": "text?",
            "as_of": "time?", "version?": "integer", "probability": "number?", "reasons": ["ScoreReason"],
            "model_reasons": ["object"], "history": [{"at": "time", "cause": "text", "grade": "text?",
                "score": "number", "previous": "number?", "activity_id": "uuid?",
                "reasons": ["ScoreReason"]}]},
        "Chance": {"probability": "number?", "probability_stage": "number?",
            "probability_manual": "number?", "probability_model": "number?",
            "probability_version": "integer?", "model_reasons": ["object"]},
        "ScoreRules": {"version": "integer", "at?": "time", "member_id?": "uuid?", "cap": "number?",
            "cuts": {"fit": ["number"], "engagement": ["number"]},
            "thresholds": {"by": "text", "fit": ["number"], "engagement": ["number"]},
            "history_delta": "number", "groups": [{"id": "uuid", "name": "text", "kind": "text",
                "cap": "number?"}],
            "rules": [{"id": "uuid", "label": "text", "group": "text?", "points": "number",
                "predicate": "object", "per_event": "boolean", "max_n": "integer?",
                "window_hours": "number?", "half_life_hours": "number?", "active": "boolean"}]},
        "ScoreVersion": {"version": "integer", "at": "time", "member_id": "uuid?", "rules": "integer",
            "groups": "integer"},
        "ScorePreview": {"exact": "boolean", "leads": "integer", "examined": "integer",
            "cuts": {"fit": ["number"], "engagement": ["number"]}, "regraded": "integer",
            "rising": "integer", "falling": "integer",
            "moves": [{"from": "text?", "to": "text?", "leads": "integer"}],
            "grades": [{"grade": "text?", "now": "integer", "then": "integer"}],
            "examples": [{"id": "uuid", "grade": ["text?"], "score": ["number"]}]},
        "ModelCards": {"entity": "lead|deal", "state": "text", "champion": "object?",
            "challenger": "object?", "insufficient": "object?", "retired": ["object"]},
        "Training": {"id": "uuid", "entity": "lead|deal", "state": "text", "phase": "text?",
            "progress": "number?", "fault": "any", "cancel": "boolean", "created_at": "time",
            "created_by": "uuid?", "started_at": "time?", "finished_at": "time?"}
    }'::jsonb;
COMMENT ON FUNCTION saleshub.schemas_score() IS 'Shapes of scoring';

CREATE FUNCTION saleshub.schemas_search() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN '{
        "SearchPage": {"data": [{"type": "text", "id": "uuid", "title": "text?", "subtitle": "text?",
                "snippet": "text?", "score": "number",
                "reasons": [{"label": "text", "kind?": "text", "score": "number"}]}],
            "facets?": {"*": [{"value": "text?", "count": "integer", "label?": "text?"}]},
            "total": "integer", "took_ms": "number", "query_id?": "uuid", "corrected_query?": "text",
            "next_cursor": "text?"},
        "Suggestions": {"queries": [{"q": "text", "source": "text"}], "corrected": "boolean",
            "records": [{"type": "text", "id": "uuid", "title": "text?", "subtitle": "text?"}]}
    }'::jsonb;
COMMENT ON FUNCTION saleshub.schemas_search() IS 'Shapes of searches';
