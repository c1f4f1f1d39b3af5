The second copy of the log. `create` only ever adds: this table is not rebuilt, so it must not be dropped.

-- name: create
CREATE TABLE IF NOT EXISTS facts (
    id             text COLLATE "C" PRIMARY KEY,
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    log_subject    text NOT NULL,
    type           text NOT NULL,
    source         text NOT NULL,
    subject        text NOT NULL,
    time           timestamptz NOT NULL,
    email_id       uuid,
    correlation_id text,
    causation_id   text,
    actor          json,
    data           json NOT NULL
);
-- Two facts at one place of the log would mean that the log has diverged.
CREATE UNIQUE INDEX IF NOT EXISTS facts_place ON facts (stream, sequence);
CREATE INDEX IF NOT EXISTS facts_of_email ON facts (email_id, time) WHERE email_id IS NOT NULL;

-- name: stage
CREATE TEMP TABLE stage_facts (
    id             text COLLATE "C",
    stream         text,
    sequence       bigint,
    log_subject    text,
    type           text,
    source         text,
    subject        text,
    time           timestamptz,
    email_id       uuid,
    correlation_id text,
    causation_id   text,
    actor          json,
    data           json
) ON COMMIT DELETE ROWS;

-- name: apply
-- A fact published twice, further apart than JetStream's window for duplicates, keeps its first place.
INSERT INTO facts SELECT * FROM stage_facts ORDER BY stream, sequence ON CONFLICT (id) DO NOTHING;

-- name: copied
-- The copy of one stream in its order, each column as the fold gave it.
SELECT id, stream, sequence, log_subject, type, source, subject,
       to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), email_id::text, correlation_id, causation_id,
       actor::text, data::text
FROM log.facts WHERE stream = %(stream)s ORDER BY sequence

-- name: places
-- Where the copy has facts with these ids: a fact published twice is copied at its first place.
SELECT id, sequence FROM log.facts WHERE stream = %(stream)s AND id = ANY (%(ids)s)
