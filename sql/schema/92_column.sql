-- Hidden fields for members who log in to the database: see saleshub.columns_open.
SELECT saleshub.columns_on('crm.lead', 'lead');
SELECT saleshub.columns_on('crm.contact', 'contact');
SELECT saleshub.columns_on('crm.company', 'company');
SELECT saleshub.columns_on('crm.deal', 'deal');
SELECT saleshub.columns_on('crm.activity', 'activity');
SELECT saleshub.columns_on('crm.product', 'product');

-- What tells of the fields of others: lines and stages of deals, scores, histories, notes of what was done.
SELECT saleshub.columns_on('crm.deal_line', 'deal');
SELECT saleshub.restrict('crm.stage_history', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open(''deal'', false))');
SELECT saleshub.restrict('crm.score_history', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open(''lead'', false))');
SELECT saleshub.restrict('crm.lead_engagement', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open(''lead'', false))');
SELECT saleshub.restrict('crm.assignment_log', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open(''lead'', false))');
SELECT saleshub.restrict('crm.routing_queue', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open(''lead'', false))');
SELECT saleshub.restrict('crm.conversion', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');
SELECT saleshub.restrict('crm.batch', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');
SELECT saleshub.restrict('crm.duplicate_pair', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');
SELECT saleshub.restrict('crm.duplicate_decision', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');
SELECT saleshub.restrict('crm.change_log', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');
SELECT saleshub.restrict('saleshub.event_log', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');
SELECT saleshub.restrict('saleshub.rollup', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');
SELECT saleshub.restrict('saleshub.rollup_level', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');
SELECT saleshub.restrict('saleshub.rollup_delta', 'columns_select', 'SELECT', '(SELECT saleshub.columns_open_all())');

SELECT saleshub.sales_on();
