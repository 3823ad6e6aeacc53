-- HTTP routes: which function answers which method and path. Rows come from the functions
-- saleshub.routes_<noun>(), which install() calls.
CREATE TABLE IF NOT EXISTS saleshub.route (
    route_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    method text NOT NULL
        CONSTRAINT route_method CHECK (method IN ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
    path text NOT NULL CONSTRAINT route_path_form CHECK (path ~ '^(/[^/]+)+$'),
    func text NOT NULL,
    summary text NOT NULL,
    tag text NOT NULL,
    auth text NOT NULL CONSTRAINT route_auth CHECK (auth IN ('none', 'optional', 'session')),
    cache text NOT NULL CONSTRAINT route_cache CHECK (cache IN ('none', 'strict')),
    success integer NOT NULL CONSTRAINT route_success CHECK (success BETWEEN 200 AND 299),
    idempotent boolean NOT NULL,
    max_body integer NOT NULL CONSTRAINT route_max_body CHECK (max_body > 0),
    timeout_ms integer NOT NULL CONSTRAINT route_timeout CHECK (timeout_ms BETWEEN 1 AND 600000),
    args jsonb,
    role text
        CONSTRAINT route_role CHECK (role IN ('admin', 'manager', 'rep', 'readonly')),
    answer jsonb,
    accepted boolean NOT NULL DEFAULT false,
    CONSTRAINT route_path UNIQUE (method, path)
);
COMMENT ON TABLE saleshub.route IS 'HTTP routes: method and path, and the function that answers';
COMMENT ON COLUMN saleshub.route.path IS
    'Path with {argument} in place of a segment; a segment may end in :verb';
COMMENT ON COLUMN saleshub.route.func IS
    'Signature of the function, kept as text so that pg_upgrade can move the table';
COMMENT ON COLUMN saleshub.route.cache IS
    'strict: answers may be kept and are checked against later commits on every use';
COMMENT ON COLUMN saleshub.route.args IS
    'Per argument: JSON Schema added to what the argument''s type says; filters: the fields';
COMMENT ON COLUMN saleshub.route.auth IS
    'session: signed-in members only; optional: who sends a token is checked; none';
COMMENT ON COLUMN saleshub.route.answer IS 'JSON Schema of what it answers when it succeeds';
COMMENT ON COLUMN saleshub.route.accepted IS 'May also answer 202: the work goes on';
COMMENT ON COLUMN saleshub.route.role IS 'The lowest role that may call; NULL: every member';
ALTER TABLE saleshub.route OWNER TO saleshub_owner;
REVOKE ALL ON saleshub.route FROM PUBLIC;
GRANT SELECT ON saleshub.route TO saleshub_gateway, saleshub_user;
CREATE OR REPLACE TRIGGER route_changed AFTER INSERT OR UPDATE OR DELETE ON saleshub.route
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.route_changed();
