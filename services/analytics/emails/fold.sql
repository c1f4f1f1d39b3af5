-- Emails, their recipients, and how many emails have which status.
-- A row of email_states without created_at is an outcome that was read before its email: nobody sees it yet.
-- LATERAL with LIMIT or OFFSET 0 keeps the planner from joining a batch by reading a whole table.

-- name: create
CREATE TABLE emails ( -- as submitted; written once
    email_id     uuid PRIMARY KEY,
    created_at   timestamptz NOT NULL,
    from_address text NOT NULL,
    subject      text NOT NULL,
    submitted    json NOT NULL
);
CREATE INDEX emails_from ON emails (lower(from_address), created_at, email_id);
DO $$ -- pg_trgm is a trusted extension: whoever owns the database may create it. Without it `subject` is a slow filter.
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
    EXECUTE format(
        'CREATE INDEX emails_subject ON emails USING gin (subject %I.gin_trgm_ops)',
        (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm')
    );
EXCEPTION
    WHEN insufficient_privilege OR feature_not_supported OR undefined_file OR invalid_schema_name THEN
        RAISE WARNING 'no index for searching subjects: %', SQLERRM;
END
$$;

CREATE TABLE email_states ( -- what changes, and what lists are sorted and filtered by; narrow, because it is rewritten
    email_id            uuid PRIMARY KEY,
    created_at          timestamptz,
    domain_id           bigint,
    provider_id         bigint,
    provider_sequence   bigint NOT NULL,
    tags                text[],
    status              text,
    attempts            integer NOT NULL,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    provider_message_id text,
    message_sequence    bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX email_states_newest ON email_states (created_at, email_id);
CREATE INDEX email_states_status ON email_states (status, created_at, email_id);
CREATE INDEX email_states_domain ON email_states (domain_id, created_at, email_id);
CREATE INDEX email_states_provider ON email_states (provider_id, created_at, email_id);

CREATE TABLE email_tags (
    tag        text NOT NULL,
    created_at timestamptz NOT NULL,
    email_id   uuid NOT NULL,
    PRIMARY KEY (tag, created_at, email_id)
);

CREATE TABLE recipients (
    email_id        uuid NOT NULL,
    address         text NOT NULL,
    position        integer, -- NULL: nobody whom the email was for, as far as we know
    kind            text,
    name            text,
    status          text NOT NULL,
    rank            smallint NOT NULL,
    sequence        bigint NOT NULL,
    smtp_code       integer,
    enhanced_status text,
    detail          text,
    at              timestamptz NOT NULL,
    PRIMARY KEY (email_id, address)
) WITH (fillfactor = 80);
CREATE INDEX recipients_address ON recipients (lower(address), email_id);

CREATE TABLE email_counts ( -- tier 'all', 'day', 'hour' of created_at; 0 is no domain, no provider; tag '' is every email
    tier        text NOT NULL,
    start       timestamptz NOT NULL,
    domain_id   bigint NOT NULL,
    provider_id bigint NOT NULL,
    tag         text NOT NULL,
    queued      bigint NOT NULL,
    failed      bigint NOT NULL,
    bounced     bigint NOT NULL,
    sent        bigint NOT NULL,
    delivered   bigint NOT NULL,
    captured    bigint NOT NULL,
    PRIMARY KEY (tier, tag, start, domain_id, provider_id)
) WITH (fillfactor = 50);

-- name: stage
CREATE TEMP TABLE stage_emails (
    email_id            uuid,
    created_at          timestamptz,
    domain_id           bigint,
    provider_id         bigint,
    provider_sequence   bigint,
    from_address        text,
    subject             text,
    tags                text[],
    submitted           json,
    attempts            integer,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    provider_message_id text,
    message_sequence    bigint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_recipients (
    email_id        uuid,
    address         text,
    position        integer,
    kind            text,
    name            text,
    status          text,
    rank            smallint,
    sequence        bigint,
    smtp_code       integer,
    enhanced_status text,
    detail          text,
    at              timestamptz
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_email_changes ( -- filled by apply: each email of the batch, before and after
    email_id            uuid,
    created_at          timestamptz,
    domain_id           bigint,
    provider_id         bigint,
    provider_sequence   bigint,
    tags                text[],
    status              text,
    attempts            integer,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    provider_message_id text,
    message_sequence    bigint,
    old_created_at      timestamptz,
    old_provider_id     bigint,
    old_status          text
) ON COMMIT DELETE ROWS;

-- name: apply
INSERT INTO recipients AS r
    (email_id, address, position, kind, name, status, rank, sequence, smtp_code, enhanced_status, detail, at)
SELECT email_id, address, position, kind, name, status, rank, sequence, smtp_code, enhanced_status, detail, at
FROM stage_recipients
ON CONFLICT (email_id, address) DO UPDATE SET
    position = coalesce(r.position, excluded.position),
    kind = coalesce(r.kind, excluded.kind),
    name = CASE WHEN r.position IS NULL THEN excluded.name ELSE r.name END,
    status = CASE WHEN (excluded.rank, excluded.sequence) > (r.rank, r.sequence)
        THEN excluded.status ELSE r.status END,
    smtp_code = CASE WHEN (excluded.rank, excluded.sequence) > (r.rank, r.sequence)
        THEN excluded.smtp_code ELSE r.smtp_code END,
    enhanced_status = CASE WHEN (excluded.rank, excluded.sequence) > (r.rank, r.sequence)
        THEN excluded.enhanced_status ELSE r.enhanced_status END,
    detail = CASE WHEN (excluded.rank, excluded.sequence) > (r.rank, r.sequence)
        THEN excluded.detail ELSE r.detail END,
    at = CASE WHEN (excluded.rank, excluded.sequence) > (r.rank, r.sequence)
        THEN excluded.at ELSE r.at END,
    rank = greatest(excluded.rank, r.rank),
    sequence = CASE WHEN (excluded.rank, excluded.sequence) > (r.rank, r.sequence)
        THEN excluded.sequence ELSE r.sequence END;

INSERT INTO stage_email_changes
SELECT
    i.email_id,
    coalesce(s.created_at, i.created_at),
    CASE WHEN s.created_at IS NULL THEN i.domain_id ELSE s.domain_id END,
    CASE WHEN i.provider_sequence > coalesce(s.provider_sequence, -1) THEN i.provider_id ELSE s.provider_id END,
    greatest(i.provider_sequence, s.provider_sequence),
    CASE WHEN s.created_at IS NULL THEN i.tags ELSE s.tags END,
    r.status,
    greatest(i.attempts, s.attempts),
    least(i.sent_at, s.sent_at),
    least(i.delivered_at, s.delivered_at),
    CASE WHEN i.message_sequence > coalesce(s.message_sequence, -1)
        THEN i.provider_message_id ELSE s.provider_message_id END,
    greatest(i.message_sequence, s.message_sequence),
    s.created_at,
    s.provider_id,
    s.status
FROM stage_emails i
LEFT JOIN LATERAL (SELECT * FROM email_states WHERE email_id = i.email_id LIMIT 1) s ON true
LEFT JOIN LATERAL (
    SELECT CASE -- the first that any recipient has
        WHEN bool_or(p.status = 'queued') THEN 'queued'
        WHEN bool_or(p.status = 'failed') THEN 'failed'
        WHEN bool_or(p.status = 'bounced') THEN 'bounced'
        WHEN bool_or(p.status = 'sent') THEN 'sent'
        WHEN bool_or(p.status = 'delivered') THEN 'delivered'
        WHEN bool_or(p.status = 'captured') THEN 'captured'
    END AS status
    FROM recipients p
    WHERE p.email_id = i.email_id AND p.position IS NOT NULL
) r ON true;

INSERT INTO email_states
    (email_id, created_at, domain_id, provider_id, provider_sequence, tags, status, attempts, sent_at, delivered_at,
     provider_message_id, message_sequence)
SELECT email_id, created_at, domain_id, provider_id, provider_sequence, tags, status, attempts, sent_at, delivered_at,
    provider_message_id, message_sequence
FROM stage_email_changes
ON CONFLICT (email_id) DO UPDATE SET
    created_at = excluded.created_at,
    domain_id = excluded.domain_id,
    provider_id = excluded.provider_id,
    provider_sequence = excluded.provider_sequence,
    tags = excluded.tags,
    status = excluded.status,
    attempts = excluded.attempts,
    sent_at = excluded.sent_at,
    delivered_at = excluded.delivered_at,
    provider_message_id = excluded.provider_message_id,
    message_sequence = excluded.message_sequence;

INSERT INTO emails (email_id, created_at, from_address, subject, submitted)
SELECT email_id, created_at, from_address, subject, submitted FROM stage_emails WHERE created_at IS NOT NULL
ON CONFLICT (email_id) DO NOTHING;

INSERT INTO email_tags (tag, created_at, email_id)
SELECT t.tag, c.created_at, c.email_id
FROM stage_email_changes c CROSS JOIN LATERAL unnest(c.tags) AS t (tag)
WHERE c.old_created_at IS NULL AND c.created_at IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO email_counts AS c
    (tier, start, domain_id, provider_id, tag, queued, failed, bounced, sent, delivered, captured)
WITH moved AS (
    SELECT created_at, domain_id, provider_id, tags, status, 1 AS n
    FROM stage_email_changes
    WHERE created_at IS NOT NULL
        AND (old_created_at IS NULL OR (provider_id, status) IS DISTINCT FROM (old_provider_id, old_status))
    UNION ALL
    SELECT created_at, domain_id, old_provider_id, tags, old_status, -1
    FROM stage_email_changes
    WHERE old_created_at IS NOT NULL
        AND (provider_id, status) IS DISTINCT FROM (old_provider_id, old_status)
),
hours AS (
    SELECT
        date_trunc('hour', m.created_at, 'UTC') AS start,
        coalesce(m.domain_id, 0) AS domain_id,
        coalesce(m.provider_id, 0) AS provider_id,
        t.tag,
        coalesce(sum(m.n) FILTER (WHERE m.status = 'queued'), 0) AS queued,
        coalesce(sum(m.n) FILTER (WHERE m.status = 'failed'), 0) AS failed,
        coalesce(sum(m.n) FILTER (WHERE m.status = 'bounced'), 0) AS bounced,
        coalesce(sum(m.n) FILTER (WHERE m.status = 'sent'), 0) AS sent,
        coalesce(sum(m.n) FILTER (WHERE m.status = 'delivered'), 0) AS delivered,
        coalesce(sum(m.n) FILTER (WHERE m.status = 'captured'), 0) AS captured
    FROM moved m CROSS JOIN LATERAL unnest(array_append(m.tags, '')) AS t (tag)
    GROUP BY 1, 2, 3, 4
)
SELECT tier.name AS tier, tier.start, domain_id, provider_id, tag, sum(queued) AS queued, sum(failed) AS failed,
    sum(bounced) AS bounced, sum(sent) AS sent, sum(delivered) AS delivered, sum(captured) AS captured
FROM hours h
CROSS JOIN LATERAL (
    VALUES ('hour', h.start), ('day', date_trunc('day', h.start, 'UTC')), ('all', timestamptz '-infinity')
) AS tier (name, start)
GROUP BY tier.name, tier.start, domain_id, provider_id, tag
ON CONFLICT (tier, tag, start, domain_id, provider_id) DO UPDATE SET
    queued = c.queued + excluded.queued,
    failed = c.failed + excluded.failed,
    bounced = c.bounced + excluded.bounced,
    sent = c.sent + excluded.sent,
    delivered = c.delivered + excluded.delivered,
    captured = c.captured + excluded.captured;

-- Only an email that another provider took over leaves a count: one that is left with nothing goes.
DELETE FROM email_counts
WHERE ctid = ANY (ARRAY(
    SELECT k.ctid
    FROM stage_email_changes c
    CROSS JOIN LATERAL unnest(array_append(c.tags, '')) AS t (tag)
    CROSS JOIN LATERAL (
        VALUES ('hour', date_trunc('hour', c.created_at, 'UTC')), ('day', date_trunc('day', c.created_at, 'UTC')),
            ('all', timestamptz '-infinity')
    ) AS tier (name, start)
    CROSS JOIN LATERAL (
        SELECT ctid
        FROM email_counts
        WHERE email_counts.tier = tier.name AND tag = t.tag AND email_counts.start = tier.start
            AND domain_id = coalesce(c.domain_id, 0)
            AND provider_id = coalesce(c.old_provider_id, 0)
            AND queued + failed + bounced + sent + delivered + captured = 0
        OFFSET 0
    ) AS k
    WHERE c.old_created_at IS NOT NULL AND c.provider_id IS DISTINCT FROM c.old_provider_id
));
