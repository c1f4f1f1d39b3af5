-- Who changed what. A row per email: two indexes and not one more, each beginning with all that a filter fixes.
-- The primary key also keeps out a fact that was published twice: it has the same id, time and operation again.

-- name: create
CREATE TABLE audit_entries (
    id         uuid NOT NULL, -- the fact's
    created_at timestamptz NOT NULL,
    operation  text COLLATE "C" NOT NULL,
    actor      text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    PRIMARY KEY (operation, created_at, id)
);
-- NULLS FIRST, although there are none: so only this index gives the order in which an actor's entries are asked for.
-- The planner would else walk the primary key for a rare actor, believing that actors are spread evenly.
CREATE INDEX audit_entries_actor ON audit_entries (actor, operation, created_at NULLS FIRST, id);

CREATE TABLE audit_counts ( -- tier 'all', 'day', 'hour' of created_at
    tier      text COLLATE "C" NOT NULL,
    start     timestamptz NOT NULL,
    operation text COLLATE "C" NOT NULL,
    actor     text COLLATE "C" NOT NULL,
    n         bigint NOT NULL,
    PRIMARY KEY (tier, start, operation, actor)
) WITH (fillfactor = 50);

CREATE TABLE actor_names ( -- the name that somebody has from that time on
    actor    text COLLATE "C" NOT NULL,
    since    timestamptz NOT NULL,
    sequence bigint NOT NULL,
    name     text NOT NULL,
    PRIMARY KEY (actor, since)
);
CREATE INDEX actor_names_name ON actor_names (lower(name));

-- name: stage
CREATE TEMP TABLE stage_audit (
    id         uuid,
    created_at timestamptz,
    operation  text,
    actor      text,
    kind       text
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_actor_names (
    actor    text,
    since    timestamptz,
    sequence bigint,
    name     text
) ON COMMIT DELETE ROWS;

-- name: apply
INSERT INTO actor_names AS n (actor, since, sequence, name)
SELECT actor, since, sequence, name FROM stage_actor_names
ON CONFLICT (actor, since) DO UPDATE SET sequence = excluded.sequence, name = excluded.name
WHERE excluded.sequence > n.sequence;

WITH added AS (
    INSERT INTO audit_entries (id, created_at, operation, actor, kind)
    SELECT id, created_at, operation, actor, kind FROM stage_audit
    ON CONFLICT (operation, created_at, id) DO NOTHING
    RETURNING created_at, operation, actor
),
hours AS (
    SELECT date_trunc('hour', created_at, 'UTC') AS start, operation, actor, count(*) AS n
    FROM added
    GROUP BY 1, 2, 3
)
INSERT INTO audit_counts AS c (tier, start, operation, actor, n)
SELECT tier.name AS tier, tier.start, operation, actor, sum(n) AS n
FROM hours h
CROSS JOIN LATERAL (
    VALUES ('hour', h.start), ('day', date_trunc('day', h.start, 'UTC')), ('all', timestamptz '-infinity')
) AS tier (name, start)
GROUP BY tier.name, tier.start, operation, actor
ON CONFLICT (tier, start, operation, actor) DO UPDATE SET n = c.n + excluded.n;
