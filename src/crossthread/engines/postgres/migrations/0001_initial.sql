-- The schema of release 0.2. Times are microseconds since 1970-01-01T00:00:00Z. A released migration is never edited.
-- {schema} is the schema's name, quoted. Nothing here refuses to be distributed by namespace (docs/design/postgres.md).

-- One row: what holds for the whole store.
CREATE TABLE {schema}.state (
    id integer PRIMARY KEY CHECK (id = 1),
    schema_version integer NOT NULL,  -- number of the last migration; a newer one than the release knows is refused
    vectors_version integer NOT NULL, -- the same for the tables that need pgvector; 0: there are none
    language text,                    -- of all words, once a store with an index was opened
    model text,                       -- the embedding model of all vectors, where it is known
    dims integer,                     -- the dimensions of all vectors, once there was one
    generation bigint NOT NULL DEFAULT 0, -- how often all vectors were replaced by those of another model
    phase integer NOT NULL DEFAULT 0, -- 1: vectors of the next generation are staged; 2: older ones have yet to be dropped
    held_until bigint NOT NULL DEFAULT 0, -- nobody writes vectors before
    run bigint NOT NULL DEFAULT 0,    -- the number of the run that stages; 0: there is none
    last_run bigint NOT NULL DEFAULT 0, -- the number of the run that made the vectors that serve
    next_model text,                  -- the model of the staged vectors, where it is known
    next_dims integer                 -- their dimensions, once there was one
);

INSERT INTO {schema}.state (id, schema_version, vectors_version) VALUES (1, 0, 0);

-- The last updated_at that was given out; see draw_stamps().
CREATE SEQUENCE {schema}.stamps MINVALUE 0;

-- A row per item.
CREATE TABLE {schema}.items (
    namespace text COLLATE "C" NOT NULL, -- the first two labels, every label followed by a dot: 'memories.ada.'
    subspace text COLLATE "C" NOT NULL,  -- the labels below them: '', or 'work.projects.'
    key text COLLATE "C" NOT NULL,
    value json NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,          -- orders all writes
    ttl_minutes double precision,        -- how long a refresh renews the item; NULL: it does not expire
    expires_at bigint,                   -- the item is gone from this microsecond on
    address json,                        -- the namespace and key in full, where they are too long for an index
    texts integer NOT NULL,              -- how many vectors it has; by this and the next, what is missing is noticed
    has_words boolean NOT NULL,          -- whether there are words of it
    PRIMARY KEY (namespace, subspace, key)
);

-- Newest first, for one user and in the whole store.
CREATE INDEX items_by_namespace_and_time ON {schema}.items (namespace, updated_at);

CREATE INDEX items_by_time ON {schema}.items (updated_at);

-- What a sweep looks for.
CREATE INDEX items_by_expiry ON {schema}.items (expires_at) WHERE expires_at IS NOT NULL;

-- A row per item that keywords find; valid is the one with the item's updated_at.
CREATE TABLE {schema}.words (
    namespace text COLLATE "C" NOT NULL,
    subspace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    updated_at bigint NOT NULL,
    terms tsvector NOT NULL,  -- a term's position is how often it occurs
    length integer NOT NULL,  -- how many words there are in all
    PRIMARY KEY (namespace, subspace, key)
);

-- Finds items by a term, where the search is not below one namespace.
CREATE INDEX words_by_term ON {schema}.words USING gin (terms);

-- The present by the server's clock, which all workers share.
CREATE FUNCTION {schema}.present() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint
$$;

-- The microsecond at which what lives so many minutes from p_now is gone, NULL for what lives for ever; the limits are those
-- of crossthread.ttl.
CREATE FUNCTION {schema}.expiry(p_now bigint, p_minutes double precision) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_minutes IS NOT NULL THEN
        least(p_now::numeric + round(least(p_minutes, 1e12) * 60000000)::numeric, 4611686018427387904)::bigint
    END
$$;

