-- Who may call what. Everything is closed first; the lists below are the only openings.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA crm, saleshub FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA crm, saleshub TO saleshub_user, saleshub_owner;

-- Row-security policies and defaults call these as whoever asks.
GRANT EXECUTE ON FUNCTION
    crm.uuid_v7(), saleshub.org_id(), saleshub.member_id(), saleshub.member_role(),
    saleshub.request_id(), saleshub.may_write(), saleshub.session_id()
TO PUBLIC;

-- The machinery is closed to members: by name, so that all signatures are meant.
DO $$
DECLARE
    f regprocedure;
    gateway text[] := ARRAY[
        'ctx', 'cache_check', 'route_epoch', 'route_catalog', 'events',
        'sign_in_lookup', 'sign_in_failed', 'session_open', 'session_refresh',
        'sign_up', 'password_lookup', 'password_change'];
    -- for superusers, the worker and schema steps
    closed text[] := ARRAY[
        'publish', 'outbox_move', 'fold', 'rollup_alone', 'rollup_relevel', 'rollup_follow', 'rollup_rebuild', 'rollup_renew', 'rollup_begin',
        'keep_house', 'filter_uses_fold', 'run_maintenance', 'remind', 'wake_at', 'series_next', 'event_start', 'install', 'protect',
        'stage_moved',
        'add_fk', 'capture_on', 'rollup_on', 'route', 'grant_login', 'set_password', 'check',
        'schema_steps', 'sign_in_locked', 'check_locked', 'credential_set', 'session_member',
        'random_256', 'refresh_token', 'member_password', 'score_is_current', 'score_lock_rules', 'score_rescore', 'match_lock_rules',
        'score_changed', 'score_cuts', 'score_linked', 'score_lock_leads', 'score_leads_of', 'score_store', 'score_rebase', 'score_faults',
        'score_events', 'score_events_at', 'score_moved', 'score_change_begin',
        'match_on', 'match_rebuild', 'match_complete', 'restrict',
        'visible_rows', 'visible_on', 'visible_figures', 'columns_on', 'sales_on', 'sales_view', 'sales_policies',
        'sales_functions', 'event_tokens',
        'merge_apply', 'merge_carry', 'merge_docs',
        'merge_move', 'merge_relink', 'merge_take_back', 'merge_unbin', 'merge_unlink',
        'merge_unmove', 'merge_unset', 'merge_winner', 'merge_write', 'redirect_end',
        'rows_remove', 'bin_empty', 'history_drop', 'retain', 'converted_unlock',
        'routing_members', 'routing_territories', 'routing_sticky', 'routing_points', 'routing_load',
        'routing_last', 'routing_pool_outlook', 'routing_state_see', 'routing_woken', 'routing_try',
        'routing_queue_run', 'routing_orgs', 'routing_lock', 'routing_run', 'lead_route_again',
        'route_part', 'route_part_leave', 'route_settle', 'import_hold', 'assigned_by_hand',
        'sla_start', 'sla_stop', 'sla_count_on', 'sla_used', 'sla_follow', 'sla_respond', 'sla_tell', 'sla_owners',
        'sla_to_managers', 'sla_breach', 'sla_org_run', 'sla_run',
        'subject_find', 'erase_names', 'erase_rows', 'erase_traces', 'erase_subject', 'erasure_replay',
        'import_waiting_parts', 'import_waiting', 'import_take', 'import_become', 'import_failed',
        'import_erase', 'forecast_run', 'forecast_take', 'touches_let_go',
        'attachment_faults', 'attachment_bytes', 'attachments_let_go', 'erase_attachments',
        'attachment_room', 'attachment_limits',
        'duplicate_scan_ids', 'duplicate_scan_step', 'decision_merged', 'match_sample', 'match_random', 'match_learn',
        'upload_sha256', 'upload_open', 'upload_used', 'upload_sweep',
        'custom_on', 'custom_fill', 'custom_rebuild', 'custom_records', 'custom_empty_step', 'custom_fill_step',
        'custom_purge_step', 'custom_build', 'custom_release', 'custom_claim',
        'search_notes', 'search_log_keep', 'search_log_trim', 'search_log_erase', 'search_log_export', 'search_popular_renew',
        'search_flush', 'search_merge', 'search_on', 'search_rebuild', 'search_org_maintain', 'search_due', 'search_ripe', 'search_waiting', 'search_step', 'search_erase',
        'probability_touch', 'score_waiting', 'score_training_turn', 'score_rescore_turn', 'score_age', 'score_is_due',
        'score_look_turn', 'score_turn'];
BEGIN
    FOR f IN SELECT p.oid FROM pg_proc p
              WHERE p.pronamespace = 'saleshub'::regnamespace
                AND (p.proname = ANY (closed || gateway) OR p.proname LIKE 'routes\_%'
                     OR p.proname LIKE 'defaults\_%' OR p.proname LIKE 'sample\_%')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM saleshub_user', f);
    END LOOP;
    FOR f IN SELECT p.oid FROM pg_proc p
              WHERE p.pronamespace = 'saleshub'::regnamespace AND p.proname = ANY (gateway)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO saleshub_gateway', f);
    END LOOP;
    FOR f IN SELECT p.oid FROM pg_proc p
              WHERE p.pronamespace = 'crm'::regnamespace
                AND p.proname IN ('org_create', 'sample_data')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM saleshub_user', f);
    END LOOP;
END
$$;

-- Gateways ask for themselves and, within a member's request, as the member.
GRANT EXECUTE ON FUNCTION saleshub.event_position() TO saleshub_gateway;
