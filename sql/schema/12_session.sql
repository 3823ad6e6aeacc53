-- Sign-in: who may, with what password, and the sessions that are open.

CREATE TABLE IF NOT EXISTS saleshub.login (
    org_id      uuid NOT NULL,
    member_id   uuid NOT NULL,
    email       text NOT NULL,
    PRIMARY KEY (org_id, member_id),
    CONSTRAINT login_member_fk FOREIGN KEY (org_id, member_id)
        REFERENCES crm.member (org_id, member_id) ON DELETE CASCADE
);
COMMENT ON TABLE saleshub.login IS 'Members by e-mail address over all organisations: the way from a sign-in to its member.';
-- Before the sign-in there is no organisation to start the key with.
CREATE INDEX IF NOT EXISTS login_email_idx ON saleshub.login (email);
SELECT saleshub.protect('saleshub.login', '');
CREATE OR REPLACE TRIGGER member_login AFTER INSERT OR UPDATE OF email, role, active, deleted_at
    ON crm.member FOR EACH ROW EXECUTE FUNCTION saleshub.member_login();
INSERT INTO saleshub.login (org_id, member_id, email)
SELECT m.org_id, m.member_id, m.email FROM crm.member m
ON CONFLICT (org_id, member_id) DO NOTHING;

CREATE TABLE IF NOT EXISTS saleshub.login_failure (
    email_hash   bytea NOT NULL,
    failures     integer NOT NULL,
    failed_at    timestamptz NOT NULL,
    locked_until timestamptz,
    PRIMARY KEY (email_hash)
);
COMMENT ON TABLE saleshub.login_failure IS 'Failed sign-ins in a row per e-mail address, known or not; kept for a day.';
CREATE INDEX IF NOT EXISTS login_failure_failed_at_idx ON saleshub.login_failure (failed_at);
ALTER TABLE saleshub.login_failure OWNER TO saleshub_owner;
REVOKE ALL ON saleshub.login_failure FROM PUBLIC;

CREATE TABLE IF NOT EXISTS saleshub.credential (
    org_id      uuid NOT NULL,
    member_id   uuid NOT NULL,
    hash        text NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, member_id),
    CONSTRAINT credential_member_fk FOREIGN KEY (org_id, member_id)
        REFERENCES crm.member (org_id, member_id) ON DELETE CASCADE,
    CONSTRAINT credential_hash_check CHECK (hash LIKE '$argon2id$%')
);
COMMENT ON TABLE saleshub.credential IS 'Password hashes of members, argon2id in PHC form; made in the gateway only.';
SELECT saleshub.protect('saleshub.credential', '');

CREATE TABLE IF NOT EXISTS saleshub.session (
    org_id        uuid NOT NULL,
    session_id    uuid NOT NULL DEFAULT crm.uuid_v7(),
    member_id     uuid NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    refreshed_at  timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    reason        text,
    family_hash   bytea NOT NULL,
    refresh_hash  bytea NOT NULL,
    previous_hash bytea,
    salt          bytea,
    ip            text,
    user_agent    text,
    device        text,
    PRIMARY KEY (org_id, session_id),
    CONSTRAINT session_member_fk FOREIGN KEY (org_id, member_id)
        REFERENCES crm.member (org_id, member_id) ON DELETE CASCADE,
    CONSTRAINT session_reason_check
        CHECK (reason IN ('sign_out', 'revoked', 'refresh_reused', 'member', 'password'))
);
COMMENT ON TABLE saleshub.session IS 'Signed-in devices. The truth about who is signed in; tokens only point here.';
COMMENT ON COLUMN saleshub.session.expires_at IS 'End of the session unless it is refreshed before.';
COMMENT ON COLUMN saleshub.session.reason IS 'Why it was revoked.';
COMMENT ON COLUMN saleshub.session.family_hash IS 'SHA-256 of the part that all refresh tokens of the session share: only a token that was ours can look like a reused one.';
COMMENT ON COLUMN saleshub.session.refresh_hash IS 'SHA-256 of the secret of the current refresh token.';
COMMENT ON COLUMN saleshub.session.previous_hash IS 'SHA-256 of the secret before the last rotation.';
COMMENT ON COLUMN saleshub.session.salt IS 'What the last rotation mixed into the previous secret to get the current one.';
CREATE INDEX IF NOT EXISTS session_member_idx ON saleshub.session (org_id, member_id);
SELECT saleshub.protect('saleshub.session', '');
CREATE OR REPLACE TRIGGER session_ended AFTER UPDATE OF revoked_at, expires_at OR DELETE
    ON saleshub.session FOR EACH ROW EXECUTE FUNCTION saleshub.session_ended();
