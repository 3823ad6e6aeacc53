-- What was deleted together comes back together.
DO $$
DECLARE
    noun text;
BEGIN
    FOREACH noun IN ARRAY ARRAY['lead', 'contact', 'company', 'deal', 'activity', 'product']
    LOOP
        EXECUTE format('ALTER TABLE crm.%I ADD COLUMN IF NOT EXISTS deletion_id uuid', noun);
        EXECUTE format('COMMENT ON COLUMN crm.%I.deletion_id IS %L', noun,
                       'The deletion that put the row into the bin, shared by all it took along.');
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON crm.%I (org_id, deleted_at)'
                       ' WHERE deleted_at IS NOT NULL', noun || '_bin_idx', noun);
    END LOOP;
END;
$$;
CREATE INDEX IF NOT EXISTS activity_deletion_idx ON crm.activity (org_id, deletion_id)
    WHERE deletion_id IS NOT NULL;
