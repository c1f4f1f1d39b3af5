-- Events, hit counts and the platform's figures.
-- A row of tracked_emails without created_at belongs to an email that has not been read yet: it counts nowhere.
-- LATERAL with LIMIT or OFFSET 0 keeps the planner from joining a batch by reading a whole table.
-- flags: 1 sent, 2 bounced, 4 complained, 8 opened, 16 opened by a machine, 32 clicked, 64 clicked by a machine,
-- 128 has a pixel, 256 has rewritten links, 512 and 1024 either was asked for. Only those below 128 come later than
-- the email. An email is delivered when it is sent and not bounced: flags & 3 = 1.

-- name: create
CREATE TABLE tracked_emails (
    email_id          uuid PRIMARY KEY,
    created_at        timestamptz,
    domain_id         bigint,
    provider_id       bigint,
    provider_sequence bigint NOT NULL,
    tags              text[],
    recipient         text, -- the only one; NULL when there are several
    flags             integer NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX tracked_emails_created ON tracked_emails (created_at);

CREATE TABLE email_links (
    email_id uuid PRIMARY KEY,
    links    json NOT NULL -- original URLs by index
);

CREATE TABLE tracking_events (
    id             uuid NOT NULL,
    email_id       uuid NOT NULL,
    event_type     text NOT NULL,
    recipient      text,
    link_index     integer,
    link_url       text,
    ip_address     text,
    user_agent     text,
    machine        boolean NOT NULL,
    machine_reason text,
    detail         text,
    created_at     timestamptz NOT NULL,
    domain_id      bigint,
    provider_id    bigint,
    PRIMARY KEY (email_id, id)
);
CREATE INDEX tracking_events_newest ON tracking_events (created_at, id);
CREATE INDEX tracking_events_type ON tracking_events (event_type, created_at, id);
CREATE INDEX tracking_events_domain ON tracking_events (domain_id, created_at, id);
CREATE INDEX tracking_events_provider ON tracking_events (provider_id, created_at, id);

CREATE TABLE event_tags (
    tag        text NOT NULL,
    created_at timestamptz NOT NULL,
    id         uuid NOT NULL,
    email_id   uuid NOT NULL,
    PRIMARY KEY (tag, created_at, id)
);

CREATE TABLE email_hits (
    email_id                 uuid PRIMARY KEY,
    stored                   integer NOT NULL, -- hits kept as events; beyond 1,000 they are counted only
    opens                    bigint NOT NULL,
    machine_opens            bigint NOT NULL,
    clicks                   bigint NOT NULL,
    machine_clicks           bigint NOT NULL,
    first_opened_at          timestamptz,
    first_machine_opened_at  timestamptz,
    first_clicked_at         timestamptz,
    first_machine_clicked_at timestamptz
) WITH (fillfactor = 80);

CREATE TABLE link_hits (
    email_id       uuid NOT NULL,
    link_index     integer NOT NULL,
    clicks         bigint NOT NULL,
    machine_clicks bigint NOT NULL,
    PRIMARY KEY (email_id, link_index)
) WITH (fillfactor = 80);

CREATE TABLE pending_hits (
    id             uuid NOT NULL,
    email_id       uuid NOT NULL,
    sequence       bigint NOT NULL,
    event_type     text NOT NULL,
    recipient      text,
    link_index     integer,
    link_url       text,
    ip_address     text,
    user_agent     text,
    machine        boolean NOT NULL,
    machine_reason text,
    detail         text,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (email_id, id)
);

CREATE TABLE figures ( -- emails, by the hour in which they were accepted; tiers and keys as in email_counts
    tier                 text NOT NULL,
    start                timestamptz NOT NULL,
    domain_id            bigint NOT NULL,
    provider_id          bigint NOT NULL,
    tag                  text NOT NULL,
    delivered            bigint NOT NULL,
    delivered_with_pixel bigint NOT NULL,
    delivered_with_links bigint NOT NULL,
    opened               bigint NOT NULL,
    opened_by_any        bigint NOT NULL,
    clicked              bigint NOT NULL,
    clicked_by_any       bigint NOT NULL,
    bounced              bigint NOT NULL,
    complained           bigint NOT NULL,
    PRIMARY KEY (tier, tag, start, domain_id, provider_id)
) WITH (fillfactor = 50);

CREATE TABLE event_counts ( -- stored events, by the hour in which they happened
    tier        text NOT NULL,
    start       timestamptz NOT NULL,
    domain_id   bigint NOT NULL,
    provider_id bigint NOT NULL,
    tag         text NOT NULL,
    open        bigint NOT NULL,
    click       bigint NOT NULL,
    delivery    bigint NOT NULL,
    bounce      bigint NOT NULL,
    complaint   bigint NOT NULL,
    PRIMARY KEY (tier, tag, start, domain_id, provider_id)
) WITH (fillfactor = 50);

-- name: stage
CREATE TEMP TABLE stage_tracked (
    email_id          uuid,
    created_at        timestamptz,
    domain_id         bigint,
    provider_id       bigint,
    provider_sequence bigint,
    tags              text[],
    recipient         text,
    links             json,
    flags             integer
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_events (
    id             uuid,
    email_id       uuid,
    sequence       bigint,
    event_type     text,
    recipient      text,
    link_index     integer,
    link_url       text,
    ip_address     text,
    user_agent     text,
    machine        boolean,
    machine_reason text,
    detail         text,
    created_at     timestamptz
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_tracked_changes ( -- filled by apply: each email of the batch, before and after
    email_id          uuid,
    created_at        timestamptz,
    domain_id         bigint,
    provider_id       bigint,
    provider_sequence bigint,
    tags              text[],
    recipient         text,
    flags             integer,
    old_created_at    timestamptz,
    old_provider_id   bigint,
    old_sequence      bigint,
    old_flags         integer
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stage_events_ready ( -- filled by apply: events that are new and whose email is known
    id             uuid,
    email_id       uuid,
    event_type     text,
    recipient      text,
    link_index     integer,
    link_url       text,
    ip_address     text,
    user_agent     text,
    machine        boolean,
    machine_reason text,
    detail         text,
    created_at     timestamptz,
    domain_id      bigint,
    provider_id    bigint,
    tags           text[],
    hit            boolean,
    stored         boolean
) ON COMMIT DELETE ROWS;

-- name: apply
INSERT INTO stage_tracked_changes
SELECT
    i.email_id,
    coalesce(t.created_at, i.created_at),
    CASE WHEN t.created_at IS NULL THEN i.domain_id ELSE t.domain_id END,
    CASE WHEN i.provider_sequence > coalesce(t.provider_sequence, -1) THEN i.provider_id ELSE t.provider_id END,
    greatest(i.provider_sequence, t.provider_sequence),
    CASE WHEN t.created_at IS NULL THEN i.tags ELSE t.tags END,
    CASE WHEN t.created_at IS NULL THEN i.recipient ELSE t.recipient END,
    CASE WHEN t.created_at IS NULL THEN i.flags ELSE i.flags & 127 END | coalesce(t.flags, 0),
    t.created_at,
    t.provider_id,
    t.provider_sequence,
    t.flags
FROM stage_tracked i
LEFT JOIN LATERAL (SELECT * FROM tracked_emails WHERE email_id = i.email_id LIMIT 1) t ON true;

INSERT INTO tracked_emails
    (email_id, created_at, domain_id, provider_id, provider_sequence, tags, recipient, flags)
SELECT email_id, created_at, domain_id, provider_id, provider_sequence, tags, recipient, flags
FROM stage_tracked_changes
WHERE (created_at, provider_sequence, flags) IS DISTINCT FROM (old_created_at, old_sequence, old_flags)
ON CONFLICT (email_id) DO UPDATE SET
    created_at = excluded.created_at,
    domain_id = excluded.domain_id,
    provider_id = excluded.provider_id,
    provider_sequence = excluded.provider_sequence,
    tags = excluded.tags,
    recipient = excluded.recipient,
    flags = excluded.flags;

INSERT INTO email_links (email_id, links)
SELECT i.email_id, i.links
FROM stage_tracked i JOIN stage_tracked_changes c ON c.email_id = i.email_id
WHERE i.links IS NOT NULL AND c.old_created_at IS NULL
ON CONFLICT (email_id) DO NOTHING;

INSERT INTO figures AS f
    (tier, start, domain_id, provider_id, tag, delivered, delivered_with_pixel, delivered_with_links, opened, opened_by_any, clicked, clicked_by_any, bounced, complained)
WITH moved AS (
    SELECT created_at, domain_id, provider_id, tags, flags, 1 AS n
    FROM stage_tracked_changes
    WHERE created_at IS NOT NULL
        AND (old_created_at IS NULL OR (provider_id, flags) IS DISTINCT FROM (old_provider_id, old_flags))
    UNION ALL
    SELECT created_at, domain_id, old_provider_id, tags, old_flags, -1
    FROM stage_tracked_changes
    WHERE old_created_at IS NOT NULL
        AND (provider_id, flags) IS DISTINCT FROM (old_provider_id, old_flags)
),
hours AS (
    SELECT
        date_trunc('hour', m.created_at, 'UTC') AS start,
        coalesce(m.domain_id, 0) AS domain_id,
        coalesce(m.provider_id, 0) AS provider_id,
        t.tag,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 3 = 1), 0) AS delivered,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 131 = 129), 0) AS delivered_with_pixel,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 259 = 257), 0) AS delivered_with_links,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 8 <> 0), 0) AS opened,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 24 <> 0), 0) AS opened_by_any,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 32 <> 0), 0) AS clicked,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 96 <> 0), 0) AS clicked_by_any,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 2 <> 0), 0) AS bounced,
        coalesce(sum(m.n) FILTER (WHERE m.flags & 4 <> 0), 0) AS complained
    FROM moved m CROSS JOIN LATERAL unnest(array_append(m.tags, '')) AS t (tag)
    GROUP BY 1, 2, 3, 4
)
SELECT tier.name AS tier, tier.start, domain_id, provider_id, tag, sum(delivered) AS delivered,
    sum(delivered_with_pixel) AS delivered_with_pixel, sum(delivered_with_links) AS delivered_with_links,
    sum(opened) AS opened, sum(opened_by_any) AS opened_by_any, sum(clicked) AS clicked,
    sum(clicked_by_any) AS clicked_by_any, sum(bounced) AS bounced, sum(complained) AS complained
