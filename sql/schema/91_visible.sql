-- Who sees which records, for every statement of a member: beside the policies by organisation,
-- so that both must hold. saleshub.visible_* says what the organisation has settled.
SELECT saleshub.visible_on('crm.lead', 'lead');
SELECT saleshub.visible_on('crm.contact', 'contact');
SELECT saleshub.visible_on('crm.company', 'company');
SELECT saleshub.visible_on('crm.deal', 'deal');

-- What is read is said as conditions on tables, not as a function of the row: of one activity the
-- planner looks up the links, of many it reads all visible links once.
SELECT saleshub.visible_rows('crm.activity', ARRAY['SELECT'],
    '(SELECT saleshub.sees_everything())
     OR owner_id = ANY ((SELECT saleshub.visible_owners(''activity''))::uuid[])
     OR EXISTS (SELECT FROM crm.activity_link l
                WHERE l.org_id = activity.org_id AND l.activity_id = activity.activity_id)
     OR (SELECT saleshub.sees_all(''activity''))
        AND saleshub.activity_unlinked(org_id, activity_id)');
SELECT saleshub.visible_rows('crm.activity', ARRAY['UPDATE', 'DELETE'],
    '(SELECT saleshub.sees_everything())
     OR owner_id = ANY ((SELECT saleshub.visible_owners(''activity''))::uuid[])
     OR saleshub.activity_linked(org_id, activity_id)');

-- A link shows what it leads to. Who adds one must see the activity, too: else a link to a record
-- of one's own would open it.
SELECT saleshub.visible_rows('crm.activity_link', ARRAY['SELECT'],
    '(SELECT saleshub.sees_everything())
     OR entity = ''lead'' AND EXISTS (
         SELECT FROM crm.lead r
         WHERE r.org_id = activity_link.org_id AND r.lead_id = activity_link.entity_id)
     OR entity = ''contact'' AND EXISTS (
         SELECT FROM crm.contact r
         WHERE r.org_id = activity_link.org_id AND r.contact_id = activity_link.entity_id)
     OR entity = ''company'' AND EXISTS (
         SELECT FROM crm.company r
         WHERE r.org_id = activity_link.org_id AND r.company_id = activity_link.entity_id)
     OR entity = ''deal'' AND EXISTS (
         SELECT FROM crm.deal r
         WHERE r.org_id = activity_link.org_id AND r.deal_id = activity_link.entity_id)');
SELECT saleshub.visible_rows('crm.activity_link', ARRAY['UPDATE', 'DELETE'],
    '(SELECT saleshub.sees_everything()) OR saleshub.record_visible(entity, entity_id)');
SELECT saleshub.visible_rows('crm.activity_link', ARRAY['INSERT'],
    '(SELECT saleshub.sees_everything()) OR saleshub.record_visible(''activity'', activity_id)');

-- A file is seen by who sees a record that it is on, and before it is on one by who brought it; its
-- bytes with it.
SELECT saleshub.visible_rows('crm.attachment', ARRAY['SELECT', 'UPDATE'],
    '(SELECT saleshub.sees_everything()) OR saleshub.attachment_linked(org_id, attachment_id)
     OR created_by = (SELECT saleshub.member_id())
        AND saleshub.attachment_unlinked(org_id, attachment_id)');
SELECT saleshub.visible_rows('crm.attachment_link', ARRAY['SELECT', 'UPDATE', 'DELETE'],
    '(SELECT saleshub.sees_everything()) OR saleshub.record_visible(entity, entity_id)');
SELECT saleshub.visible_rows('crm.attachment_link', ARRAY['INSERT'],
    '(SELECT saleshub.sees_everything()) OR saleshub.record_visible(''attachment'', attachment_id)
        AND saleshub.record_visible(entity, entity_id)');
SELECT saleshub.restrict('saleshub.upload_part', 'attached', 'SELECT',
    'saleshub.upload_attached(org_id, upload_id)');
GRANT SELECT ON saleshub.upload_part TO saleshub_user;

-- What is derived from a record is seen by those who see the record.
SELECT saleshub.visible_rows('crm.stage_history', ARRAY['SELECT'],
    '(SELECT saleshub.sees_all(''deal'')) OR saleshub.record_visible(''deal'', deal_id)');
SELECT saleshub.visible_rows('crm.deal_line', ARRAY['SELECT', 'UPDATE', 'DELETE'],
    '(SELECT saleshub.sees_all(''deal'')) OR saleshub.record_visible(''deal'', deal_id)');
SELECT saleshub.visible_rows('crm.score_history', ARRAY['SELECT'],
    '(SELECT saleshub.sees_all(''lead'')) OR saleshub.record_visible(''lead'', lead_id)');
SELECT saleshub.visible_rows('crm.lead_engagement', ARRAY['SELECT'],
    '(SELECT saleshub.sees_all(''lead'')) OR saleshub.record_visible(''lead'', lead_id)');
SELECT saleshub.visible_rows('crm.assignment_log', ARRAY['SELECT'],
    '(SELECT saleshub.sees_all(''lead'')) OR saleshub.record_visible(''lead'', lead_id)');
SELECT saleshub.visible_rows('crm.conversion', ARRAY['SELECT', 'UPDATE'],
    '(SELECT saleshub.sees_all(''lead'')) OR saleshub.record_visible(''lead'', lead_id)');
-- An old id leads on, but not to what is out of sight.
SELECT saleshub.visible_rows('crm.redirect', ARRAY['SELECT'],
    '(SELECT saleshub.sees_everything()) OR saleshub.record_visible(entity, new_id)');
SELECT saleshub.visible_rows('crm.change_log', ARRAY['SELECT'],
    '(SELECT saleshub.sees_everything()) OR saleshub.record_visible(entity, entity_id)');
SELECT saleshub.visible_rows('saleshub.event_log', ARRAY['SELECT'],
    '(SELECT saleshub.sees_everything()) OR saleshub.record_visible(entity, entity_id)');

-- Figures count the records of visible owners only.
SELECT saleshub.visible_figures('saleshub.rollup');
SELECT saleshub.visible_figures('saleshub.rollup_level');
SELECT saleshub.visible_figures('saleshub.rollup_delta');

SELECT saleshub.visible_rows('saleshub.custom_value', ARRAY['SELECT'],
    '(SELECT saleshub.sees_everything())
     OR entity = ''lead'' AND (SELECT saleshub.sees_all(''lead''))
     OR entity = ''contact'' AND (SELECT saleshub.sees_all(''contact''))
     OR entity = ''company'' AND (SELECT saleshub.sees_all(''company''))
     OR entity = ''deal'' AND (SELECT saleshub.sees_all(''deal''))
     OR saleshub.record_visible(entity, entity_id)');
