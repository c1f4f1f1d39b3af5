How far each read model is. Schema `projection` belongs to the owner; the analytics role may change its rows.

-- name: create
CREATE SCHEMA IF NOT EXISTS projection;
-- One row for each read model, and one `<name>/next` while a rebuild runs.
CREATE TABLE IF NOT EXISTS projection.model (
    name       text PRIMARY KEY,
    definition text NOT NULL,
    generation bigint NOT NULL DEFAULT 0,  -- raised by operators (rebuild, resume): the running projector reads anew
    stopped    boolean NOT NULL DEFAULT false,
    stream     text,                       -- where it stopped, why, since when, how often it was tried there
    sequence   bigint,
    error      text,
    since      timestamptz,
    tries      integer NOT NULL DEFAULT 0
);
-- `position` is the last sequence whose effect is in the tables, `fact_id` the fact that stood there, `created` the
-- stream's time of birth: all three must still hold, or the log is another one.
CREATE TABLE IF NOT EXISTS projection.checkpoint (
    model    text NOT NULL REFERENCES projection.model (name) ON DELETE CASCADE,
    stream   text NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    fact_id  text NOT NULL DEFAULT '',
    created  text NOT NULL DEFAULT '',
    PRIMARY KEY (model, stream)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS projection.log_state (
    stream   text PRIMARY KEY,
    diverged text NOT NULL,
    since    timestamptz NOT NULL DEFAULT now()
);

-- name: add_model
INSERT INTO projection.model (name, definition) VALUES (%(key)s, %(definition)s)
ON CONFLICT (name) DO UPDATE
SET definition = excluded.definition, generation = projection.model.generation + 1, stopped = false,
    stream = NULL, sequence = NULL, error = NULL, since = NULL, tries = 0

-- name: add_checkpoint
INSERT INTO projection.checkpoint (model, stream) VALUES (%(key)s, %(stream)s)
ON CONFLICT (model, stream) DO UPDATE SET position = 0, fact_id = '', created = ''

-- name: ensure_checkpoint
INSERT INTO projection.checkpoint (model, stream) VALUES (%(key)s, %(stream)s) ON CONFLICT DO NOTHING

-- name: models
SELECT name, definition, stopped, stream, sequence, error FROM projection.model ORDER BY name

-- name: checkpoints
SELECT model, stream, position, fact_id, created FROM projection.checkpoint

-- name: lock_checkpoints
SELECT model, stream, position, fact_id, created FROM projection.checkpoint
WHERE model = ANY (%(keys)s) ORDER BY model, stream FOR UPDATE

-- name: move
-- The fence: a row that another writer has moved is not touched, and the count tells.
UPDATE projection.checkpoint AS c
SET position = m.position, fact_id = m.fact_id, created = m.created
FROM unnest(%(models)s::text[], %(streams)s::text[], %(old)s::bigint[], %(position)s::bigint[],
            %(fact_id)s::text[], %(created)s::text[])
     AS m (model, stream, old, position, fact_id, created)
WHERE c.model = m.model AND c.stream = m.stream AND c.position = m.old

-- name: generation
SELECT coalesce(sum(generation), 0)::bigint FROM projection.model

-- name: stop
UPDATE projection.model
SET stopped = true, stream = %(stream)s, sequence = %(sequence)s, error = %(error)s, since = now(), tries = tries + 1
WHERE name = %(key)s

-- name: resume_all
UPDATE projection.model SET stopped = false WHERE stopped AND name NOT LIKE '%%/next'

-- name: resume
UPDATE projection.model SET stopped = false, generation = generation + 1 WHERE name = %(key)s

-- name: swap_checkpoints
UPDATE projection.checkpoint AS c SET position = n.position, fact_id = n.fact_id, created = n.created
FROM projection.checkpoint AS n WHERE c.model = %(key)s AND n.model = %(next)s AND n.stream = c.stream

-- name: swap_model
UPDATE projection.model
SET definition = %(definition)s, generation = generation + 1, stopped = false,
    stream = NULL, sequence = NULL, error = NULL, since = NULL, tries = 0
WHERE name = %(key)s

-- name: remove_model
DELETE FROM projection.model WHERE name = %(key)s

-- name: set_diverged
INSERT INTO projection.log_state (stream, diverged) VALUES (%(stream)s, %(diverged)s)
ON CONFLICT (stream) DO UPDATE SET diverged = excluded.diverged

-- name: clear_diverged
DELETE FROM projection.log_state

-- name: diverged
SELECT stream, diverged FROM projection.log_state ORDER BY stream

-- name: schema_exists
SELECT to_regnamespace(%(schema)s) IS NOT NULL

-- name: old_schemas
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rm\_%%\_old\_%%' ORDER BY nspname

-- name: tables
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') ORDER BY c.relname

-- name: try_lock
SELECT pg_try_advisory_lock(hashtextextended(%(name)s, 0))

-- name: lock_here
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))