FROM hours h
CROSS JOIN LATERAL (
    VALUES ('hour', h.start), ('day', date_trunc('day', h.start, 'UTC')), ('all', timestamptz '-infinity')
) AS tier (name, start)
WHERE (delivered, delivered_with_pixel, delivered_with_links, opened, opened_by_any, clicked, clicked_by_any,
    bounced, complained) <> (0, 0, 0, 0, 0, 0, 0, 0, 0)
GROUP BY tier.name, tier.start, domain_id, provider_id, tag
ON CONFLICT (tier, tag, start, domain_id, provider_id) DO UPDATE SET
    delivered = f.delivered + excluded.delivered,
    delivered_with_pixel = f.delivered_with_pixel + excluded.delivered_with_pixel,
    delivered_with_links = f.delivered_with_links + excluded.delivered_with_links,
    opened = f.opened + excluded.opened,
    opened_by_any = f.opened_by_any + excluded.opened_by_any,
    clicked = f.clicked + excluded.clicked,
    clicked_by_any = f.clicked_by_any + excluded.clicked_by_any,
    bounced = f.bounced + excluded.bounced,
    complained = f.complained + excluded.complained;

-- Only an email that another provider took over leaves a figure: one that is left with nothing goes.
DELETE FROM figures
WHERE ctid = ANY (ARRAY(
    SELECT k.ctid
    FROM stage_tracked_changes c
    CROSS JOIN LATERAL unnest(array_append(c.tags, '')) AS t (tag)
    CROSS JOIN LATERAL (
        VALUES ('hour', date_trunc('hour', c.created_at, 'UTC')), ('day', date_trunc('day', c.created_at, 'UTC')),
            ('all', timestamptz '-infinity')
    ) AS tier (name, start)
    CROSS JOIN LATERAL (
        SELECT ctid
        FROM figures f
        WHERE f.tier = tier.name AND f.tag = t.tag AND f.start = tier.start
            AND f.domain_id = coalesce(c.domain_id, 0) AND f.provider_id = coalesce(c.old_provider_id, 0)
            AND delivered + opened_by_any + clicked_by_any + bounced + complained = 0 -- they imply the others
        OFFSET 0
    ) AS k
    WHERE c.old_created_at IS NOT NULL AND c.provider_id IS DISTINCT FROM c.old_provider_id
));

