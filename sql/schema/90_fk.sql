-- Both sides carry the organisation, so that no reference can cross it.
SELECT saleshub.add_fk('company_parent_fk', 'crm.company', 'org_id, parent_id',
                       'crm.company', 'org_id, company_id');
SELECT saleshub.add_fk('company_owner_fk', 'crm.company', 'org_id, owner_id',
                       'crm.member', 'org_id, member_id');

SELECT saleshub.add_fk('contact_company_fk', 'crm.contact', 'org_id, company_id',
                       'crm.company', 'org_id, company_id');
SELECT saleshub.add_fk('contact_owner_fk', 'crm.contact', 'org_id, owner_id',
                       'crm.member', 'org_id, member_id');

SELECT saleshub.add_fk('lead_owner_fk', 'crm.lead', 'org_id, owner_id',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('lead_converted_company_fk', 'crm.lead', 'org_id, converted_company_id',
                       'crm.company', 'org_id, company_id');
SELECT saleshub.add_fk('lead_converted_contact_fk', 'crm.lead', 'org_id, converted_contact_id',
                       'crm.contact', 'org_id, contact_id');
SELECT saleshub.add_fk('lead_converted_deal_fk', 'crm.lead', 'org_id, converted_deal_id',
                       'crm.deal', 'org_id, deal_id');

SELECT saleshub.add_fk('stage_pipeline_fk', 'crm.stage', 'org_id, pipeline_id',
                       'crm.pipeline', 'org_id, pipeline_id');

SELECT saleshub.add_fk('deal_company_fk', 'crm.deal', 'org_id, company_id',
                       'crm.company', 'org_id, company_id');
SELECT saleshub.add_fk('deal_contact_fk', 'crm.deal', 'org_id, contact_id',
                       'crm.contact', 'org_id, contact_id');
SELECT saleshub.add_fk('deal_stage_fk', 'crm.deal', 'org_id, pipeline_id, stage_id',
                       'crm.stage', 'org_id, pipeline_id, stage_id');
SELECT saleshub.add_fk('deal_owner_fk', 'crm.deal', 'org_id, owner_id',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('deal_lead_fk', 'crm.deal', 'org_id, lead_id',
                       'crm.lead', 'org_id, lead_id');

SELECT saleshub.add_fk('deal_line_deal_fk', 'crm.deal_line', 'org_id, deal_id',
                       'crm.deal', 'org_id, deal_id', 'CASCADE');
SELECT saleshub.add_fk('deal_line_product_fk', 'crm.deal_line', 'org_id, product_id',
                       'crm.product', 'org_id, product_id');

SELECT saleshub.add_fk('stage_history_deal_fk', 'crm.stage_history', 'org_id, deal_id',
                       'crm.deal', 'org_id, deal_id', 'CASCADE');
SELECT saleshub.add_fk('stage_history_stage_fk', 'crm.stage_history',
                       'org_id, pipeline_id, stage_id',
                       'crm.stage', 'org_id, pipeline_id, stage_id');

SELECT saleshub.add_fk('activity_owner_fk', 'crm.activity', 'org_id, owner_id',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('activity_link_activity_fk', 'crm.activity_link', 'org_id, activity_id',
                       'crm.activity', 'org_id, activity_id', 'CASCADE');
SELECT saleshub.add_fk('attachment_upload_fk', 'crm.attachment', 'org_id, upload_id',
                       'saleshub.upload', 'org_id, upload_id');
SELECT saleshub.add_fk('attachment_link_attachment_fk', 'crm.attachment_link',
                       'org_id, attachment_id', 'crm.attachment', 'org_id, attachment_id',
                       'CASCADE');
SELECT saleshub.add_fk('reminder_activity_fk', 'crm.reminder', 'org_id, activity_id',
                       'crm.activity', 'org_id, activity_id', 'CASCADE');
SELECT saleshub.add_fk('reminder_member_fk', 'crm.reminder', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');

SELECT saleshub.add_fk('routing_pool_member_pool_fk', 'crm.routing_pool_member',
                       'org_id, routing_pool_id', 'crm.routing_pool', 'org_id, routing_pool_id',
                       'CASCADE');
SELECT saleshub.add_fk('routing_pool_member_member_fk', 'crm.routing_pool_member',
                       'org_id, member_id', 'crm.member', 'org_id, member_id');

SELECT saleshub.add_fk('routing_pool_calendar_fk', 'crm.routing_pool',
                       'org_id, routing_calendar_id',
                       'crm.routing_calendar', 'org_id, routing_calendar_id');
SELECT saleshub.add_fk('routing_rule_pool_fk', 'crm.routing_rule', 'org_id, routing_pool_id',
                       'crm.routing_pool', 'org_id, routing_pool_id');
SELECT saleshub.add_fk('routing_member_member_fk', 'crm.routing_member', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('routing_member_calendar_fk', 'crm.routing_member',
                       'org_id, routing_calendar_id',
                       'crm.routing_calendar', 'org_id, routing_calendar_id');
SELECT saleshub.add_fk('routing_territory_member_fk', 'crm.routing_territory', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('sla_policy_pool_fk', 'crm.sla_policy', 'org_id, routing_pool_id',
                       'crm.routing_pool', 'org_id, routing_pool_id');
SELECT saleshub.add_fk('sla_policy_rule_fk', 'crm.sla_policy', 'org_id, routing_rule_id',
                       'crm.routing_rule', 'org_id, routing_rule_id');
SELECT saleshub.add_fk('absence_member_fk', 'crm.absence', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');

SELECT saleshub.add_fk('conversion_lead_fk', 'crm.conversion', 'org_id, lead_id',
                       'crm.lead', 'org_id, lead_id');
SELECT saleshub.add_fk('conversion_company_fk', 'crm.conversion', 'org_id, company_id',
                       'crm.company', 'org_id, company_id');
SELECT saleshub.add_fk('conversion_contact_fk', 'crm.conversion', 'org_id, contact_id',
                       'crm.contact', 'org_id, contact_id');
SELECT saleshub.add_fk('conversion_deal_fk', 'crm.conversion', 'org_id, deal_id',
                       'crm.deal', 'org_id, deal_id');

SELECT saleshub.add_fk('saved_filter_owner_fk', 'crm.saved_filter', 'org_id, owner_id',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('saved_filter_use_filter_fk', 'crm.saved_filter_use',
                       'org_id, saved_filter_id', 'crm.saved_filter', 'org_id, saved_filter_id');
SELECT saleshub.add_fk('saved_filter_use_day_filter_fk', 'crm.saved_filter_use_day',
                       'org_id, saved_filter_id', 'crm.saved_filter', 'org_id, saved_filter_id');

SELECT saleshub.add_fk('upload_member_fk', 'saleshub.upload', 'org_id, created_by',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('upload_part_upload_fk', 'saleshub.upload_part', 'org_id, upload_id',
                       'saleshub.upload', 'org_id, upload_id', 'CASCADE');

SELECT saleshub.add_fk('export_log_member_fk', 'crm.export_log', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');

SELECT saleshub.add_fk('import_upload_fk', 'crm.import', 'org_id, upload_id',
                       'saleshub.upload', 'org_id, upload_id');
SELECT saleshub.add_fk('import_member_fk', 'crm.import', 'org_id, created_by',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.add_fk('import_part_import_fk', 'saleshub.import_part', 'org_id, import_id',
                       'crm.import', 'org_id, import_id', 'CASCADE');
SELECT saleshub.add_fk('import_turn_import_fk', 'saleshub.import_turn', 'org_id, import_id',
                       'crm.import', 'org_id, import_id', 'CASCADE');
SELECT saleshub.add_fk('import_turn_pool_fk', 'saleshub.import_turn', 'org_id, routing_pool_id',
                       'crm.routing_pool', 'org_id, routing_pool_id', 'CASCADE');
SELECT saleshub.add_fk('import_batch_import_fk', 'saleshub.import_batch', 'org_id, import_id',
                       'crm.import', 'org_id, import_id', 'CASCADE');
SELECT saleshub.add_fk('import_issue_import_fk', 'crm.import_issue', 'org_id, import_id',
                       'crm.import', 'org_id, import_id', 'CASCADE');

SELECT saleshub.add_fk('custom_build_field_fk', 'saleshub.custom_build',
                       'org_id, custom_field_id', 'crm.custom_field', 'org_id, custom_field_id',
                       'CASCADE');
SELECT saleshub.add_fk('score_rule_group_fk', 'crm.score_rule', 'org_id, score_group_id',
    'crm.score_group', 'org_id, score_group_id');
