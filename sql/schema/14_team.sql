-- The tree of teams as a closure table: every team with all teams above it.

CREATE TABLE IF NOT EXISTS crm.team_closure (
    org_id        uuid NOT NULL DEFAULT saleshub.org_id(),
    ancestor_id   uuid NOT NULL,
    descendant_id uuid NOT NULL,
    depth         integer NOT NULL,
    PRIMARY KEY (org_id, ancestor_id, descendant_id),
    CONSTRAINT team_closure_ancestor_fk FOREIGN KEY (org_id, ancestor_id)
        REFERENCES crm.team (org_id, team_id) ON DELETE CASCADE,
    CONSTRAINT team_closure_descendant_fk FOREIGN KEY (org_id, descendant_id)
        REFERENCES crm.team (org_id, team_id) ON DELETE CASCADE,
    CONSTRAINT team_closure_depth_check CHECK ((depth = 0) = (ancestor_id = descendant_id))
);
COMMENT ON TABLE crm.team_closure IS
    'Which teams lie below which: a row for every team and each team above it, itself at depth 0; kept by a trigger.';
CREATE INDEX IF NOT EXISTS team_closure_descendant_idx
    ON crm.team_closure (org_id, descendant_id, ancestor_id);
SELECT saleshub.protect('crm.team_closure', 'SELECT');

CREATE INDEX IF NOT EXISTS team_parent_idx ON crm.team (org_id, parent_id);
CREATE INDEX IF NOT EXISTS team_manager_idx ON crm.team (org_id, manager_id);

CREATE OR REPLACE TRIGGER team_10_check BEFORE INSERT OR UPDATE ON crm.team
    FOR EACH ROW EXECUTE FUNCTION saleshub.team_check();
CREATE OR REPLACE TRIGGER team_50_closure_insert AFTER INSERT ON crm.team
    FOR EACH ROW EXECUTE FUNCTION saleshub.team_closure_keep();
CREATE OR REPLACE TRIGGER team_50_closure_update AFTER UPDATE OF parent_id ON crm.team
    FOR EACH ROW WHEN (OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION saleshub.team_closure_keep();

-- Teams that are older than this table.
WITH RECURSIVE above (org_id, ancestor_id, descendant_id, depth) AS (
    SELECT t.org_id, t.team_id, t.team_id, 0 FROM crm.team t
    UNION ALL
    SELECT a.org_id, t.parent_id, a.descendant_id, a.depth + 1
    FROM above a
    JOIN crm.team t ON t.org_id = a.org_id AND t.team_id = a.ancestor_id
    WHERE t.parent_id IS NOT NULL AND a.depth < 100
)
INSERT INTO crm.team_closure (org_id, ancestor_id, descendant_id, depth)
SELECT a.org_id, a.ancestor_id, a.descendant_id, min(a.depth)
FROM above a
WHERE NOT EXISTS (SELECT FROM crm.team_closure c
                  WHERE c.org_id = a.org_id AND c.descendant_id = a.descendant_id)
    AND (a.depth = 0 OR a.ancestor_id <> a.descendant_id)
GROUP BY a.org_id, a.ancestor_id, a.descendant_id;

CREATE OR REPLACE TRIGGER team_member_50_insert
    AFTER INSERT ON crm.team_member REFERENCING NEW TABLE AS memberrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.team_member_changed();
CREATE OR REPLACE TRIGGER team_member_50_delete
    AFTER DELETE ON crm.team_member REFERENCING OLD TABLE AS memberrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.team_member_changed();

-- Teams say who sees what, so that only admins set them up.
SELECT saleshub.restrict('crm.team', 'admin_insert', 'INSERT', '(SELECT saleshub.may_administer())');
SELECT saleshub.restrict('crm.team', 'admin_update', 'UPDATE', '(SELECT saleshub.may_administer())');
SELECT saleshub.restrict('crm.team_member', 'admin_insert', 'INSERT', '(SELECT saleshub.may_administer())');
SELECT saleshub.restrict('crm.team_member', 'admin_delete', 'DELETE', '(SELECT saleshub.may_administer())');