INSERT INTO stage_events_ready
SELECT e.id, e.email_id, e.event_type, CASE WHEN e.hit THEN e.known_recipient ELSE e.recipient END, e.link_index,
    e.link_url, e.ip_address, e.user_agent, e.machine, e.machine_reason, e.detail, e.created_at, e.domain_id,
    e.provider_id, e.tags, e.hit,
    NOT e.hit OR coalesce(h.stored, 0) + row_number() OVER (PARTITION BY e.email_id, e.hit ORDER BY e.sequence) <= 1000
FROM (
    SELECT n.*, n.event_type IN ('open', 'click') AS hit, c.recipient AS known_recipient, c.domain_id, c.provider_id,
        c.tags
    FROM stage_events n
    JOIN stage_tracked_changes c ON c.email_id = n.email_id
    LEFT JOIN LATERAL (SELECT p.id FROM pending_hits p WHERE p.email_id = n.email_id AND p.id = n.id LIMIT 1) p ON true
    WHERE c.created_at IS NOT NULL AND p.id IS NULL
    UNION ALL
    SELECT p.id, p.email_id, p.sequence, p.event_type, p.recipient, p.link_index, p.link_url, p.ip_address,
        p.user_agent, p.machine, p.machine_reason, p.detail, p.created_at,
        p.event_type IN ('open', 'click'), c.recipient, c.domain_id, c.provider_id, c.tags
    FROM stage_tracked_changes c
    CROSS JOIN LATERAL (SELECT * FROM pending_hits WHERE email_id = c.email_id OFFSET 0) p
    WHERE c.old_created_at IS NULL AND c.created_at IS NOT NULL
) e
LEFT JOIN LATERAL (SELECT stored FROM email_hits WHERE email_id = e.email_id LIMIT 1) h ON true
LEFT JOIN LATERAL (SELECT id FROM tracking_events WHERE email_id = e.email_id AND id = e.id LIMIT 1) known ON true
WHERE known.id IS NULL;