-- Gives out p_count successive values for updated_at and returns the first: the present, or what follows the last one
-- given out where the clock stands or was put back. Takes no lock: of two calls in the same microsecond both may get the
-- same value, and neither write is the later one.
CREATE FUNCTION {schema}.draw_stamps(p_count bigint, p_now bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
BEGIN
    SELECT last_value + 1 INTO first FROM {schema}.stamps;
    IF p_now >= first THEN
        PERFORM setval('{schema}.stamps', p_now + p_count - 1);
        RETURN p_now;
    END IF;
    first := nextval('{schema}.stamps');
    IF p_count > 1 THEN
        PERFORM setval('{schema}.stamps', first + p_count - 1);
    END IF;
    RETURN first;
END
$$;

-- Writes one item, and returns its created_at and updated_at.
--   p_expected: the updated_at that the item must still have, -1 where there must be none alive, NULL where it does not
--       matter. SQLSTATE CT001 if the item is another.
--   p_terms, p_length: what keywords find the item by, as in the table words; NULL: nothing.
--   p_stamp: its updated_at, drawn for it.
--   p_horizon: what expires until then counts as gone.
--   p_texts: how many vectors it gets; the caller writes them.
CREATE FUNCTION {schema}.write_row(
    p_namespace text, p_subspace text, p_key text, p_value text, p_minutes double precision, p_address text,
    p_expected bigint, p_terms text, p_length integer, p_stamp bigint, p_present bigint, p_horizon bigint,
    p_texts integer
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    written_created_at bigint;
    written_updated_at bigint;
BEGIN
    IF p_expected >= 0 THEN
        PERFORM FROM {schema}.items AS i
        WHERE i.namespace = p_namespace AND i.subspace = p_subspace AND i.key = p_key
          AND i.updated_at = p_expected AND (i.expires_at IS NULL OR i.expires_at > p_horizon)
        FOR UPDATE;
        IF NOT FOUND THEN
            RAISE SQLSTATE 'CT001' USING MESSAGE = 'an item is no longer the one that was read';
        END IF;
    END IF;
    INSERT INTO {schema}.items AS i
        (namespace, subspace, key, value, created_at, updated_at, ttl_minutes, expires_at, address, texts,
         has_words)
    VALUES (p_namespace, p_subspace, p_key, p_value::json, p_stamp, p_stamp, p_minutes,
            {schema}.expiry(p_present, p_minutes), p_address::json, p_texts,
            p_terms IS NOT NULL)
    ON CONFLICT (namespace, subspace, key) DO UPDATE SET
        value = EXCLUDED.value,
        -- What takes the place of an expired item is new.
        created_at = CASE WHEN i.expires_at <= p_horizon THEN EXCLUDED.created_at ELSE i.created_at END,
        updated_at = greatest(EXCLUDED.updated_at, i.updated_at + 1),
        ttl_minutes = EXCLUDED.ttl_minutes,
        expires_at = EXCLUDED.expires_at,
        texts = EXCLUDED.texts,
        has_words = EXCLUDED.has_words
    RETURNING i.created_at, i.updated_at INTO written_created_at, written_updated_at;
    IF p_expected < 0 AND (written_created_at <> p_stamp OR written_updated_at <> p_stamp) THEN
        RAISE SQLSTATE 'CT001' USING MESSAGE = 'an item has been written meanwhile';
    END IF;
    -- The item's row is locked now, so nobody else changes its words.
    IF p_terms IS NULL THEN
        DELETE FROM {schema}.words AS w
        WHERE w.namespace = p_namespace AND w.subspace = p_subspace AND w.key = p_key;
    ELSE
        INSERT INTO {schema}.words AS w (namespace, subspace, key, updated_at, terms, length)
        VALUES (p_namespace, p_subspace, p_key, written_updated_at, p_terms::tsvector, p_length)
        ON CONFLICT (namespace, subspace, key) DO UPDATE SET
            updated_at = EXCLUDED.updated_at, terms = EXCLUDED.terms, length = EXCLUDED.length;
    END IF;
    RETURN ARRAY[written_created_at, written_updated_at];
END
$$;

-- Writes one item, the commonest write of all, whatever was there before.
--   p_now: the present; NULL: by the server's clock.
--   p_horizon: what expires until then counts as gone; NULL: until the present.
CREATE FUNCTION {schema}.write_item(
    p_namespace text, p_subspace text, p_key text, p_value text, p_minutes double precision, p_address text,
    p_terms text, p_length integer, p_now bigint, p_horizon bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    present bigint := coalesce(p_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
BEGIN
    RETURN {schema}.write_row(
        p_namespace, p_subspace, p_key, p_value, p_minutes, p_address, NULL, p_terms, p_length,
        {schema}.draw_stamps(1, present), present, coalesce(p_horizon, present), 0);
END
$$;

-- Erases the items at some addresses and writes others; all addresses are distinct, and in order, so that everybody locks
-- rows in the same order. Rows are written one by one: a cluster takes no parameter in ON CONFLICT otherwise.
--   p_numbers: the order of the writes, from 0 on; their stamps follow it.
--   p_expected: as in write_row; an array of no elements: it never matters.
--   p_terms, p_lengths, p_now, p_horizon: as above.
--   p_texts: how many vectors each gets; an array of no elements: none.
CREATE FUNCTION {schema}.write_items(
    p_erased_namespaces text[], p_erased_subspaces text[], p_erased_keys text[],
    p_namespaces text[], p_subspaces text[], p_keys text[], p_values text[], p_minutes double precision[],
    p_addresses text[], p_numbers integer[], p_expected bigint[], p_terms text[], p_lengths integer[],
    p_now bigint, p_horizon bigint, p_texts integer[] DEFAULT '{}'
) RETURNS TABLE (written_created_at bigint, written_updated_at bigint) LANGUAGE plpgsql AS $$
DECLARE
    present bigint := coalesce(p_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    horizon bigint := coalesce(p_horizon, present);
    first bigint;
    times bigint[];
BEGIN
    FOR n IN 1 .. cardinality(p_erased_keys) LOOP
        DELETE FROM {schema}.items AS i
        WHERE i.namespace = p_erased_namespaces[n] AND i.subspace = p_erased_subspaces[n] AND i.key = p_erased_keys[n];
        -- An item that was not there to be erased may have been written since, and keeps its words.
        DELETE FROM {schema}.words AS w
        WHERE w.namespace = p_erased_namespaces[n] AND w.subspace = p_erased_subspaces[n] AND w.key = p_erased_keys[n]
          AND NOT EXISTS (
              SELECT FROM {schema}.items AS i
              WHERE i.namespace = p_erased_namespaces[n] AND i.namespace = w.namespace AND i.subspace = w.subspace
                AND i.key = w.key AND i.updated_at = w.updated_at
          );
    END LOOP;
    IF cardinality(p_keys) = 0 THEN
        RETURN;
    END IF;
    first := {schema}.draw_stamps(cardinality(p_keys), present);
    FOR n IN 1 .. cardinality(p_keys) LOOP
        times := {schema}.write_row(
            p_namespaces[n], p_subspaces[n], p_keys[n], p_values[n], p_minutes[n], p_addresses[n], p_expected[n],
            p_terms[n], p_lengths[n], first + p_numbers[n], present, horizon, coalesce(p_texts[n], 0));
        written_created_at := times[1];
        written_updated_at := times[2];
        RETURN NEXT;
    END LOOP;
END
$$;