INSERT INTO pending_hits
SELECT n.*
FROM stage_events n JOIN stage_tracked_changes c ON c.email_id = n.email_id
WHERE c.created_at IS NULL
ON CONFLICT (email_id, id) DO NOTHING;

DELETE FROM pending_hits
WHERE ctid = ANY (ARRAY(
    SELECT p.ctid
    FROM stage_tracked_changes c
    CROSS JOIN LATERAL (SELECT ctid FROM pending_hits WHERE email_id = c.email_id OFFSET 0) p
    WHERE c.old_created_at IS NULL AND c.created_at IS NOT NULL
));

INSERT INTO event_counts AS f
    (tier, start, domain_id, provider_id, tag, open, click, delivery, bounce, complaint)
WITH moved AS (
    SELECT created_at, domain_id, provider_id, tags, event_type, 1 AS n
    FROM stage_events_ready
    WHERE stored
    UNION ALL -- events of emails that another provider took over go with them
    SELECT e.created_at, e.domain_id, side.provider_id, c.tags, e.event_type, side.n
    FROM stage_tracked_changes c
    CROSS JOIN LATERAL (SELECT * FROM tracking_events WHERE email_id = c.email_id OFFSET 0) e
    CROSS JOIN LATERAL (VALUES (c.old_provider_id, -1), (c.provider_id, 1)) AS side (provider_id, n)
    WHERE c.old_created_at IS NOT NULL AND c.provider_id IS DISTINCT FROM c.old_provider_id
),
hours AS (
    SELECT
        date_trunc('hour', m.created_at, 'UTC') AS start,
        coalesce(m.domain_id, 0) AS domain_id,
        coalesce(m.provider_id, 0) AS provider_id,
        t.tag,
        coalesce(sum(m.n) FILTER (WHERE m.event_type = 'open'), 0) AS open,
        coalesce(sum(m.n) FILTER (WHERE m.event_type = 'click'), 0) AS click,
        coalesce(sum(m.n) FILTER (WHERE m.event_type = 'delivery'), 0) AS delivery,
        coalesce(sum(m.n) FILTER (WHERE m.event_type = 'bounce'), 0) AS bounce,
        coalesce(sum(m.n) FILTER (WHERE m.event_type = 'complaint'), 0) AS complaint
    FROM moved m CROSS JOIN LATERAL unnest(array_append(m.tags, '')) AS t (tag)
    GROUP BY 1, 2, 3, 4
)
SELECT tier.name AS tier, tier.start, domain_id, provider_id, tag, sum(open) AS open, sum(click) AS click,
    sum(delivery) AS delivery, sum(bounce) AS bounce, sum(complaint) AS complaint
FROM hours h
CROSS JOIN LATERAL (
    VALUES ('hour', h.start), ('day', date_trunc('day', h.start, 'UTC')), ('all', timestamptz '-infinity')
) AS tier (name, start)
GROUP BY tier.name, tier.start, domain_id, provider_id, tag
ON CONFLICT (tier, tag, start, domain_id, provider_id) DO UPDATE SET
    open = f.open + excluded.open,
    click = f.click + excluded.click,
    delivery = f.delivery + excluded.delivery,
    bounce = f.bounce + excluded.bounce,
    complaint = f.complaint + excluded.complaint;

DELETE FROM event_counts
WHERE ctid = ANY (ARRAY(
    SELECT k.ctid
    FROM stage_tracked_changes c
    CROSS JOIN LATERAL (SELECT created_at FROM tracking_events WHERE email_id = c.email_id OFFSET 0) AS e
    CROSS JOIN LATERAL unnest(array_append(c.tags, '')) AS t (tag)
    CROSS JOIN LATERAL (
        VALUES ('hour', date_trunc('hour', e.created_at, 'UTC')), ('day', date_trunc('day', e.created_at, 'UTC')),
            ('all', timestamptz '-infinity')
    ) AS tier (name, start)
    CROSS JOIN LATERAL (
        SELECT ctid
        FROM event_counts f
        WHERE f.tier = tier.name AND f.tag = t.tag AND f.start = tier.start
            AND f.domain_id = coalesce(c.domain_id, 0) AND f.provider_id = coalesce(c.old_provider_id, 0)
            AND open + click + delivery + bounce + complaint = 0
        OFFSET 0
    ) AS k
    WHERE c.old_created_at IS NOT NULL AND c.provider_id IS DISTINCT FROM c.old_provider_id
));

UPDATE tracking_events
SET provider_id = (SELECT c.provider_id FROM stage_tracked_changes c WHERE c.email_id = tracking_events.email_id)
WHERE ctid = ANY (ARRAY(
    SELECT e.ctid
    FROM stage_tracked_changes c
    CROSS JOIN LATERAL (SELECT ctid FROM tracking_events WHERE email_id = c.email_id OFFSET 0) e
    WHERE c.old_created_at IS NOT NULL AND c.provider_id IS DISTINCT FROM c.old_provider_id
));

INSERT INTO tracking_events
    (id, email_id, event_type, recipient, link_index, link_url, ip_address, user_agent, machine, machine_reason, detail,
     created_at, domain_id, provider_id)
SELECT id, email_id, event_type, recipient, link_index, link_url, ip_address, user_agent, machine, machine_reason, detail,
    created_at, domain_id, provider_id
FROM stage_events_ready
WHERE stored;

INSERT INTO event_tags (tag, created_at, id, email_id)
SELECT t.tag, r.created_at, r.id, r.email_id
FROM stage_events_ready r CROSS JOIN LATERAL unnest(r.tags) AS t (tag)
WHERE r.stored;

INSERT INTO email_hits AS h
    (email_id, stored, opens, machine_opens, clicks, machine_clicks, first_opened_at, first_machine_opened_at,
     first_clicked_at, first_machine_clicked_at)
SELECT
    email_id,
    count(*) FILTER (WHERE stored),
    count(*) FILTER (WHERE event_type = 'open' AND NOT machine),
    count(*) FILTER (WHERE event_type = 'open' AND machine),
    count(*) FILTER (WHERE event_type = 'click' AND NOT machine),
    count(*) FILTER (WHERE event_type = 'click' AND machine),
    min(created_at) FILTER (WHERE event_type = 'open' AND NOT machine),
    min(created_at) FILTER (WHERE event_type = 'open' AND machine),
    min(created_at) FILTER (WHERE event_type = 'click' AND NOT machine),
    min(created_at) FILTER (WHERE event_type = 'click' AND machine)
FROM stage_events_ready
WHERE hit
GROUP BY email_id
ON CONFLICT (email_id) DO UPDATE SET
    stored = h.stored + excluded.stored,
    opens = h.opens + excluded.opens,
    machine_opens = h.machine_opens + excluded.machine_opens,
    clicks = h.clicks + excluded.clicks,
    machine_clicks = h.machine_clicks + excluded.machine_clicks,
    first_opened_at = least(h.first_opened_at, excluded.first_opened_at),
    first_machine_opened_at = least(h.first_machine_opened_at, excluded.first_machine_opened_at),
    first_clicked_at = least(h.first_clicked_at, excluded.first_clicked_at),
    first_machine_clicked_at = least(h.first_machine_clicked_at, excluded.first_machine_clicked_at);

INSERT INTO link_hits AS h (email_id, link_index, clicks, machine_clicks)
SELECT email_id, link_index, count(*) FILTER (WHERE NOT machine), count(*) FILTER (WHERE machine)
FROM stage_events_ready
WHERE hit AND link_index IS NOT NULL
GROUP BY email_id, link_index
ON CONFLICT (email_id, link_index) DO UPDATE SET
    clicks = h.clicks + excluded.clicks,
    machine_clicks = h.machine_clicks + excluded.machine_clicks;
